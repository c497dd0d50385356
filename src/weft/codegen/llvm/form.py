"""How a part is written, as data that is decided before the first line: lanes, accumulators, loops bound by memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from weft.codegen.llvm.lanes import folds_wide, is_light, lanes_of
from weft.codegen.llvm.memory import LANES, WIDE, Memory
from weft.codegen.llvm.predicate import predicated
from weft.codegen.llvm.stream import STREAM_ATTRIBUTE, Stream, stream
from weft.expr import Expr
from weft.expr.llvm_text import IRValue
from weft.kernels import Axis, Part

TURNS: Final = 4
"""Accumulators that take the rows of a narrow matrix in turn: a single one would wait for each addition."""


@dataclass(frozen=True)
class Span:
    """The values that one run of a loop's body takes: how many, which lanes are real (``None``: all), and its turn."""

    width: int = 1
    mask: IRValue | None = None
    turn: int = 0


@dataclass(frozen=True)
class PointForm:
    """How one point is computed, or ``lanes`` neighbouring points at a time.

    ``along`` is the reduction axis whose values are the lanes of a vector (``None``: its values are taken one by
    one). ``turns`` is how many accumulators take the values of a reduction in turn.
    """

    part: Part
    along: Axis | None
    lanes: int = 1
    turns: int = 1

    @property
    def width(self) -> int:
        """The lanes of an accumulator."""
        return self.lanes if self.along is None else LANES


@dataclass(frozen=True)
class PartForm:
    """How a part is written.

    ``part`` is the part itself and ``masked`` the part as lanes compute it, with predicates for loads. Lanes run
    along ``inner``, the innermost reduction axis, or along ``outer``, the last axis, or there are none.
    ``gathers``: columns that fill no vector are computed one by one, as their loads are not contiguous.
    ``columns`` are the lanes along ``outer``. ``streams``: the loop is bound by memory. ``nontemporal`` describes its
    non-temporal store.
    """

    part: Part
    masked: Part
    inner: Axis | None
    outer: Axis | None
    gathers: bool
    columns: int
    streams: bool
    nontemporal: Stream | None
    attributes: str

    @property
    def varying(self) -> frozenset[Expr]:
        """The results that differ from lane to lane: those of reductions for each column."""
        if self.outer is None:
            return frozenset()
        return frozenset(reduction.result for reduction in self.part.reductions)

    @property
    def point(self) -> PointForm:
        """How a single point is computed."""
        return PointForm(self.part if self.inner is None else self.masked, self.inner)

    def neighbours(self, lanes: int, turns: int = 1) -> PointForm:
        """How ``lanes`` points along ``outer`` are computed."""
        return PointForm(self.masked, None, lanes, turns)


def part_form(part: Part, memory: Memory) -> PartForm:
    """Decide how a part is written; ``memory`` has the element types of its buffers."""
    inner, outer, gathers = lanes_of(part)
    light = len(part.reductions) == 1 and folds_wide(part.reductions)
    streams = inner is None and outer is None and not part.reductions and is_light(part)
    sums = light and part.reductions[0].combine == "sum" and inner is not None
    return PartForm(
        part=part,
        masked=part if inner is None and outer is None else predicated(part, points=outer is not None),
        inner=inner,
        outer=outer,
        gathers=gathers,
        columns=WIDE if outer is not None and not gathers and light else LANES,
        streams=streams,
        nontemporal=stream(part, memory) if streams else None,
        attributes=STREAM_ATTRIBUTE if sums or streams else "",
    )
