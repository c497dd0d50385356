"""Filters whose outer taps lie in the padding at every place of a small image: only the others are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.kernels import Builder, Operand, Step
from weft.ops.convolution_sizes import Convolution
from weft.ops.windows import Window, every


def used_taps(window: Window) -> list[tuple[int, int]] | None:
    """The first tap that meets the image, and one past the last, a dimension; ``None`` where all do, or none."""
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


def inner_taps(weight: Operand, cropped: Operand, used: Sequence[tuple[int, int]]) -> Step:
    """A copy of the taps that are used."""
    builder = Builder("inner_taps")
    o, c, *taps = builder.axes(cropped.shape)
    places = [
        tap + builder.integer(f"first{axis}", start)
        for axis, (tap, (start, _)) in enumerate(zip(taps, used, strict=True))
    ]
    builder.store(cropped, [o, c, *taps], builder.load(weight, [o, c, *places]))
    return builder.finish()


def with_outer_taps(cropped: Operand, weight: Operand, used: Sequence[tuple[int, int]]) -> Step:
    """A weight's gradient from that of the taps that are used: the others have none."""
    builder = Builder("outer_taps")
    o, c, *taps = builder.axes(weight.shape)
    places, inside = [], []
    for axis, (tap, (start, stop)) in enumerate(zip(taps, used, strict=True)):
        places.append(tap - builder.integer(f"first{axis}", start))
        inside.append((places[-1] >= 0) & (places[-1] < builder.integer(f"count{axis}", stop - start)))
    builder.store(weight, [o, c, *taps], builder.load(cropped, [o, c, *places], None, every(inside)))
    return builder.finish()
