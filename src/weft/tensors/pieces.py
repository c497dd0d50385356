"""Tensors larger than one binding: ops on windows of their storages, or piece by piece along a dimension.

WebGPU lets a kernel see so many bytes of a buffer (128 MiB on software drivers). A view that is small itself is bound
by a window of its storage. Where operands or outputs are too large even so, pointwise ops are split along any
dimension, matrix products by batches, rows or columns, ``embedding`` by rows of its table; any other op says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from weft.devices.base import Buffer, Device, Storage
from weft.errors import UnsupportedError
from weft.ops import OPS, OpSpec
from weft.ops.geometry import Geometry
from weft.tensors.array import Array

BINDING = "max-storage-buffer-binding-size"


class Executor(Protocol):
    """What carries out the pieces: the eager interpreter."""

    def process(self, op: Any, operands: Any, attributes: Any, into: Any, below: Any) -> tuple[Any, ...]:
        """Run an op."""


class Window(Storage):
    """A part of a storage as a storage of its own, for one call; it counts as no memory."""

    __slots__ = ()

    def __init__(self, device: Device, buffer: Buffer, offset: int, size: int) -> None:
        super().__init__(device, buffer, offset, size)

    def dispose(self) -> None:
        """Let go of the buffer; the storage that this is a window of keeps it."""
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            self._leave(buffer)


def largest_binding(device: Device) -> int | None:
    """Bytes that a kernel can bind at once, ``None`` where there is no bound."""
    return device.profile.limits.get(BINDING)


def in_pieces(
    executor: Executor,
    op: OpSpec,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    into: tuple[Array, ...] | None,
    device: Device,
    outputs: Callable[[], tuple[Array, ...]],
    sizes: Sequence[int],
    temporaries: Sequence[int],
) -> tuple[Array, ...] | None:
    """Carry out an op whose tensors may exceed a binding; ``None`` where all fit as they are.

    ``sizes`` are the bytes of new outputs, which ``outputs`` makes; ``temporaries`` those of scratch values.
    Raises ``UnsupportedError`` where the op cannot be done in pieces.
    """
    limit = largest_binding(device)
    if limit is None:
        return None
    arrays = [value for value in (*operands, *(into or ())) if type(value) is Array]
    if all(one.storage.size <= limit for one in arrays) and all(
        size <= limit for size in (*sizes, *temporaries)
    ):
        return None
    targets = outputs() if into is None else into
    seen = _windows([*arrays, *(targets if into is None else ())], limit)
    given = tuple(seen.get(id(value), value) for value in operands)
    written = tuple(seen.get(id(value), value) for value in targets)
    too_large = [value for value in (*given, *written) if type(value) is Array and value.storage.size > limit]
    if not too_large and all(size <= limit for size in temporaries):
        executor.process(op, given, attributes, written, ())
    elif op.name == "embedding" and given[0] in too_large:
        _embedding(executor, op, operands, attributes, targets[0], limit)
    else:
        _split(executor, op, operands, attributes, targets, limit, [*too_large, *arrays])
    if into is not None:
        for one, window in zip(into, written, strict=True):
            if window.storage is not one.storage:
                one.storage.version += 1
    return targets


def _windows(arrays: Sequence[Array], limit: int) -> dict[int, Array]:
    """By id of the array: the same elements in a window of its storage, one window for all views of a storage.

    One window, so that operands and targets that share memory are still seen to.
    """
    by_storage: dict[int, list[Array]] = {}
    for one in arrays:
        if one.storage.size > limit:
            by_storage.setdefault(id(one.storage), []).append(one)
    found: dict[int, Array] = {}
    for views in by_storage.values():
        storage, device = views[0].storage, views[0].device
        item = device.itemsize(views[0].dtype)
        extents = [one.geometry.extent for one in views]
        start = min(first for first, _ in extents) * item // device.alignment * device.alignment
        end = min(storage.size, max(past for _, past in extents) * item)
        window = Window(device, storage.buffer, storage.offset + start, end - start)
        for one in views:
            found[id(one)] = Array(window, one.dtype, one.shape, one.strides, one.offset - start // item)
    return found


def _split(
    executor: Executor,
    op: OpSpec,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    targets: tuple[Array, ...],
    limit: int,
    large: Sequence[Array],
) -> None:
    """Carry out the op on pieces of the output; each may be split further by the same way."""
    shape = targets[0].shape
    rank = len(shape)
    values = (*operands, targets[0])
    worst = max((one for one in values if type(one) is Array), key=_reach)
    ways = []
    for axis in _axes(op, rank) if len(targets) == 1 and _reach(worst) > limit else ():
        own = axis if worst is targets[0] else _operand_axis(op, _place(operands, worst), worst, axis, rank)
        if own is not None and worst.shape[own] > 1:
            ways.append(((worst.shape[own] - 1) * worst.strides[own], -axis))
    if not ways or max(ways)[0] == 0:
        item = worst if _reach(worst) > limit else max(large, key=lambda one: one.storage.size)
        raise UnsupportedError(
            f"{op.name}: a tensor {item.dtype.name}{list(item.shape)} takes {_reach(item):,} bytes, expected at most "
            f"{limit:,}, the largest binding of {item.device.name}; this operation is not done in pieces: split the "
            f"tensor, or use the cpu device"
        )
    axis = -max(ways)[1]  # the one that makes the worst smallest
    narrowed = [_operand_axis(op, at, one, axis, rank) for at, one in enumerate(operands)]
    room = max(1, limit - 2 * worst.device.alignment)  # windows begin at multiples of the alignment
    count = min(shape[axis], max(2, -(-_reach(worst) // room)))
    bounds = [shape[axis] * at // count for at in range(count + 1)]
    for start, stop in pairwise(bounds):
        parts = tuple(
            one if own is None else _narrow(one, own, start, stop)
            for one, own in zip(operands, narrowed, strict=True)
        )
        piece = _narrow(targets[0], axis, start, stop)
        options = attributes | ({"shape": piece.shape} if op.name == "full" else {})
        executor.process(op, parts, options, (piece,), ())


def _place(operands: Sequence[Any], value: Any) -> int:
    return next(at for at, one in enumerate(operands) if one is value)


def _axes(op: OpSpec, rank: int) -> Sequence[int]:
    """The dimensions of the output along which an op may be split, best first."""
    if "pointwise" in op.info or op.name in ("full", "cast", "copy"):
        return range(rank)
    return range(rank) if op.name == "matmul" and rank >= 2 else ()


def _operand_axis(op: OpSpec, position: int, operand: Any, axis: int, rank: int) -> int | None:
    """The operand's dimension that goes with a dimension of the output; ``None`` where it takes part whole."""
    if type(operand) is not Array:
        return None
    own = axis - (rank - len(operand.shape))
    if (
        op.name == "matmul" and axis == rank - 2 + position
    ):  # rows are the left factor's, columns the right one's
        return own if operand.shape[own] > 1 else None
    if op.name == "matmul" and axis >= rank - 2:
        return None
    return own if own >= 0 and operand.shape[own] != 1 else None


def _narrow(array: Array, axis: int, start: int, stop: int) -> Array:
    return array.viewed(array.geometry.slice(axis, start, stop, 1))


def _reach(array: Array) -> int:
    """Bytes from the first to the last element of a view."""
    first, past = array.geometry.extent
    return (past - first) * array.device.itemsize(array.dtype)


def _embedding(
    executor: Executor,
    op: OpSpec,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    target: Array,
    limit: int,
) -> None:
    """Rows of a table by parts of the table: each index is looked up in every part, and kept from its own."""
    weight, index = operands
    rows, width = weight.shape
    # every index is checked against the whole table, by a table of its shape whose rows are one
    one_row = weight.viewed(Geometry((rows, 1), (0, 1), weight.offset))
    executor.process(op, (one_row, index), attributes, None, ())
    room = limit - 2 * weight.device.alignment
    each = room // (max(1, weight.strides[0]) * weight.device.itemsize(weight.dtype))
    if each < 1 or math.prod(target.shape) * target.device.itemsize(target.dtype) > limit:
        raise UnsupportedError(
            f"{op.name}: rows of {width:,} elements and a result of {list(target.shape)} do not fit the largest "
            f"binding of {weight.device.name}, {limit:,} bytes; look fewer indices up at a time"
        )

    def run(name: str, *values: Any, into: tuple[Array, ...] | None = None) -> Array:
        made: Array = executor.process(OPS[name], values, {}, into, ())[0]
        return made

    for start in range(0, rows, each):
        stop = min(rows, start + each)
        inside = run("logical_and", run("ge", index, start), run("lt", index, stop))
        own = run("mul", run("sub", index, start), inside)
        picked = executor.process(op, (_narrow(weight, 0, start, stop), own), attributes, None, ())[0]
        wide = inside.viewed(Geometry((*inside.shape, 1), (*inside.strides, 1), inside.offset))
        executor.process(OPS["where"], (wide, picked, target), {}, (target,), ())
