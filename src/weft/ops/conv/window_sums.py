"""Gradients of windows: sums over the windows that hold a place of an image, never a race."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

from weft.expr import Expr, const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.views.windows import Bins, Window, every
from weft.target import TargetProfile

TURNS, TAPS = 4, 16
"""Kinds of places, and elements of a window, up to which sums over the windows that hold a place are written out."""


def readers(builder: Builder, window: Window | Bins, places: Sequence[Expr]) -> tuple[list[Expr], Expr]:
    """The windows that may hold an element, as points of the reduction axes, and which of them there are.

    Where windows do not overlap there is one for each element, and nothing to fold.
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
    """The sum of a value over the windows that hold an element (``readers``)."""
    return value if max((*window.overlap, 1)) == 1 else builder.reduce("sum", value)


def by_turns(
    name: str, target: Operand, window: Window, term: Callable[[Builder, list[Expr], list[Expr], Expr], Expr]
) -> KernelProgram:
    """Gradients of an image as sums of ``term`` over the windows that hold a place, written out.

    ``term`` takes the builder, indices of the place and of an output, and whether there is that output. Places of
    which neighbours are read by neighbours are a part of the kernel, so that no division finds a place's windows.
    """
    builder = Builder(name)
    for number, turn in enumerate(window.turns):
        sizes = [
            -(-(n - first) // step)
            for n, first, step in zip(window.size, turn.first, window.stride, strict=True)
        ]
        if min(sizes) < 1:
            continue
        if number:
            builder.end_part()
        n, c, *steps = builder.axes((*target.shape[:2], *sizes))
        points = [
            step * const(stride, INDEX) + first if stride > 1 else step
            for step, first, stride in zip(steps, turn.first, window.stride, strict=True)
        ]
        total: Expr | None = None
        for shifts in product(*turn.shifts):
            outs = [step + shift for step, shift in zip(steps, shifts, strict=True)]
            inside = every([
                (out >= 0) & (out < builder.integer(f"out{axis}", window.out[axis])) for axis, out in enumerate(outs)
            ])  # fmt: skip
            value = term(builder, [n, c, *points], [n, c, *outs], inside)
            total = value if total is None else total + value
        none = const(0, target.dtype.compute)
        builder.store(target, [n, c, *points], none if total is None else total)
    return KernelProgram((builder.finish(),))


def takes_turns(window: Window | Bins, profile: TargetProfile) -> bool:
    """Whether windows overlap, and are few enough to be written out where neighbours are computed in lanes."""
    return (
        isinstance(window, Window)
        and "lanes" in profile.features
        and max((*window.overlap, 1)) > 1
        and math.prod(window.stride) <= TURNS
        and math.prod(window.kernel) <= TAPS
    )
