"""Filters cropped to the taps that meet the image: the outer taps of a small image's filters read padding alone."""

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
"""Taps of filters up to which filters are cropped: the kernels that copy filters have a store for each tap."""


def used_taps(window: Window) -> list[tuple[int, int]] | None:
    """Return the range of taps that meet the image along each dimension.

    ``None`` where filters are not cropped: all taps meet the image, or none along a dimension, or they are too many.
    """
    if math.prod(window.kernel) > MOST:
        return None
    ranges = []
    for size, taps, out, step, (before, _), gap in zip(
        window.size, window.kernel, window.out, window.stride, window.padding, window.dilation, strict=True
    ):
        used = [tap for tap in range(taps) if _meets(tap * gap - before, step, out, size)]
        if not used:
            return None
        ranges.append((used[0], used[-1] + 1))
    whole = all(stop - start == taps for (start, stop), taps in zip(ranges, window.kernel, strict=True))
    return None if whole else ranges


def _meets(place: int, step: int, out: int, size: int) -> bool:
    """Return whether any of ``out`` places, ``step`` apart from ``place`` on, is in [0, size)."""
    first = max(0, -(place // step))
    return first < out and place + first * step < size


def without_outer_taps(sizes: Convolution, used: Sequence[tuple[int, int]]) -> Convolution:
    """Return the sizes of the same convolution by cropped filters."""
    window = sizes.window
    padding = tuple(
        (before - start * gap, after - (taps - stop) * gap)
        for (before, after), (start, stop), taps, gap in zip(
            window.padding, used, window.kernel, window.dilation, strict=True
        )
    )
    kernel = tuple(stop - start for start, stop in used)
    return replace(sizes, window=replace(window, kernel=kernel, padding=padding))


def inner_taps(weight: Operand, cropped: Operand, used: Sequence[tuple[int, int]]) -> KernelStep:
    """Copy the used taps of dense filters to cropped filters."""
    builder, filters = _all_filters("inner_taps", cropped)
    area, kept = math.prod(weight.shape[2:]), list(_taps(cropped.shape[2:]))
    for number, tap in enumerate(kept):
        place = _flat([at + start for at, (start, _) in zip(tap, used, strict=True)], weight.shape[2:])
        value = builder.load(weight, [filters, const(place, INDEX)], (area, 1))
        builder.store(cropped, [filters, const(number, INDEX)], value, (len(kept), 1))
    return builder.finish()


def with_outer_taps(cropped: Operand, weight: Operand, used: Sequence[tuple[int, int]]) -> KernelStep:
    """Copy the gradient of cropped filters to the dense weight's gradient, 0 at all other taps."""
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
    """Start a kernel with a point for the filter of each pair of channels; each tap is then a store."""
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
