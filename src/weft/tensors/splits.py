"""How ops are cut into pieces: a table from ops to the dimensions along which each operand and output may be narrowed.

``pieces`` asks it where a tensor is larger than a binding. A row gives the *splits* of a call: carrying the op out on
each piece gives the same bits as on the whole. What must be put together from parts is in ``steps``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from weft.dtypes import DType
from weft.ops import OpSpec
from weft.tensors.array import Array

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Operands and attributes."""


@dataclass(frozen=True)
class Split:
    """One way to cut a call: for each operand and output its dimension that is narrowed, ``None`` where it stays whole.

    ``change(call, start, stop)`` gives the operands and attributes of a piece where narrowing alone does not.
    """

    length: int
    operands: tuple[int | None, ...]
    targets: tuple[int | None, ...]
    change: Callable[[Call, int, int], Call] | None = None

    def narrows(self, values: Sequence[Any], worst: Any) -> int | None:
        """The dimension of ``worst``, one of the operands and outputs, that is narrowed."""
        found = [
            own for own, value in zip((*self.operands, *self.targets), values, strict=True) if value is worst
        ]
        return found[0] if found and all(own == found[0] for own in found) else None


Rule = Callable[[tuple[Any, ...], tuple[Array, ...], dict[str, Any]], Iterator[Split]]


def _aligned(value: Any, axis: int, rank: int, length: int) -> int | None:
    """The dimension of a value that broadcasts over ``rank`` dimensions that goes with one of them."""
    if type(value) is not Array:
        return None
    own = axis - (rank - len(value.shape))
    return own if own >= 0 and value.shape[own] == length and length > 1 else None


def _alike(*apart: str) -> Rule:
    """All dimensions but those that the attributes ``apart`` name; operands and outputs broadcast together."""

    def rule(
        operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
    ) -> Iterator[Split]:
        shape = targets[0].shape
        whole: set[int] = set()
        for name in apart:
            whole.update((attributes[name],) if isinstance(attributes[name], int) else attributes[name])
        for axis in set(range(len(shape))) - whole:
            own = [
                tuple(_aligned(v, axis, len(shape), shape[axis]) for v in given)
                for given in (operands, targets)
            ]
            yield Split(shape[axis], own[0], own[1])

    return rule


def _rows(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """All dimensions but those along which the rows lie."""
    return _alike("dims" if "dims" in attributes else "dim")(operands, targets, attributes)


def _full(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    shape = targets[0].shape
    for axis in range(len(shape)):

        def change(call: Call, start: int, stop: int, axis: int = axis) -> Call:
            size = call[1]["shape"]
            return call[0], call[1] | {"shape": (*size[:axis], stop - start, *size[axis + 1 :])}

        yield Split(shape[axis], (None,), (axis,), change)


def _arange(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Integers only: of floats the product of place and step is rounded, from wherever it is counted."""
    dtype: DType = attributes["dtype"]
    if dtype.is_integer and all(isinstance(operand, int) for operand in operands):

        def change(call: Call, start: int, stop: int) -> Call:
            (first, step), options = call
            return (first + start * step, step), options | {"count": stop - start}

        yield Split(targets[0].shape[0], (None, None), (0,), change)


def _matmul(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Batches, rows of the left factor, columns of the right one."""
    shape = targets[0].shape
    rank = len(shape)
    for axis in range(rank):
        own = tuple(
            None
            if axis >= rank - 2 and axis != rank - 2 + position
            else _aligned(one, axis, rank, shape[axis])
            for position, one in enumerate(operands)
        )
        yield Split(shape[axis], own, (axis,))


def _reduced(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Dimensions that are not folded."""
    shape, keepdim = operands[0].shape, attributes["keepdim"]
    dims = attributes["dims"] if "dims" in attributes else (attributes["dim"],)
    for axis in set(range(len(shape))) - set(dims):
        out = axis if keepdim else axis - sum(d < axis for d in dims)
        yield Split(shape[axis], (axis,), (out,) * len(targets))


def _drawn(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """The outermost dimension: a piece takes the counters of its elements, which follow one another."""
    shape = targets[0].shape
    axis = next((d for d, size in enumerate(shape) if size > 1), 0)
    at = 1 if "shape" in attributes else 2  # where the counter's two words are
    inner = math.prod(shape[axis + 1 :])

    def change(call: Call, start: int, stop: int) -> Call:
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
    """Dimensions of the indices, which leave the tensor whole, and those before and behind what is indexed."""
    shape, count, dim = targets[0].shape, len(operands) - 1, attributes.get("dim", 0)
    rank = len(shape) - (len(operands[0].shape) - count)
    for axis, size in enumerate(shape):
        named = dim <= axis < dim + rank
        own = None if named else axis if axis < dim else axis - rank + count
        rest = [_aligned(operand, axis - dim, rank, size) if named else None for operand in operands[1:]]
        yield Split(size, (own, *rest), (axis,))


def _index_put(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Dimensions before and behind what is indexed."""
    shape, count, dim = targets[0].shape, len(operands) - 2, attributes.get("dim", 0)
    rank = len(operands[1].shape) - (len(shape) - count)
    for axis in (*range(dim), *range(dim + count, len(shape))):
        values = axis if axis < dim else axis - count + rank
        yield Split(shape[axis], (axis, values, *(None,) * count), (axis,))


def _images(*whole: int) -> Rule:
    """The batch of images; the operands at ``whole`` (a convolution's kernel) have none."""

    def rule(
        operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
    ) -> Iterator[Split]:
        def change(call: Call, start: int, stop: int) -> Call:
            values, options = call
            if "shape" in options:
                options = options | {"shape": (stop - start, *options["shape"][1:])}
            return values, options

        own = tuple(None if at in whole else 0 for at in range(len(operands)))
        yield Split(targets[0].shape[0], own, (0,) * len(targets), change)

    return rule


def _update(
    operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> Iterator[Split]:
    """Elements of one parameter and its state; ``steps`` takes parameters one by one."""
    shape = targets[0].shape
    for axis, size in enumerate(shape):
        own = tuple(
            axis if type(operand) is Array and operand.shape == shape else None for operand in operands
        )
        yield Split(size, own, (axis,) * len(targets))


SPLITTING: dict[str, Rule] = {
    "broadcast": _alike(), "rows": _rows, "reduction": _reduced, "draw": _drawn, "gather": _gather, "scatter": _scatter,
    "images": _images(1), "examples": _images(), "update": _update, "full": _full, "arange": _arange,
    "matmul": _matmul, "index": _index, "index_put": _index_put,
}  # fmt: skip
"""The rules of splitting that ops name where they are declared (``ops.rules``)."""


def rule_of(op: OpSpec) -> Rule | None:
    """Return the rule by which an op is cut; ``None`` where it cannot be."""
    return SPLITTING[op.rules.splitting] if op.rules.splitting else None


def splits(
    op: OpSpec, operands: tuple[Any, ...], targets: tuple[Array, ...], attributes: dict[str, Any]
) -> list[Split]:
    """The ways to cut a call, none where the op has no rule."""
    rule = rule_of(op)
    if rule is None or op.rules.splitting == "update" and len(operands) != sum(op.info["update"][:2]):
        return []
    return list(rule(operands, targets, attributes))
