"""Padding layers: zeros, a constant, or an image's own elements reflected, repeated or wrapped around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft.errors import ShapeError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.ops.registry.annotations import Pair
from weft.ops.registry.arguments import integer
from weft.tensors.tensor import Tensor


class _Pad(Module):
    """Padding of the last ``rank`` dimensions: a number for all sides, or two for each dimension, the last first."""

    rank: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init_subclass__(cls, rank: int = 0, mode: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        if rank:
            cls.rank = rank
        if mode:
            cls.mode = mode

    def __init__(self, padding: Pair) -> None:
        super().__init__()
        name, count = type(self).__name__, 2 * self.rank
        given = tuple(padding) if isinstance(padding, Sequence) else (padding,) * count
        if len(given) != count:
            raise ShapeError(mistake(name, "padding", padding, f"an int or {count} ints"))
        self.padding = tuple(integer(name, "padding", size) for size in given)

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, *size) to (*, *size')."""
        result: Tensor = functional.pad(input, self.padding, self.mode)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Pair, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, *size) to (*, *size')."""
        result: Tensor = functional.pad(input, self.padding, self.mode, self.value)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Pair) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad, rank=1):
    """``value`` around the last dimension of (N, C, L) or without N: 1 or 2 ints."""


class ConstantPad2d(_ConstantPad, rank=2):
    """``value`` around the last 2 dimensions of (N, C, H, W) or without N: 1 or 4 ints."""


class ConstantPad3d(_ConstantPad, rank=3):
    """``value`` around the last 3 dimensions of (N, C, D, H, W) or without N: 1 or 6 ints."""


class ZeroPad1d(_ZeroPad, rank=1):
    """Zeros around the last dimension of (N, C, L) or without N: 1 or 2 ints."""


class ZeroPad2d(_ZeroPad, rank=2):
    """Zeros around the last 2 dimensions of (N, C, H, W) or without N: 1 or 4 ints.

    >>> import weft as wf
    >>> wf.nn.ZeroPad2d((1, 0, 0, 1))(wf.ones(1, 1, 1)).tolist()
    [[[0.0, 1.0], [0.0, 0.0]]]
    """


class ZeroPad3d(_ZeroPad, rank=3):
    """Zeros around the last 3 dimensions of (N, C, D, H, W) or without N: 1 or 6 ints."""


class ReflectionPad1d(_Pad, rank=1, mode="reflect"):
    """The image reflected, around the last dimension of (N, C, L) or without N: 1 or 2 ints."""


class ReflectionPad2d(_Pad, rank=2, mode="reflect"):
    """The image reflected, around the last 2 dimensions of (N, C, H, W) or without N: 1 or 4 ints."""


class ReflectionPad3d(_Pad, rank=3, mode="reflect"):
    """The image reflected, around the last 3 dimensions of (N, C, D, H, W) or without N: 1 or 6 ints."""


class ReplicationPad1d(_Pad, rank=1, mode="replicate"):
    """The border's elements repeated, around the last dimension of (N, C, L) or without N: 1 or 2 ints."""


class ReplicationPad2d(_Pad, rank=2, mode="replicate"):
    """The border's elements repeated, around the last 2 dimensions of (N, C, H, W) or without N: 1 or 4 ints."""


class ReplicationPad3d(_Pad, rank=3, mode="replicate"):
    """The border's elements repeated, around the last 3 dimensions of (N, C, D, H, W) or without N: 1 or 6 ints."""


class CircularPad1d(_Pad, rank=1, mode="circular"):
    """The image repeated periodically, around the last dimension of (N, C, L) or without N: 1 or 2 ints."""


class CircularPad2d(_Pad, rank=2, mode="circular"):
    """The image repeated periodically, around the last 2 dimensions of (N, C, H, W) or without N: 1 or 4 ints."""


class CircularPad3d(_Pad, rank=3, mode="circular"):
    """The image repeated periodically, around the last 3 dimensions of (N, C, D, H, W) or without N: 1 or 6 ints."""
