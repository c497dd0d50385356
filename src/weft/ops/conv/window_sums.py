"""Gradients of windows: sums at each place of an image over the windows that contain it, so that writes never race."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

from weft.expr import Expr, const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.views.windows import Bins, Window, every
from weft.target import TargetProfile

PHASES, TAPS = 4, 16
"""Phases of the strides, and elements of a window, up to which sums over windows are unrolled."""


def readers(builder: Builder, window: Window | Bins, places: Sequence[Expr]) -> tuple[list[Expr], Expr]:
    """Return the windows that may contain an element, as points of the reduction axes, and whether each exists.

    Windows that do not overlap have no reduction axes: an element is in at most one window.
    """
    alone = max((*window.overlap, 1)) == 1
    steps = [const(0, INDEX) for _ in places] if alone else builder.reduce_axes(window.overlap)
    outs = [
        window.first_reader(builder, axis, place) + step
        for axis, (place, step) in enumerate(zip(places, steps, strict=True))
    ]
    return outs, every(
        [out < builder.integer(f"out{axis}", window.out[axis]) for axis, out in enumerate(outs)]
    )


def summed(builder: Builder, window: Window | Bins, value: Expr) -> Expr:
    """Return the sum of a value over the windows that contain an element (``readers``)."""
    return value if max((*window.overlap, 1)) == 1 else builder.reduce("sum", value)


def unrolled_by_phase(
    name: str, target: Operand, window: Window, term: Callable[[Builder, list[Expr], list[Expr], Expr], Expr]
) -> KernelProgram:
    """Return a kernel of an image's gradients as unrolled sums of ``term`` over the windows that contain a place.

    ``term`` takes the builder, the indices of the place and of an output, and whether that output exists. The kernel
    has a part for each phase, the places of one remainder by the strides: there, neighbouring places are in
    neighbouring windows, and no division is needed to find the windows.
    """
    builder = Builder(name)
    for number, phase in enumerate(window.phases):
        sizes = [
            -(-(n - first) // step)
            for n, first, step in zip(window.size, phase.first, window.stride, strict=True)
        ]
        if min(sizes) < 1:
            continue
        if number:
            builder.end_part()
        n, c, *steps = builder.axes((*target.shape[:2], *sizes))
        points = [
            step * const(stride, INDEX) + first if stride > 1 else step
            for step, first, stride in zip(steps, phase.first, window.stride, strict=True)
        ]
        total: Expr | None = None
        for shifts in product(*phase.shifts):
            outs = [step + shift for step, shift in zip(steps, shifts, strict=True)]
            inside = every([
                (out >= 0) & (out < builder.integer(f"out{axis}", window.out[axis])) for axis, out in enumerate(outs)
            ])  # fmt: skip
            value = term(builder, [n, c, *points], [n, c, *outs], inside)
            total = value if total is None else total + value
        none = const(0, target.dtype.compute)
        builder.store(target, [n, c, *points], none if total is None else total)
    return KernelProgram((builder.finish(),))


def is_unrolled_by_phase(window: Window | Bins, profile: TargetProfile) -> bool:
    """Return whether the target is vectorised, and the windows overlap and are few enough to be unrolled."""
    return (
        isinstance(window, Window)
        and "lanes" in profile.features
        and max((*window.overlap, 1)) > 1
        and math.prod(window.stride) <= PHASES
        and math.prod(window.kernel) <= TAPS
    )
