"""How elements are written and folded at index tensors: the steps behind ``index_put`` and ``scatter``.

Places that are named more than once are handled in a fixed order, never by races. For ``replace`` a table holds, for
every place, the last index that names it. For folds the rows of a place are folded first, in the order of their
indices: one after another on the cpu; elsewhere a stable sort brings them together and a tree, which depends only on
the indices, folds each run. K indices into N places cost O(N + K log K) at most; one index costs what it writes. Few
take no memory for the N places: on the cpu they are written into a dense target one after another, and elsewhere each
index looks for the last one with its place, or for the fold of its place. Every index writes; those that name one
place write the same value there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from weft import dtypes
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Library, Offset, Operand, coalesce
from weft.ops.index.equal_keys import COMPARED, FOLDS, few_fold, last_rows, table_fold, zero_step
from weft.ops.pointwise.expressions import broadcast_strides
from weft.ops.registry.geometry import broadcast_shapes, contiguous_strides
from weft.ops.registry.temporaries import Scratch, is_dense
from weft.ops.views.ops import copy_step
from weft.target import TargetProfile

Coordinates = Callable[[Builder, Sequence[Expr], bool], list[Expr]]

COMBINE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "amax": lambda a, b: call("maximum", a, b),
    "amin": lambda a, b: call("minimum", a, b),
}
MODES = ("replace", *COMBINE)
_OF_BOOL = {"sum": "amax", "prod": "amin"}
"""Folds of bool, whose sum is whether any holds and whose product whether all do."""
FEW = 4
"""Where several but fewer than one of so many places are named, they are written without a table of all places.

One row is written by a kernel of its own, which the plan can fuse and whose reads and writes it sees.
"""
SPARSE = 64
"""Where fewer than one of so many places is named, many indices are written without a table of all places."""


def checked(builder: Builder, index: Expr, size: Expr, wrap: bool, check: bool) -> Expr:
    """An index as int64, counted from the end where negative (``wrap``); reported and 0 where out of range."""
    wide = cast(index, INDEX)
    place = where(wide < 0, wide + size, wide) if wrap else wide
    valid = (place >= 0) & (place < size)
    if check:
        builder.check(valid, wide)
    return where(valid, place, const(0, INDEX))


@dataclass(frozen=True)
class Points:
    """The places that an op names: one for each element of ``shape``, in the leading dimensions ``lead`` of x."""

    shape: tuple[int, ...]
    lead: tuple[int, ...]
    rest: tuple[int, ...]
    coordinates: Coordinates

    @property
    def count(self) -> int:
        """How many indices there are."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Elements at each place."""
        return math.prod(self.rest)


def fronted(operand: Operand, dim: int, count: int) -> Operand:
    """The operand seen with ``count`` dimensions from ``dim`` on before all others."""
    if not dim:
        return operand
    order = [*range(dim, dim + count), *range(dim), *range(dim + count, len(operand.shape))]
    shape, strides = operand.shape, operand.strides
    return replace(operand, shape=tuple(shape[d] for d in order), strides=tuple(strides[d] for d in order))


def index_points(lead: tuple[int, ...], indices: Sequence[Operand], wrap: bool) -> Points:
    """Index tensors, broadcast, for dimensions of sizes ``lead``; ``wrap``: negative ones count from the end."""
    shape = broadcast_shapes("index", *(index.shape for index in indices))

    def coordinates(builder: Builder, axes: Sequence[Expr], check: bool) -> list[Expr]:
        found = []
        for d, index in enumerate(indices):
            loaded = builder.load(index, axes, broadcast_strides(index, shape) or (0,))
            found.append(checked(builder, loaded, builder.integer(f"bound{d}", lead[d]), wrap, check))
        return found

    return Points(shape, lead, (), coordinates)


def scatter_points(x: Operand, index: Operand, dim: int) -> Points:
    """One index tensor for dimension ``dim``; in the others a place has the index's own coordinates."""

    def coordinates(builder: Builder, axes: Sequence[Expr], check: bool) -> list[Expr]:
        loaded = builder.load(index, axes, index.strides or (0,))
        bound = builder.integer("bound", x.shape[dim] if x.shape else 1)
        row = checked(builder, loaded, bound, False, check)
        return [row if d == dim else axis for d, axis in enumerate(axes)]

    return Points(index.shape or (1,), x.shape or (1,), (), coordinates)


def lower_put(
    name: str, operands: Sequence[Operand], target: Operand, points: Points, mode: str, profile: TargetProfile
) -> KernelProgram:
    """Steps that write or fold ``operands[1]``, of the points' shape and rest, into a copy of ``operands[0]``."""
    x, values = operands[0], operands[1]
    if x.dtype is dtypes.bool_:
        mode = _OF_BOOL.get(mode, mode)
    steps: list[KernelStep] = []
    if x is not target and math.prod(target.shape) > 0:
        steps.append(copy_step(name, x, target, x.shape, x.strides, target.strides))
    if not points.count * points.width:
        return KernelProgram(tuple(steps))
    scratch = Scratch(len(operands) + 1)
    keys = scratch.take(dtypes.int64, (points.count,))
    steps.append(_keys_step(points, keys))
    accumulator = (
        x.dtype if mode == "replace" else dtypes.int32 if x.dtype is dtypes.bool_ else x.dtype.compute
    )
    parts = scratch.take(accumulator, (points.count, points.width))
    steps.append(
        copy_step("put_values", values, parts, values.shape, values.strides, contiguous_strides(values.shape))
    )
    few = mode != "replace" or 1 < points.count < math.prod(points.lead) // FEW
    if few and not profile.capabilities.workgroups and target.dtype is accumulator and is_dense(target):
        fold = Library("ordered_fold", (accumulator,), (("combine", FOLDS.get(mode, mode)),))
        sizes = (points.count, points.width, Offset(target.index))
        steps.append(KernelStep(fold, (keys.index, parts.index, target.index), sizes))
        return KernelProgram(tuple(steps), tuple(scratch.taken))
    if points.count == 1:
        steps += _write_steps(name, Put(points, mode, keys, None, parts, target), scratch)
        return KernelProgram(tuple(steps), tuple(scratch.taken))
    places = math.prod(points.lead)
    if points.count < places // few_of(points.count):
        if mode == "replace":
            last = last_rows(steps, scratch, keys, profile)
        else:
            parts, last = few_fold(steps, scratch, keys, parts, mode, profile)
        steps += _write_steps(name, Put(points, mode, keys, None, parts, target, last), scratch)
        return KernelProgram(tuple(steps), tuple(scratch.taken))
    table = scratch.take(dtypes.int64, (places,))
    steps.append(zero_step(table))
    if mode == "replace":
        steps.append(
            KernelStep(Library("last_place", (dtypes.int64,)), (keys.index, table.index), (points.count,))
        )
    else:
        parts = table_fold(steps, scratch, keys, parts, table, mode, profile)
    put = Put(points, mode, keys, table, parts, target)
    if not profile.capabilities.narrow_stores and target.dtype.bits < 32:
        steps.append(_merge_step(name, put))
    else:
        steps += _write_steps(name, put, scratch)
    return KernelProgram(tuple(steps), tuple(scratch.taken))


def few_of(count: int) -> int:
    """Return of how many places so many indices name one at most, where no table of all places is made."""
    return FEW if count <= COMPARED else SPARSE


@dataclass(frozen=True)
class Put:
    """What the last steps of a write need: for each place, ``table`` holds 1 + the row of ``parts`` for it, or 0.

    Or for each index ``last`` holds the row of ``parts`` for its place. Without both each row is for the place of its
    index.
    """

    points: Points
    mode: str
    keys: Operand
    table: Operand | None
    parts: Operand
    target: Operand
    last: Operand | None = None

    @property
    def chosen(self) -> bool:
        """Whether the row for an index is looked up."""
        return self.table is not None or self.last is not None

    def part_strides(self) -> tuple[int, ...]:
        """Strides of ``parts`` over a row and the rest dimensions."""
        return (self.points.width, *contiguous_strides(self.points.rest))


def _keys_step(points: Points, keys: Operand) -> KernelStep:
    """Each index as one number, the row-major position of its place; indices are checked here."""
    builder = Builder("put_keys")
    shape = points.shape or (1,)
    axes = builder.axes(shape)
    key: Expr = const(0, INDEX)
    strides = contiguous_strides(points.lead)
    for d, place in enumerate(points.coordinates(builder, axes, True)):
        key = key + place * builder.integer(f"step{d}", strides[d])
    builder.store(keys, axes, key, contiguous_strides(shape))
    return builder.finish()


def _write_steps(name: str, put: Put, scratch: Scratch) -> list[KernelStep]:
    """Each index writes its place; indices that name one place write the same value there."""
    if put.mode == "replace":
        return [_write_step(name, put, put.parts, by_table=put.chosen)]
    results = scratch.take(put.parts.dtype, put.parts.shape)
    builder, places, row, columns, (own, part, result) = _traversal(f"{name}_fold", put)
    folded = _part_of(builder, put, put.parts, row, columns, part, put.chosen)
    lead = lead_strides(put)
    old = cast(builder.load(put.target, [*places, *columns], [*lead, *own]), put.parts.dtype)
    at = contiguous_strides(put.points.shape or (1,))
    strides = [*(stride * put.points.width for stride in at), *result]
    builder.store(results, [*row, *columns], COMBINE[put.mode](old, folded), strides)
    return [builder.finish(), _write_step(name, put, results, by_table=False)]


def _row_of(builder: Builder, put: Put, row: Sequence[Expr]) -> Expr:
    strides = contiguous_strides(put.points.shape or (1,))
    if put.last is not None:
        return builder.load(put.last, row, strides)
    assert put.table is not None
    key = builder.load(put.keys, row, strides)
    return builder.load(put.table, [key]) - 1


def _part_of(
    builder: Builder, put: Put, source: Operand, row: Sequence[Expr], columns: Sequence[Expr],
    part: tuple[int, ...], by_table: bool,
) -> Expr:  # fmt: skip
    """What is written for an index: the row that the table names for its place, or that of the index itself."""
    if by_table:
        return builder.load(source, [_row_of(builder, put, row), *columns], [put.points.width, *part])
    at = [stride * put.points.width for stride in contiguous_strides(put.points.shape or (1,))]
    return builder.load(source, [*row, *columns], [*at, *part])


def _write_step(name: str, put: Put, source: Operand, by_table: bool) -> KernelStep:
    builder, places, row, columns, (own, part, _) = _traversal(name, put)
    value = _part_of(builder, put, source, row, columns, part, by_table)
    builder.store(put.target, [*places, *columns], value, [*lead_strides(put), *own])
    return builder.finish()


def _traversal(
    name: str, put: Put
) -> tuple[Builder, list[Expr], list[Expr], list[Expr], list[tuple[int, ...]]]:
    """A kernel over indices and rest: the places, the axes of both, and strides of target, parts and results."""
    points, lead = put.points, len(put.points.lead)
    dense = contiguous_strides(points.rest)
    target_rest = put.target.strides[lead:] if put.target.strides else ()
    rest, strides = coalesce(points.rest, [target_rest, dense, dense])
    builder = Builder(name)
    row = builder.axes(points.shape or (1,))
    columns = builder.axes(rest, "c")
    if lead == 1 and points.rest:
        places = [builder.load(put.keys, row, contiguous_strides(points.shape or (1,)))]
    else:
        places = points.coordinates(builder, row, False)
    return builder, places, row, columns, strides


def lead_strides(put: Put) -> tuple[int, ...]:
    """The target's strides over the places; of a 0-d one those of a vector of one element."""
    return put.target.strides[: len(put.points.lead)] or (0,)


def _merge_step(name: str, put: Put) -> KernelStep:
    """Every element of the target takes its old value or the table's: one writer each, for types packed in words."""
    points, lead = put.points, len(put.points.lead)
    strides = put.target.strides or (0,)
    builder = Builder(name)
    axes = builder.axes((*points.lead, *points.rest))
    assert put.table is not None
    place = builder.load(put.table, axes[:lead], contiguous_strides(points.lead))
    hit = place > 0
    row = where(hit, place - 1, const(0, INDEX))
    value = builder.load(put.parts, [row, *axes[lead:]], put.part_strides())
    old = builder.load(put.target, axes, strides)
    if put.mode != "replace":
        value = COMBINE[put.mode](cast(old, value.dtype), value)
    builder.store(put.target, axes, where(hit, cast(value, old.dtype), old), strides)
    return builder.finish()
