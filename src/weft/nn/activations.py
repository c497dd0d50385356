"""Activation layers: pointwise ones, and softmax along a dimension."""

from __future__ import annotations

from typing import ClassVar

from weft.errors import ArgumentTypeError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor


class _Pointwise(Module):
    """A pointwise op as a layer; the op's name and what it computes are the subclass's."""

    op: ClassVar[str]

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, element by element."""
        result: Tensor = getattr(functional, self.op)(input)
        return result


class _MaybeInPlace(_Pointwise):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, element by element; into the input where ``inplace``."""
        if not self.inplace:
            return super().forward(input)
        op = OPS[self.op]
        source = input.clone() if op.saves and input.requires_grad else input  # its gradient reads the input
        bind(op, source, into=(input,))
        return input

    def extra_repr(self) -> str:
        """The options."""
        return "inplace=True" if self.inplace else ""


class ReLU(_MaybeInPlace):
    """``max(x, 0)``, element by element."""

    op = "relu"


class SiLU(_MaybeInPlace):
    """``x * sigmoid(x)``, element by element."""

    op = "silu"


class Tanh(_Pointwise):
    """The hyperbolic tangent, element by element."""

    op = "tanh"


class Sigmoid(_Pointwise):
    """``1 / (1 + exp(-x))``, element by element."""

    op = "sigmoid"


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
        """The options."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """``exp(x) / sum(exp(x))`` along ``dim``."""

    op = "softmax"


class LogSoftmax(_Along):
    """``x - log(sum(exp(x)))`` along ``dim``."""

    op = "log_softmax"
