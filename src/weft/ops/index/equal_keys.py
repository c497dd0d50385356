"""Equal keys in a list of keys: the last position of each key, and folds of the rows of equal keys.

A key is the number of the place that an index names. The functions take memory by the number of keys, whatever their
values are, except ``table_fold``, which is given a table of all places.
"""

from __future__ import annotations

from collections.abc import Callable

from weft import dtypes
from weft.expr import Expr, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelStep, Library, Operand
from weft.ops.reduce.sorting import order_steps
from weft.ops.registry.temporaries import Scratch
from weft.target import TargetProfile

COMPARED = 1024
"""The most keys whose last positions are found by comparing all pairs of keys."""
FOLDS = {"sum": "sum", "prod": "prod", "amax": "max", "amin": "min"}


def zero_step(table: Operand) -> KernelStep:
    """Return the kernel that fills a table with zeros."""
    builder = Builder("put_table")
    axes = builder.axes(table.shape)
    builder.store(table, axes, const(0, INDEX))
    return builder.finish()


def last_rows(steps: list[KernelStep], scratch: Scratch, keys: Operand, profile: TargetProfile) -> Operand:
    """Return, for each key, the last position of an equal key: by comparing all pairs, or by binary search."""
    if keys.shape[0] <= COMPARED:
        last = scratch.take(dtypes.int64, keys.shape)
        builder = Builder("put_last")
        axes, others = builder.axes(keys.shape), builder.reduce_axes(keys.shape)
        equal = builder.load(keys, others).equals(builder.load(keys, axes))
        builder.store(last, axes, builder.reduce("max", where(equal, others[0], const(0, INDEX))))
        steps.append(builder.finish())
        return last
    ordered, order = _sorted_keys(steps, scratch, keys, profile)

    def last_of(builder: Builder, key: Expr) -> Expr:
        through = _count(builder, ordered, lambda other: other <= key)
        return builder.load(order, [through - 1])

    return _for_each(steps, scratch, "put_last_sorted", keys, last_of)


def few_fold(
    steps: list[KernelStep],
    scratch: Scratch,
    keys: Operand,
    parts: Operand,
    mode: str,
    profile: TargetProfile,
) -> tuple[Operand, Operand]:
    """Fold the rows of equal keys; return the folded rows, and for each key the number of its folded row.

    A key is replaced by the position of the first equal key in sorted order, a number below the number of keys. The
    table then has an entry for each key, and none for other places.
    """
    ordered, order = _sorted_keys(steps, scratch, keys, profile)
    table = scratch.take(dtypes.int64, keys.shape)
    steps.append(zero_step(table))
    numbers = _for_each(
        steps, scratch, "put_first", keys,
        lambda builder, key: _count(builder, ordered, lambda other: other < key),
    )  # fmt: skip
    if not profile.capabilities.workgroups:
        steps.append(_cpu_fold(numbers, parts, table, mode))
        rows = _for_each(
            steps, scratch, "put_rows", numbers, lambda builder, number: builder.load(table, [number]) - 1
        )
        return parts, rows
    in_order = _for_each(
        steps, scratch, "put_ordered", order, lambda builder, place: builder.load(numbers, [place])
    )
    return _sorted_fold(steps, scratch, (in_order, order), parts, table, mode), numbers


def table_fold(
    steps: list[KernelStep], scratch: Scratch, keys: Operand, parts: Operand, table: Operand, mode: str,
    profile: TargetProfile,
) -> Operand:  # fmt: skip
    """Fold the rows of equal keys and return the folded rows; ``table`` becomes 1 + the folded row of each key."""
    if not profile.capabilities.workgroups:
        steps.append(_cpu_fold(keys, parts, table, mode))
        return parts
    return _sorted_fold(steps, scratch, _sorted_keys(steps, scratch, keys, profile), parts, table, mode)


def _cpu_fold(keys: Operand, parts: Operand, table: Operand, mode: str) -> KernelStep:
    """Return the step that folds rows in their order, each into the first row of its key."""
    fold = Library("segment_fold", (parts.dtype,), (("combine", FOLDS[mode]),))
    return KernelStep(fold, (keys.index, parts.index, table.index), (parts.shape[0], parts.shape[1]))


def _sorted_fold(
    steps: list[KernelStep], scratch: Scratch, given: tuple[Operand, Operand], parts: Operand, table: Operand, mode: str
) -> Operand:  # fmt: skip
    """Fold runs of equal keys, given in ascending order with their positions, by a tree; return the folded rows."""
    (ordered, order), (count, width) = given, parts.shape
    sums = scratch.take(parts.dtype, parts.shape)
    for stage, buffers in (
        ("chunks", (ordered, order, parts, sums, table)),
        ("segments", (ordered, sums)),
    ):
        fold = Library("segment_fold", (parts.dtype,), (("combine", FOLDS[mode]), ("stage", stage)))
        steps.append(KernelStep(fold, tuple(operand.index for operand in buffers), (count, width)))
    return sums


def _sorted_keys(
    steps: list[KernelStep], scratch: Scratch, keys: Operand, profile: TargetProfile
) -> tuple[Operand, Operand]:
    """Return the keys in ascending order, and their positions in the list."""
    found, order = order_steps(keys, False, profile, scratch)
    steps += found
    ordered = _for_each(
        steps, scratch, "put_sorted_keys", order, lambda builder, place: builder.load(keys, [place])
    )
    return ordered, order


def _for_each(
    steps: list[KernelStep],
    scratch: Scratch,
    name: str,
    given: Operand,
    make: Callable[[Builder, Expr], Expr],
) -> Operand:
    """Return a new int64 list, whose elements ``make(builder, element)`` gives from the elements of ``given``."""
    made = scratch.take(dtypes.int64, given.shape)
    builder = Builder(name)
    axes = builder.axes(given.shape)
    builder.store(made, axes, make(builder, builder.load(given, axes)))
    steps.append(builder.finish())
    return made


def _count(builder: Builder, ordered: Operand, holds: Callable[[Expr], Expr]) -> Expr:
    """Return the number of leading elements of a sorted list for which a condition holds, by bisection."""
    size, found = builder.integer("n", ordered.shape[0]), const(0, INDEX)
    for bit in reversed(range(ordered.shape[0].bit_length())):
        reach = found + const(1 << bit, INDEX)
        inside = reach <= size
        within = inside & holds(builder.load(ordered, [where(inside, reach - 1, const(0, INDEX))]))
        found = where(within, reach, found)
    return found
