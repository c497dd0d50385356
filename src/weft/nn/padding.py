"""Padding layers: zeros, a constant, or an image's own elements reflected, repeated or wrapped around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from weft.errors import ShapeError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.ops.annotations import Pair
from weft.ops.arguments import integer
from weft.tensors.tensor import Tensor


class _Pad(Module):
    """Padding of the last ``rank`` dimensions: one number for all sides, or two a dimension, the last one first."""

    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Pair) -> None:
        super().__init__()
        name, count = type(self).__name__, 2 * self.rank
        given = tuple(padding) if isinstance(padding, Sequence) else (padding,) * count
        if len(given) != count:
            raise ShapeError(mistake(name, "padding", padding, f"an int or {count} ints"))
        self.padding = tuple(integer(name, "padding", size) for size in given)

    def forward(self, input: Tensor) -> Tensor:
        """(*, *size) to (*, *size')."""
        result: Tensor = functional.pad(input, self.padding, self.mode)
        return result

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Pair, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(*, *size) to (*, *size')."""
        result: Tensor = functional.pad(input, self.padding, self.mode, self.value)
        return result

    def extra_repr(self) -> str:
        """The options."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Pair) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """``value`` around the last dimension of (N, C, L) or without N: one number, or 2."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last 2 dimensions of (N, C, H, W) or without N: one number, or 4."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last 3 dimensions of (N, C, D, H, W) or without N: one number, or 6."""

    rank = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dimension of (N, C, L) or without N: one number, or 2."""

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last 2 dimensions of (N, C, H, W) or without N: one number, or 4.

    >>> import weft as wf
    >>> wf.nn.ZeroPad2d((1, 0, 0, 1))(wf.ones(1, 1, 1)).tolist()
    [[[0.0, 1.0], [0.0, 0.0]]]
    """

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last 3 dimensions of (N, C, D, H, W) or without N: one number, or 6."""

    rank = 3


class ReflectionPad1d(_Pad):
    """The image reflected, around the last dimension of (N, C, L) or without N: one number, or 2."""

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The image reflected, around the last 2 dimensions of (N, C, H, W) or without N: one number, or 4."""

    rank = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """The image reflected, around the last 3 dimensions of (N, C, D, H, W) or without N: one number, or 6."""

    rank = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The elements at the ends, around the last dimension of (N, C, L) or without N: one number, or 2."""

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The elements at the ends, around the last 2 dimensions of (N, C, H, W) or without N: one number, or 4."""

    rank = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """The elements at the ends, around the last 3 dimensions of (N, C, D, H, W) or without N: one number, or 6."""

    rank = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """The image wrapped around, around the last dimension of (N, C, L) or without N: one number, or 2."""

    rank = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """The image wrapped around, around the last 2 dimensions of (N, C, H, W) or without N: one number, or 4."""

    rank = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """The image wrapped around, around the last 3 dimensions of (N, C, D, H, W) or without N: one number, or 6."""

    rank = 3
    mode = "circular"
