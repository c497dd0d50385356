"""The table of the dimensions along which the operands and outputs of each op may be split.

A row gives the *splits* of a call: running the op on each piece gives the same bits as on the whole tensors. Ops whose
pieces do not are in ``assembling``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from weft.dtypes import DType
from weft.ops import OpSpec
from weft.tensors.array import Array

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Operands and attributes."""


@dataclass(frozen=True)
class Split:
    """A way to split a call: for each operand and output the dimension that is narrowed, ``None`` where it stays whole.

    ``change(call, start, stop)`` gives the operands and attributes of a piece where narrowing alone does not.
    """

    length: int
    operands: tuple[int | None, ...]
    targets: tuple[int | None, ...]
    change: Callable[[Arguments, int, int], Arguments] | None = None

    def narrows(self, values: Sequence[Any], worst: Any) -> int | None:
        """Return the dimension of ``worst``, which is an operand or output, that is narrowed."""
        axes = [
            axis
            for axis, value in zip((*self.operands, *self.targets), values, strict=True)
            if value is worst
        ]
        return axes[0] if axes and all(axis == axes[0] for axis in axes) else None


Rule = Callable[[tuple[Any, ...], tuple[Array, ...], dict[str, Any]], Iterator[Split]]


def _aligned(value: Any, axis: int, rank: int, length: int) -> int | None:
    """Return the dimension of a value that broadcasts along ``axis`` of ``rank`` dimensions, ``None`` without one."""
    if type(value) is not Array:
        return None
    aligned = axis - (rank - len(value.shape))
    return aligned if aligned >= 0 and value.shape[aligned] == length and length > 1 else None


def _alike(*apart: str) -> Rule:
    """Return the rule of ops that broadcast: all dimensions but those that the attributes ``apart`` name."""

    def rule(
        operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
    ) -> Iterator[Split]:
        shape = targets[0].shape
        whole: set[int] = set()
        for name in apart:
            whole.update((attributes[name],) if isinstance(attributes[name], int) else attributes[name])
        for axis in set(range(len(shape))) - whole:
            of_operands, of_targets = (
                tuple(_aligned(value, axis, len(shape), shape[axis]) for value in values)
                for values in (operands, targets)
            )
            yield Split(shape[axis], of_operands, of_targets)

    return rule


def _rows(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield all dimensions but those of the rows."""
    return _alike("dims" if "dims" in attributes else "dim")(operands, targets, attributes)


def _full(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    shape = targets[0].shape
    for axis in range(len(shape)):

        def change(call: Arguments, start: int, stop: int, axis: int = axis) -> Arguments:
            size = call[1]["shape"]
            return call[0], call[1] | {"shape": (*size[:axis], stop - start, *size[axis + 1 :])}

        yield Split(shape[axis], (None,), (axis,), change)


def _arange(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Split ``arange`` of integers; floats are not split, since their product of place and step is rounded."""
    dtype: DType = attributes["dtype"]
    if dtype.is_integer and all(isinstance(operand, int) for operand in operands):

        def change(call: Arguments, start: int, stop: int) -> Arguments:
            (first, step), options = call
            return (first + start * step, step), options | {"count": stop - start}

        yield Split(targets[0].shape[0], (None, None), (0,), change)


def _matmul(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield batch dimensions, rows of the left factor and columns of the right factor."""
    shape = targets[0].shape
    rank = len(shape)
    for axis in range(rank):
        axes = tuple(
            None
            if axis >= rank - 2 and axis != rank - 2 + position
            else _aligned(operand, axis, rank, shape[axis])
            for position, operand in enumerate(operands)
        )
        yield Split(shape[axis], axes, (axis,))


def _reduced(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield the dimensions that are not reduced."""
    shape, keepdim = operands[0].shape, attributes["keepdim"]
    dims = attributes["dims"] if "dims" in attributes else (attributes["dim"],)
    for axis in set(range(len(shape))) - set(dims):
        out = axis if keepdim else axis - sum(d < axis for d in dims)
        yield Split(shape[axis], (axis,), (out,) * len(targets))


def _drawn(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield the outermost dimension: the counters of a piece's elements are consecutive."""
    shape = targets[0].shape
    axis = next((d for d, size in enumerate(shape) if size > 1), 0)
    at = 1 if "shape" in attributes else 2  # where the counter's two words are
    inner = math.prod(shape[axis + 1 :])

    def change(call: Arguments, start: int, stop: int) -> Arguments:
        values, options = call
        counter = (values[at + 1] << 32 | values[at]) + start * inner
        moved = (*values[:at], counter & 0xFFFFFFFF, counter >> 32 & 0xFFFFFFFF, *values[at + 2 :])
        if "shape" in options:
            options = options | {"shape": (*shape[:axis], stop - start, *shape[axis + 1 :])}
        return moved, options

    first = axis if at == 2 else None
    yield Split(shape[axis], (first, *(None,) * (len(operands) - 1)), (axis,) * len(targets), change)


def _gather(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    for axis, size in enumerate(targets[0].shape):
        yield Split(size, (None if axis == attributes["dim"] else axis, axis), (axis,))


def _scatter(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    shape, placed = targets[0].shape, operands[2].shape
    for axis in set(range(len(shape))) - {attributes["dim"]}:
        if placed[axis] == shape[axis]:
            yield Split(shape[axis], (axis,) * 3, (axis,))


def _index(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield the dimensions of the indices, for which the tensor stays whole, and those that are not indexed."""
    shape, count, dim = targets[0].shape, len(operands) - 1, attributes.get("dim", 0)
    rank = len(shape) - (len(operands[0].shape) - count)
    for axis, size in enumerate(shape):
        named = dim <= axis < dim + rank
        source = None if named else axis if axis < dim else axis - rank + count
        rest = [_aligned(operand, axis - dim, rank, size) if named else None for operand in operands[1:]]
        yield Split(size, (source, *rest), (axis,))


def _index_put(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield the dimensions that are not indexed."""
    shape, count, dim = targets[0].shape, len(operands) - 2, attributes.get("dim", 0)
    rank = len(operands[1].shape) - (len(shape) - count)
    for axis in (*range(dim), *range(dim + count, len(shape))):
        values = axis if axis < dim else axis - count + rank
        yield Split(shape[axis], (axis, values, *(None,) * count), (axis,))


def _images(*whole: int) -> Rule:
    """Return the rule of ops on batches of images; operands at ``whole`` (a convolution's kernel) have no batch."""

    def rule(
        operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
    ) -> Iterator[Split]:
        def change(call: Arguments, start: int, stop: int) -> Arguments:
            values, options = call
            if "shape" in options:
                options = options | {"shape": (stop - start, *options["shape"][1:])}
            return values, options

        axes = tuple(None if at in whole else 0 for at in range(len(operands)))
        yield Split(targets[0].shape[0], axes, (0,) * len(targets), change)

    return rule


def _update(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Yield the dimensions of one parameter and its state; ``assembling`` takes parameters one by one."""
    shape = targets[0].shape
    for axis, size in enumerate(shape):
        axes = tuple(
            axis if type(operand) is Array and operand.shape == shape else None for operand in operands
        )
        yield Split(size, axes, (axis,) * len(targets))


SPLITTING: dict[str, Rule] = {
    "broadcast": _alike(), "rows": _rows, "reduction": _reduced, "draw": _drawn, "gather": _gather, "scatter": _scatter,
    "images": _images(1), "examples": _images(), "update": _update, "full": _full, "arange": _arange,
    "matmul": _matmul, "index": _index, "index_put": _index_put,
}  # fmt: skip
"""The rules of splitting that ops name where they are declared (``ops.rules``)."""


def rule_of(op: OpSpec) -> Rule | None:
    """Return the rule by which an op is split; ``None`` where it cannot be."""
    return SPLITTING[op.rules.splitting] if op.rules.splitting else None


def splits(
    op: OpSpec, operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> list[Split]:
    """Return the ways to split a call, none where the op has no rule."""
    rule = rule_of(op)
    if rule is None or op.rules.splitting == "update" and len(operands) != sum(op.info["update"][:2]):
        return []
    return list(rule(operands, targets, attributes))
