"""Activation layers: pointwise ones, and softmax along a dimension."""

from __future__ import annotations

from typing import ClassVar

from weft.dtypes import DType
from weft.errors import ArgumentTypeError, ShapeError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.registry.pytorch_names import advise
from weft.tensors.creation import full
from weft.tensors.tensor import Tensor


class _Pointwise(Module):
    """A pointwise function as a layer; ``options`` names the attributes that the function takes."""

    op: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, element by element."""
        given = {name: getattr(self, name) for name in self.options}
        result: Tensor = getattr(functional, self.op)(input, **given)
        return result

    def extra_repr(self) -> str:
        """The options; ``inplace`` where it is on."""
        shown = ((name, getattr(self, name)) for name in self.options)
        return ", ".join(f"{name}={value!r}" for name, value in shown if (name, value) != ("inplace", False))


class _MaybeInPlace(_Pointwise):
    """A function that may overwrite its input."""

    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_MaybeInPlace):
    """``max(x, 0)``, element by element."""

    op = "relu"


class SiLU(_MaybeInPlace):
    """``x * sigmoid(x)``, element by element."""

    op = "silu"


class ReLU6(_MaybeInPlace):
    """``min(max(x, 0), 6)``, element by element."""

    op = "relu6"


class SELU(_MaybeInPlace):
    """Scaled ``ELU`` that keeps mean and variance (Klambauer et al. 2017), element by element."""

    op = "selu"


class Hardsigmoid(_MaybeInPlace):
    """``clamp(x + 3, 0, 6) / 6``, element by element."""

    op = "hardsigmoid"


class Hardswish(_MaybeInPlace):
    """``x * clamp(x + 3, 0, 6) / 6``, element by element."""

    op = "hardswish"


class Mish(_MaybeInPlace):
    """``x * tanh(softplus(x))``, element by element."""

    op = "mish"


class Tanh(_Pointwise):
    """The hyperbolic tangent, element by element."""

    op = "tanh"


class Sigmoid(_Pointwise):
    """``1 / (1 + exp(-x))``, element by element."""

    op = "sigmoid"


class Softsign(_Pointwise):
    """``x / (1 + |x|)``, element by element."""

    op = "softsign"


class Tanhshrink(_Pointwise):
    """``x - tanh(x)``, element by element."""

    op = "tanhshrink"


class LogSigmoid(_Pointwise):
    """``log(sigmoid(x))``, element by element."""

    op = "logsigmoid"


class ELU(_Pointwise):
    """``x``, or ``alpha * (exp(x) - 1)`` below 0."""

    op, options = "elu", ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace


class CELU(ELU):
    """``x``, or ``alpha * (exp(x / alpha) - 1)`` below 0."""

    op = "celu"


class LeakyReLU(_Pointwise):
    """``x``, or ``negative_slope * x`` below 0."""

    op, options = "leaky_relu", ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace


class Hardtanh(_Pointwise):
    """``x`` clamped to [min_val, max_val]."""

    op, options = "hardtanh", ("min_val", "max_val", "inplace")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("min_val", min_value), ("max_val", max_value)):
            if value is not None:
                advise(f"Hardtanh: {name}ue is deprecated, write {name}=", FutureWarning)
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class Threshold(_Pointwise):
    """``x``, or ``value`` where it is at most ``threshold``."""

    op, options = "threshold", ("threshold", "value", "inplace")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace


class GELU(_Pointwise):
    """``x * Phi(x)``, Phi the standard normal distribution function; ``approximate`` is ``"none"`` or ``"tanh"``."""

    op, options = "gelu", ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Softplus(_Pointwise):
    """``log(1 + exp(beta * x)) / beta``, ``x`` where ``beta * x`` is above ``threshold``."""

    op, options = "softplus", ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Hardshrink(_Pointwise):
    """``x``, or 0 in [-lambd, lambd]."""

    op, options = "hardshrink", ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The option, as PyTorch prints it."""
        return f"{self.lambd}"


class Softshrink(Hardshrink):
    """``x - lambd`` above ``lambd``, ``x + lambd`` below ``-lambd``, else 0."""

    op = "softshrink"


class GLU(_Pointwise):
    """One half of the input along ``dim`` times the sigmoid of the other (Dauphin et al. 2017)."""

    op, options = "glu", ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim


class PReLU(Module):
    """``x``, or ``weight * x`` below 0, with a learned slope for all, or for each of ``num_parameters``, channels."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, *), shape kept."""
        result: Tensor = functional.prelu(input, self.weight)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"num_parameters={self.num_parameters}"


class _Along(Module):
    """A row op along ``dim``, which must be given."""

    op: ClassVar[str]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, along ``dim``."""
        if self.dim is None:
            raise ArgumentTypeError(
                mistake(type(self).__name__, "dim", None, "an int", f"use {type(self).__name__}(dim=1)")
            )
        result: Tensor = getattr(functional, self.op)(input, self.dim)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """``exp(x) / sum(exp(x))`` along ``dim``."""

    op = "softmax"


class LogSoftmax(_Along):
    """``x - log(sum(exp(x)))`` along ``dim``."""

    op = "log_softmax"


class Softmin(_Along):
    """The softmax of ``-x`` along ``dim``."""

    op = "softmax"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, along ``dim``."""
        return super().forward(-input)


class Softmax2d(Module):
    """The softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept."""
        if len(input.shape) not in (3, 4):
            raise ShapeError(
                mistake("Softmax2d", "input", f"{len(input.shape)}-dimensional", "3- or 4-dimensional")
            )
        result: Tensor = functional.softmax(input, -3)
        return result


class RReLU(Module):
    """``x``, or ``slope * x`` below 0: slopes are random in [lower, upper] in training, the interval's mean else."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, element by element."""
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The options; ``inplace`` where it is on."""
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace
