"""Folds: accumulators, how two of them combine, and the fixed tree that joins the lanes of a vector.

The shape of the tree depends only on the sizes and the kernel: never on threads or on the machine's registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weft.codegen.folds import identity, rounds
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.memory import LANES
from weft.dtypes import DType
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import IRValue, literal
from weft.expr.node import INDEX
from weft.kernels import Reduction

BLOCK: Final = 256
"""Steps of an inner loop whose sum is added to the total as a block: this bounds rounding errors of long sums."""

_COMBINE: Final[Mapping[str, str]] = {
    "sum": "x + y", "prod": "x * y", "max": "maximum(y, x)", "largest": "larger(y, x)",
    "min": "minimum(y, x)", "any": "x | y", "all": "x & y",
}  # fmt: skip
_NO_POSITION: Final = 2**63 - 1

# Whether candidate (y at q) replaces (x at p): it is more extreme, or the first NaN, or equal and earlier.
_BEFORE: Final = (
    "new = (y {sign} x) | ((y != y) & (x == x))\n"
    "same = (y == x) | ((y != y) & (x != x))\n"
    "new | (same & (q < p))"
)
_EXTREME: Final[Mapping[str, str]] = {"argmax": _BEFORE.format(sign=">"), "argmin": _BEFORE.format(sign="<")}


@dataclass(frozen=True)
class Accumulator:
    """The variables of one reduction: a value, and for argmax and argmin also its position."""

    reduction: Reduction
    lanes: int
    parts: tuple[tuple[str, DType], ...]  # address, type

    @classmethod
    def make(cls, writer: FunctionWriter, reduction: Reduction, lanes: int) -> Accumulator:
        """Allocate an accumulator, without a value yet."""
        types = [reduction.value.dtype]
        if reduction.combine in _EXTREME:
            types.append(INDEX)
        parts = tuple((writer.local(IRValue("", dtype, lanes).type), dtype) for dtype in types)
        return cls(reduction, lanes, parts)

    def reset(self, emitter: Emitter) -> None:
        """Set to the identity."""
        start = identity(self.reduction.combine, self.reduction.value.dtype)
        self.write(emitter, [
            emitter.splat(IRValue(literal(value, dtype), dtype), self.lanes)
            for value, (_, dtype) in zip((start, _NO_POSITION), self.parts, strict=False)
        ])  # fmt: skip

    def read(self, emitter: Emitter) -> list[IRValue]:
        """Return the accumulated values."""
        empty = [IRValue("", dtype, self.lanes) for _, dtype in self.parts]
        return [
            IRValue(emitter.lines.let(f"load {value.type}, ptr {address}"), value.dtype, self.lanes)
            for (address, _), value in zip(self.parts, empty, strict=True)
        ]

    def write(self, emitter: Emitter, values: Sequence[IRValue]) -> None:
        """Replace the accumulated values."""
        for (address, _), value in zip(self.parts, values, strict=True):
            emitter.lines.do(f"store {value.type} {value.text}, ptr {address}")

    def take(self, emitter: Emitter, values: Sequence[IRValue], mask: IRValue | None = None) -> None:
        """Fold values in, in the lanes of the mask."""
        old = self.read(emitter)
        new = combine(
            emitter, self.reduction.combine, old, [emitter.splat(value, self.lanes) for value in values]
        )
        if mask is not None:
            new = [emitter.select(mask, after, before) for after, before in zip(new, old, strict=True)]
        self.write(emitter, new)

    def narrowed(self, emitter: Emitter, lanes: int) -> list[IRValue]:
        """Return the accumulated values, with halves combined until ``lanes`` are left."""
        values = self.read(emitter)
        while values[0].lanes > lanes:
            halves = [_halves(emitter, value) for value in values]
            values = combine(
                emitter, self.reduction.combine, [low for low, _ in halves], [high for _, high in halves]
            )
        return values

    def result(self, emitter: Emitter, joined: bool) -> IRValue:
        """Return the reduction's value: of all lanes combined if ``joined``, else of each lane."""
        values = self.narrowed(emitter, 1 if joined else self.lanes)
        if len(values) == 1:
            return values[0]
        position = values[1]  # of an empty space, 0
        none = IRValue(literal(_NO_POSITION, INDEX), INDEX)
        return emitter.apply(
            "where(p == none, p * 0, p)", {"p": position, "none": emitter.splat(none, position.lanes)}
        )


def combine(emitter: Emitter, name: str, old: Sequence[IRValue], new: Sequence[IRValue]) -> list[IRValue]:
    """Combine two partial results."""
    if name in _COMBINE:
        return [emitter.apply(_COMBINE[name], {"x": old[0], "y": new[0]})]
    before = emitter.apply(_EXTREME[name], {"x": old[0], "p": old[1], "y": new[0], "q": new[1]})
    return [emitter.select(before, after, kept) for after, kept in zip(new, old, strict=True)]


def _halves(emitter: Emitter, value: IRValue) -> tuple[IRValue, IRValue]:
    """Return the lower and the upper lanes of a vector."""
    half = value.lanes // 2
    if half == 1:
        return emitter.lane(value, 0), emitter.lane(value, 1)
    both = []
    for first in (0, half):
        lanes = ", ".join(f"i32 {lane}" for lane in range(first, first + half))
        given = f"{value.type} {value.text}, {value.type} poison, <{half} x i32> <{lanes}>"
        both.append(IRValue(emitter.lines.let(f"shufflevector {given}"), value.dtype, half))
    return both[0], both[1]


@dataclass(frozen=True)
class Pass:
    """The accumulators of the reductions that share one pass over the reduction axes.

    ``folds`` and ``wide`` hold the total of each reduction and the accumulator of its current block; both are the
    same where the order of the fold does not matter. ``wide`` accumulators take whole runs of a row, since a single
    vector would wait for each addition. ``later`` are the block accumulators of the second and further turns.
    """

    folds: tuple[tuple[Accumulator, Accumulator], ...] = ()
    wide: tuple[tuple[Accumulator, Accumulator], ...] = ()
    later: tuple[tuple[Accumulator, ...], ...] = ()

    @classmethod
    def make(
        cls,
        writer: FunctionWriter,
        emitter: Emitter,
        group: Sequence[Reduction],
        lanes: int,
        turns: int,
        wide: int,
    ) -> Pass:
        """Allocate accumulators of ``lanes`` values for each turn, and of ``wide`` values unless ``wide`` is 0."""

        def pairs(lanes: int) -> tuple[tuple[Accumulator, Accumulator], ...]:
            made = []
            for reduction in group:
                total = Accumulator.make(writer, reduction, lanes)
                total.reset(emitter)
                made.append(
                    (total, Accumulator.make(writer, reduction, lanes) if rounds(reduction) else total)
                )
            return tuple(made)

        folds, broad = pairs(lanes), pairs(wide) if wide else ()
        later = tuple(
            tuple(Accumulator.make(writer, reduction, lanes) for reduction in group) for _ in range(turns - 1)
        )
        return cls(folds, broad, later)

    @property
    def in_blocks(self) -> bool:
        """Whether a fold rounds, so that long folds are done in blocks."""
        return any(rounds(total.reduction) for total, _ in self.folds)

    @property
    def turns(self) -> int:
        """How many accumulators of a reduction take its values in turn."""
        return 1 + len(self.later)

    def blocks(self, width: int, turn: int) -> Sequence[Accumulator]:
        """Return the accumulators that take ``width`` values in a turn."""
        if turn:
            return self.later[turn - 1]
        return [block for _, block in (self.wide if width > LANES else self.folds)]

    def begin(self, emitter: Emitter) -> None:
        """Reset the blocks."""
        for total, block in (*self.folds, *self.wide):
            if block is not total:
                block.reset(emitter)
        for block in (block for turn in self.later for block in turn):
            block.reset(emitter)

    def end(self, emitter: Emitter) -> None:
        """Add the blocks to the totals."""
        for position, (total, block) in enumerate((*self.folds, *self.wide)):
            for turn in self.later:
                block.take(emitter, turn[position].read(emitter))
            if block is not total:
                total.take(emitter, block.read(emitter))

    def totals(self, emitter: Emitter) -> list[Accumulator]:
        """Add the wide totals to the others, and return these."""
        for (total, _), (wide, _) in zip(self.folds, self.wide, strict=False):
            total.take(emitter, wide.narrowed(emitter, total.lanes))
        return [total for total, _ in self.folds]
