"""The taps of resampling: the inputs that an output reads along a dimension, and their weights, by mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder

Taps = list[tuple[Expr, Expr | None]]
CUBIC = -0.75
"""The parameter of Keys' cubic convolution that PyTorch uses."""


@dataclass(frozen=True)
class Mode:
    """An interpolation mode: the distance of its farthest tap, the number of taps, and the taps of a position."""

    reach: int
    count: int
    taps: Callable[[Expr, Expr], Taps]
    """Takes a real source position and the largest index; gives indices and weights (``None`` is a weight of 1)."""


def limited(index: Expr, last: Expr) -> Expr:
    """Clamp an index to [0, last]."""
    low = where(index < 0, const(0, INDEX), index)
    return where(low < last, low, last)


def _nearest(position: Expr, last: Expr) -> Taps:
    return [(limited(cast(call("floor", position), INDEX), last), None)]


def _linear(position: Expr, last: Expr) -> Taps:
    position = call("maximum", position, const(0.0, position.dtype))
    first = limited(cast(call("floor", position), INDEX), last)
    part = position - cast(first, position.dtype)
    part = call("minimum", part, const(1.0, part.dtype))
    return [(first, const(1.0, part.dtype) - part), (limited(first + 1, last), part)]


def _cubic(position: Expr, last: Expr) -> Taps:
    floor = call("floor", position)
    first, t = cast(floor, INDEX), position - floor
    one, a = const(1.0, t.dtype), CUBIC

    def near(x: Expr) -> Expr:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + one

    def far(x: Expr) -> Expr:
        return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a

    weights = (far(t + one), near(t), near(one - t), far(one - t + one))
    return [(limited(first + (tap - 1), last), weight) for tap, weight in enumerate(weights)]


MODES = {
    "nearest": Mode(1, 1, _nearest),
    "nearest-exact": Mode(1, 1, _nearest),
    "linear": Mode(1, 2, _linear),
    "cubic": Mode(2, 4, _cubic),
}


def position_type(mode: str, dtype: DType) -> DType:
    """Return the type in which source positions are computed: float32 for nearest neighbours, as in PyTorch."""
    return dtypes.float32 if mode.startswith("nearest") or dtype.kind != "float" else dtype.compute


def place_of_sample(mode: str, align: bool) -> float:
    """Return a sample's place in its cell: 0.5, the centre, but 0 for corner alignment and ``"nearest"``."""
    return 0.0 if align or mode == "nearest" else 0.5


def axis_taps(
    builder: Builder, axis: int, out: Expr, size: int, attributes: dict[str, Any], dtype: DType
) -> Taps:
    """Return the taps of an output along a dimension of ``size`` inputs."""
    mode, shift = attributes["mode"], place_of_sample(attributes["mode"], attributes["align"])
    kind = position_type(mode, dtype)
    scale = builder.number(f"scale{axis}", attributes["scales"][axis], kind)
    position = (cast(out, kind) + shift) * scale if shift else cast(out, kind) * scale
    if shift and not mode.startswith("nearest"):
        position = position - shift
    return MODES[mode].taps(position, builder.integer(f"last{axis}", size - 1))
