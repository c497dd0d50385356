"""Sliding windows over the spatial dimensions of an image: their sizes and their index arithmetic, as expressions.

Convolution and pooling share them, in any number of dimensions. ``padding`` is a pair (before, after) for each
dimension; a negative number after means that the last elements are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from weft.errors import ShapeError, mistake
from weft.expr import Expr, call, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder
from weft.ops.registry import arguments

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Phase:
    """A phase of the strides: the places ``first + i stride`` of an image; outputs ``i`` plus each shift read them."""

    first: Sizes
    shifts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Window:
    """A sliding window: the sizes of image, kernel and output, with stride, padding and dilation, by dimension."""

    size: Sizes
    kernel: Sizes
    out: Sizes
    stride: Sizes
    padding: Padding
    dilation: Sizes

    def source(self, builder: Builder, axis: int, out: Expr, tap: Expr) -> tuple[Expr, Expr]:
        """Return the place that output ``out`` reads at a tap, and whether it is inside the image."""
        place = _scaled(builder, f"stride{axis}", out, self.stride[axis])
        place = place + _scaled(builder, f"dilation{axis}", tap, self.dilation[axis])
        if not any(self.padding[axis]):
            return place, _below(builder, f"size{axis}", place, self.size[axis])
        place = place - builder.integer(f"padding{axis}", self.padding[axis][0])
        return place, (place >= 0) & _below(builder, f"size{axis}", place, self.size[axis])

    def sources(
        self, builder: Builder, outs: Sequence[Expr], taps: Sequence[Expr]
    ) -> tuple[list[Expr], Expr]:
        """Return ``source`` in all dimensions: the places, and whether all are inside the image."""
        found = [self.source(builder, axis, *pair) for axis, pair in enumerate(zip(outs, taps, strict=True))]
        return [place for place, _ in found], every([inside for _, inside in found])

    def reader(self, builder: Builder, axis: int, place: Expr, tap: Expr) -> tuple[Expr, Expr]:
        """Return the output that reads ``place`` at a tap, and whether an output does."""
        reach = place + builder.integer(f"padding{axis}", self.padding[axis][0])
        reach = reach - _scaled(builder, f"dilation{axis}", tap, self.dilation[axis])
        step = self.stride[axis]
        if step == 1:
            return reach, (reach >= 0) & _below(builder, f"out{axis}", reach, self.out[axis])
        stride = _step(builder, f"stride{axis}", step)
        out = call("idiv", reach, stride)
        exact = (out * stride).equals(reach)
        return out, (reach >= 0) & exact & _below(builder, f"out{axis}", out, self.out[axis])

    def readers(
        self, builder: Builder, places: Sequence[Expr], taps: Sequence[Expr]
    ) -> tuple[list[Expr], Expr]:
        """Return ``reader`` in all dimensions: the outputs, and whether there is an output."""
        found = [
            self.reader(builder, axis, *pair) for axis, pair in enumerate(zip(places, taps, strict=True))
        ]
        return [out for out, _ in found], every([inside for _, inside in found])

    @property
    def is_inside(self) -> bool:
        """Whether no window leaves the image."""
        return all(
            before == 0 and (out - 1) * step + gap * (size - 1) < n
            for (before, _), out, step, gap, size, n in zip(
                self.padding, self.out, self.stride, self.dilation, self.kernel, self.size, strict=True
            )
        )

    @property
    def overlap(self) -> Sizes:
        """The number of neighbouring outputs that can read the same place, by dimension."""
        spans = [gap * (size - 1) + 1 for size, gap in zip(self.kernel, self.dilation, strict=True)]
        return tuple(-(-span // step) for span, step in zip(spans, self.stride, strict=True))

    @property
    def phases(self) -> list[Phase]:
        """The phases of the strides: places of equal remainders modulo the strides, whose readers are adjacent."""
        axes = []
        for step, (before, _), taps, gap in zip(
            self.stride, self.padding, self.kernel, self.dilation, strict=True
        ):
            reached = [[(first + before - tap * gap, step) for tap in range(taps)] for first in range(step)]
            axes.append([tuple(at // step for at, step in taps if at % step == 0) for taps in reached])
        return [
            Phase(first, tuple(shifts[at] for shifts, at in zip(axes, first, strict=True)))
            for first in product(*(range(step) for step in self.stride))
        ]

    def first_reader(self, builder: Builder, axis: int, place: Expr) -> Expr:
        """Return the lowest output whose window can reach ``place``; the other readers are the next ``overlap - 1``."""
        span = self.dilation[axis] * (self.kernel[axis] - 1)
        step = self.stride[axis]
        # ceil((place + padding - span) / step), where that is not negative
        above = place + builder.integer(f"reach{axis}", self.padding[axis][0] - span + step - 1)
        above = where(above < 0, const(0, INDEX), above)
        return above if step == 1 else call("idiv", above, _step(builder, f"stride{axis}", step))


def _step(builder: Builder, name: str, step: int) -> Expr:
    """Return a divisor: a small divisor as a constant of the kernel, where the division is a shift or a product."""
    return const(step, INDEX) if step <= 4 else builder.integer(name, step)


def _scaled(builder: Builder, name: str, value: Expr, factor: int) -> Expr:
    return value if factor == 1 else value * builder.integer(name, factor)


def _below(builder: Builder, name: str, value: Expr, size: int) -> Expr:
    return value < builder.integer(name, size)


def every(conditions: Sequence[Expr]) -> Expr:
    """Return whether all conditions hold."""
    result = conditions[0]
    for condition in conditions[1:]:
        result = result & condition
    return result


def out_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, ceil_mode: bool = False
) -> int:
    """Return the number of places of a window; with ``ceil_mode`` the last may reach beyond the end, as in PyTorch."""
    span = size + padding[0] + padding[1] - dilation * (kernel - 1) - 1
    if span < 0:
        return 0
    count = -(-span // stride) + 1 if ceil_mode else span // stride + 1
    # the last window must start inside the input or its left padding
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding[0] else count


def tuple_of(where_: str, argument: str, value: Any, rank: int, least: int = 0) -> Sizes:
    """Return an int for each spatial dimension, at least ``least``, from an int for all or an int for each."""
    given = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if len(given) == 1:
        given *= rank
    if len(given) != rank:
        raise ShapeError(
            mistake(
                where_, argument, value, ("an int", "an int or two ints", "an int or three ints")[rank - 1]
            )
        )
    sizes = tuple(arguments.integer(where_, argument, size) for size in given)
    if min(sizes) < least:
        raise ShapeError(mistake(where_, argument, value, f"at least {least}"))
    return sizes


def both_sides(padding: Sizes) -> Padding:
    """Return pairs of the same padding before and after."""
    return tuple((size, size) for size in padding)


@dataclass(frozen=True)
class Bins:
    """The bins of adaptive pooling: ``size`` places divided among ``out`` bins, as evenly as possible.

    Bin i covers the places from floor(i * size / out) up to ceil((i + 1) * size / out), as in PyTorch. Adjacent bins
    may share a place.
    """

    size: Sizes
    out: Sizes

    @property
    def kernel(self) -> Sizes:
        """The largest number of places in a bin."""
        return tuple(
            n // bins if n % bins == 0 else (n + bins - 2) // bins + 1
            for n, bins in zip(self.size, self.out, strict=True)
        )

    @property
    def overlap(self) -> Sizes:
        """The largest number of adjacent bins that share a place."""
        return tuple(-(-bins // n) + 1 for n, bins in zip(self.size, self.out, strict=True))

    def ends(self, builder: Builder, axis: int, out: Expr) -> tuple[Expr, Expr]:
        """Return the first place of a bin and the end behind its last."""
        size = builder.integer(f"size{axis}", self.size[axis])
        bins = builder.integer(f"out{axis}", self.out[axis])
        return call("idiv", out * size, bins), call("idiv", (out + 1) * size + bins - 1, bins)

    def sources(
        self, builder: Builder, outs: Sequence[Expr], taps: Sequence[Expr]
    ) -> tuple[list[Expr], Expr]:
        """Return the places of bins at taps, and whether the bins have that many places."""
        places, inside = [], []
        for axis, (out, tap) in enumerate(zip(outs, taps, strict=True)):
            start, end = self.ends(builder, axis, out)
            places.append(start + tap)
            inside.append(places[-1] < end)
        return places, every(inside)

    def first_reader(self, builder: Builder, axis: int, place: Expr) -> Expr:
        """Return the lowest bin that holds ``place``."""
        bins = builder.integer(f"out{axis}", self.out[axis])
        return call("idiv", place * bins, builder.integer(f"size{axis}", self.size[axis]))


def window_of(shape: Sequence[int], attributes: dict[str, Any]) -> Window | Bins:
    """Return the windows of a pooling op over an image (N, C, *size): those of ``kernel`` and strides, or ``bins``."""
    size = tuple(shape[2:])
    if "bins" in attributes:
        return Bins(size, attributes["bins"])
    kernel, stride, padding = attributes["kernel"], attributes["stride"], both_sides(attributes["padding"])
    dilation = attributes.get("dilation", (1,) * len(kernel))
    ceil_mode = attributes["ceil_mode"]
    out = tuple(
        out_size(*sizes, ceil_mode) for sizes in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return Window(size, kernel, out, stride, padding, dilation)
