"""Filters whose outer taps lie in the padding at every place of a small image: only the others are computed with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from weft.expr import Expr, const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelStep, Operand
from weft.ops.conv.sizes import Convolution
from weft.ops.views.windows import Window

MOST = 64
"""Taps of filters up to which those in the padding are left out: kernels that copy filters write each tap out."""


def used_taps(window: Window) -> list[tuple[int, int]] | None:
    """The first tap that meets the image, and one past the last, a dimension; ``None`` where all do, or none."""
    if math.prod(window.kernel) > MOST:
        return None
    found = []
    for size, taps, out, step, (before, _), gap in zip(
        window.size, window.kernel, window.out, window.stride, window.padding, window.dilation, strict=True
    ):
        met = [tap for tap in range(taps) if _meets(tap * gap - before, step, out, size)]
        if not met:
            return None
        found.append((met[0], met[-1] + 1))
    return (
        None
        if all(stop - start == taps for (start, stop), taps in zip(found, window.kernel, strict=True))
        else found
    )


def _meets(place: int, step: int, out: int, size: int) -> bool:
    """Whether any of ``out`` places, ``step`` apart, is in [0, size)."""
    first = max(0, -(place // step))
    return first < out and place + first * step < size


def without_outer_taps(sizes: Convolution, used: Sequence[tuple[int, int]]) -> Convolution:
    """The same convolution by the taps that are used."""
    own = sizes.window
    padding = tuple(
        (before - start * gap, after - (taps - stop) * gap)
        for (before, after), (start, stop), taps, gap in zip(
            own.padding, used, own.kernel, own.dilation, strict=True
        )
    )
    kernel = tuple(stop - start for start, stop in used)
    return replace(sizes, window=replace(own, kernel=kernel, padding=padding))


def inner_taps(weight: Operand, cropped: Operand, used: Sequence[tuple[int, int]]) -> KernelStep:
    """A copy of the taps that are used, of dense filters."""
    builder, filters = _all_filters("inner_taps", cropped)
    area, kept = math.prod(weight.shape[2:]), list(_taps(cropped.shape[2:]))
    for number, tap in enumerate(kept):
        place = _flat([at + start for at, (start, _) in zip(tap, used, strict=True)], weight.shape[2:])
        value = builder.load(weight, [filters, const(place, INDEX)], (area, 1))
        builder.store(cropped, [filters, const(number, INDEX)], value, (len(kept), 1))
    return builder.finish()


def with_outer_taps(cropped: Operand, weight: Operand, used: Sequence[tuple[int, int]]) -> KernelStep:
    """A dense weight's gradient from that of the taps that are used: the others have none."""
    builder, filters = _all_filters("outer_taps", weight)
    taps = list(_taps(weight.shape[2:]))
    inner = math.prod(cropped.shape[2:])
    for number, tap in enumerate(taps):
        value: Expr = const(0.0, weight.dtype.compute)
        if all(start <= at < stop for at, (start, stop) in zip(tap, used, strict=True)):
            place = _flat([at - start for at, (start, _) in zip(tap, used, strict=True)], cropped.shape[2:])
            value = builder.load(cropped, [filters, const(place, INDEX)], (inner, 1))
        builder.store(weight, [filters, const(number, INDEX)], value, (len(taps), 1))
    return builder.finish()


def _all_filters(name: str, weight: Operand) -> tuple[Builder, Expr]:
    """A kernel whose points are the filters of all channels, each tap a store of its own."""
    builder = Builder(name)
    (filters,) = builder.axes((weight.shape[0] * weight.shape[1],))
    return builder, filters


def _taps(kernel: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return product(*(range(taps) for taps in kernel))


def _flat(tap: Sequence[int], kernel: Sequence[int]) -> int:
    place = 0
    for at, taps in zip(tap, kernel, strict=True):
        place = place * taps + at
    return place
