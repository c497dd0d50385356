"""The kernels of ``index_put`` and ``scatter``, which write or fold rows of values at index tensors.

Indices that name the same place are handled in a fixed order, without races:

- ``replace``: a table holds, for every place, the last index that names it.
- Folds: the rows of the same place are folded first, in the order of their indices. The CPU folds them in a loop. A GPU
  sorts the places by a stable sort and folds each run of equal places by a tree, which depends on the indices alone.

K indices into N places take O(N + K log K) time at most. Few indices take no memory for the N places: the CPU writes
them into a dense target in a loop; on a GPU each index finds the last index of its place, or the fold of its place,
among the indices. Every index writes, and the indices of a place write the same value.
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
"""Gives the coordinates of a place from the axes over the indices; checks the indices where the flag is set."""

COMBINE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "amax": lambda a, b: call("maximum", a, b),
    "amin": lambda a, b: call("minimum", a, b),
}
MODES = ("replace", *COMBINE)
_OF_BOOL = {"sum": "amax", "prod": "amin"}
"""Folds of bool: a sum is true where any element is, a product where all elements are."""
FEW = 4
"""Places per index from which up to ``COMPARED`` indices are written without a table of all places.

A single index has a kernel of its own, which the plan can fuse.
"""
SPARSE = 64
"""Places per index from which more indices than ``COMPARED`` are written without a table of all places."""


def checked(builder: Builder, index: Expr, size: Expr, wrap: bool, check: bool) -> Expr:
    """Return an index as int64: counted from the end where negative (``wrap``), 0 and reported where out of range."""
    wide = cast(index, INDEX)
    place = where(wide < 0, wide + size, wide) if wrap else wide
    valid = (place >= 0) & (place < size)
    if check:
        builder.check(valid, wide)
    return where(valid, place, const(0, INDEX))


@dataclass(frozen=True)
class Points:
    """The places that an op names: a place for each element of ``shape``, in the leading dimensions ``lead`` of x.

    At each place there are elements of the dimensions ``rest``.
    """

    shape: tuple[int, ...]
    lead: tuple[int, ...]
    rest: tuple[int, ...]
    coordinates: Coordinates

    @property
    def count(self) -> int:
        """The number of indices."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """The number of elements at each place."""
        return math.prod(self.rest)


def with_leading(operand: Operand, dim: int, count: int) -> Operand:
    """Return the operand, by strides alone, with the ``count`` dimensions from ``dim`` on in front."""
    if not dim:
        return operand
    order = [*range(dim, dim + count), *range(dim), *range(dim + count, len(operand.shape))]
    shape, strides = operand.shape, operand.strides
    return replace(operand, shape=tuple(shape[d] for d in order), strides=tuple(strides[d] for d in order))


def index_points(lead: tuple[int, ...], indices: Sequence[Operand], wrap: bool) -> Points:
    """Return the places of broadcast index tensors for dimensions ``lead``; ``wrap`` allows negative indices."""
    shape = broadcast_shapes("index", *(index.shape for index in indices))

    def coordinates(builder: Builder, axes: Sequence[Expr], check: bool) -> list[Expr]:
        found = []
        for d, index in enumerate(indices):
            loaded = builder.load(index, axes, broadcast_strides(index, shape) or (0,))
            found.append(checked(builder, loaded, builder.integer(f"bound{d}", lead[d]), wrap, check))
        return found

    return Points(shape, lead, (), coordinates)


def scatter_points(x: Operand, index: Operand, dim: int) -> Points:
    """Return the places of an index tensor for ``dim``; in the other dimensions a place has the index's coordinates."""

    def coordinates(builder: Builder, axes: Sequence[Expr], check: bool) -> list[Expr]:
        loaded = builder.load(index, axes, index.strides or (0,))
        bound = builder.integer("bound", x.shape[dim] if x.shape else 1)
        row = checked(builder, loaded, bound, False, check)
        return [row if d == dim else axis for d, axis in enumerate(axes)]

    return Points(index.shape or (1,), x.shape or (1,), (), coordinates)


def lower_put(
    name: str, operands: Sequence[Operand], target: Operand, points: Points, mode: str, profile: TargetProfile
) -> KernelProgram:
    """Return the steps that write or fold ``operands[1]``, of the points' shape and rest, into ``target``."""
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
        return scratch.program(steps)
    if points.count == 1:
        steps += _write_steps(name, Put(points, mode, keys, None, parts, target), scratch)
        return scratch.program(steps)
    places = math.prod(points.lead)
    if points.count < places // places_per_index(points.count):
        if mode == "replace":
            last = last_rows(steps, scratch, keys, profile)
        else:
            parts, last = few_fold(steps, scratch, keys, parts, mode, profile)
        steps += _write_steps(name, Put(points, mode, keys, None, parts, target, last), scratch)
        return scratch.program(steps)
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
    return scratch.program(steps)


def places_per_index(count: int) -> int:
    """Return the number of places per index from which ``count`` indices are written without a table of all places."""
    return FEW if count <= COMPARED else SPARSE


@dataclass(frozen=True)
class Put:
    """The operands of the last steps of a write, which write rows of ``parts`` to places.

    Either ``table`` holds, for each place, 1 + its row of ``parts``, or 0. Or ``last`` holds, for each index, the row
    of its place. Without both, each row is for the place of its index.
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
        """Return the strides of ``parts`` over rows and the rest dimensions."""
        return (self.points.width, *contiguous_strides(self.points.rest))


def _keys_step(points: Points, keys: Operand) -> KernelStep:
    """Return the kernel that checks the indices and writes each as a key: the row-major position of its place."""
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
    """Return the steps in which each index writes its place; indices of the same place write the same value."""
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
    """Return the value that an index writes: of the row that is looked up for its place, or of the index's own row."""
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
    """Return a kernel over indices and rest, the places, the axes of both, and strides of target, parts and results."""
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
    """Return the target's strides over the places; of a 0-d target, those of a vector of 1 element."""
    return put.target.strides[: len(put.points.lead)] or (0,)


def _merge_step(name: str, put: Put) -> KernelStep:
    """Return the kernel over the target in which each element keeps its value or takes that of the table.

    Every element has a single writer, as types need that are packed in words.
    """
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
