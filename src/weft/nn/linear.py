"""Linear and bilinear layers, distances of vectors, ``Identity`` and ``Flatten``."""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, mistake
from weft.nn import functional, init
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.registry.arguments import integer
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


def extent(where: str, argument: str, value: Any, least: int = 0) -> int:
    """Return a number of features or channels as an int; ``ArgumentError`` where it is below ``least``."""
    size = integer(where, argument, value)
    if size < least:
        raise ArgumentError(mistake(where, argument, size, f"at least {least}"))
    return size


MOST_LAYERS = 65536
"""The most equal layers of a module; a larger number is a mistake that would take all memory."""


def layer_count(where: str, value: Any, least: int = 0) -> int:
    """Return ``num_layers`` as an int; ``ArgumentError`` where it is out of range."""
    count = extent(where, "num_layers", value, least)
    if count > MOST_LAYERS:
        raise ArgumentError(mistake(where, "num_layers", count, f"at most {MOST_LAYERS}"))
    return count


class Linear(Module):
    """``y = x @ weight.T + bias``: (*, in_features) to (*, out_features).

    ``weight`` (out_features, in_features) and ``bias`` (out_features) are initialized uniformly within
    1 / sqrt(in_features).

    >>> import weft as wf
    >>> tuple(wf.nn.Linear(3, 5)(wf.zeros(2, 3)).shape)
    (2, 5)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: str | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_features = extent("Linear", "in_features", in_features)
        self.out_features = extent("Linear", "out_features", out_features)
        self.weight = Parameter(empty(self.out_features, self.in_features, device=device, dtype=dtype))
        self.bias = Parameter(empty(self.out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weight and bias at random."""
        reset_like_torch(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, in_features) to (*, out_features)."""
        result: Tensor = functional.linear(input, self.weight, self.bias)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


def reset_like_torch(weight: Tensor, bias: Tensor | None) -> None:
    """Initialize weight and bias as PyTorch's linear and convolution layers: uniform within 1 / sqrt(fan-in)."""
    if weight.numel():
        init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = init.fans(weight)[0]
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)


class Bilinear(Module):
    """``y[o] = x1 @ weight[o] @ x2 + bias[o]``: (*, in1_features) and (*, in2_features) to (*, out_features)."""

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: str | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in1_features = extent("Bilinear", "in1_features", in1_features, 1)
        self.in2_features = extent("Bilinear", "in2_features", in2_features)
        self.out_features = extent("Bilinear", "out_features", out_features)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.bias = Parameter(empty(self.out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weight and bias uniformly within 1 / sqrt(in1_features)."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Map (*, in1_features) and (*, in2_features) to (*, out_features)."""
        result: Tensor = functional.bilinear(input1, input2, self.weight, self.bias)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two tensors that broadcast to one shape, to that shape without ``dim``."""
        result: Tensor = functional.cosine_similarity(x1, x2, self.dim, self.eps)
        return result


class PairwiseDistance(Module):
    """The p-norm of the difference of vectors (*, D)."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Map (*, D) and (*, D) to (*), or (*, 1) with ``keepdim``."""
        result: Tensor = functional.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
        return result


class Identity(Module):
    """The input unchanged; arguments are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Any input, unchanged."""
        return input


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` merged into one; by default all but the first."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, *) to (N, product of *) by default."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
