"""Tensors larger than one binding: ops on windows of their storages, or piece by piece along a dimension.

WebGPU lets a kernel see so many bytes of a buffer (128 MiB on software drivers). A view that is small itself is bound
by a window of its storage. Where operands or outputs are too large even so, the op is cut along a dimension
(``splits``) or put together from parts (``steps``); one that is in neither table says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft.devices.base import Buffer, Device, Storage
from weft.errors import UnsupportedError
from weft.graph.lower.limits import BINDING
from weft.ops import OpSpec
from weft.tensors.array import Array, empty
from weft.tensors.splits import Split, splits
from weft.tensors.steps import Executor, cuts, narrow, reach, run, steps


class Window(Storage):
    """A part of a storage as a storage of its own, for one call; it counts as no memory."""

    __slots__ = ()

    def __init__(self, device: Device, buffer: Buffer, offset: int, size: int) -> None:
        super().__init__(device, buffer, offset, size)

    def dispose(self) -> None:
        """Let go of the buffer; the storage that this is a window of keeps it."""
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            self.address = None
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
    if all(array.storage.size <= limit for array in arrays) and all(
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
    else:
        _cut(
            executor,
            op,
            operands,
            attributes,
            targets,
            limit,
            [*too_large, *arrays],
            max(temporaries, default=0),
        )
    return targets


def _windows(arrays: Sequence[Array], limit: int) -> dict[int, Array]:
    """By id of the array: the same elements in a window of its storage, one window for all views of a storage.

    One window, so that operands and targets that share memory are still seen to.
    """
    by_storage: dict[int, list[Array]] = {}
    for array in arrays:
        if array.storage.size > limit:
            by_storage.setdefault(id(array.storage), []).append(array)
    found: dict[int, Array] = {}
    for views in by_storage.values():
        storage, device = views[0].storage, views[0].device
        item = device.itemsize(views[0].dtype)
        extents = [view.geometry.extent for view in views]
        start = min(first for first, _ in extents) * item // device.alignment * device.alignment
        end = min(storage.size, max(past for _, past in extents) * item)
        window = Window(device, storage.buffer, storage.offset + start, end - start)
        for one in views:
            found[id(one)] = Array(window, one.dtype, one.shape, one.strides, one.offset - start // item)
    return found


def _cut(
    executor: Executor,
    op: OpSpec,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    targets: tuple[Array, ...],
    limit: int,
    large: Sequence[Array],
    scratch: int,
) -> None:
    """Carry out the op on pieces, each of which may be cut further by the same way, or in steps."""
    values = (*operands, *targets)
    worst = max((value for value in values if type(value) is Array), key=reach)
    size = max(reach(worst), scratch)
    outermost = max(
        ((n - 1) * stride for n, stride in zip(worst.shape, worst.strides, strict=True)), default=0
    )
    best: tuple[int, Split | None] = (0, None)
    for split in splits(op, operands, targets, attributes) if size > limit else ():
        own = split.narrows(values, worst)
        saved = 0 if own is None else (worst.shape[own] - 1) * worst.strides[own]
        if saved > best[0]:
            best = (saved, split)
    saved, found = best
    if found is not None and saved == outermost:
        _split(executor, op, operands, attributes, targets, limit, found, size)
        return
    step = steps(op)
    if step is not None and step(executor, op, operands, attributes, targets, limit):
        return
    if (
        found is not None
    ):  # pieces of an inner dimension lie as far apart as the whole: they are brought together
        _split(
            executor,
            op,
            operands,
            attributes,
            targets,
            limit,
            found,
            max(_dense(worst), scratch),
            together=True,
        )
        return
    item = worst if reach(worst) > limit else max(large, key=lambda one: one.storage.size, default=worst)
    raise UnsupportedError(
        f"{op.name}: a tensor {item.dtype.name}{list(item.shape)} takes {reach(item):,} bytes, expected at most "
        f"{limit:,}, the largest binding of {item.device.name}; this operation is not done in pieces: split the "
        f"tensor, or use the cpu device"
    )


def _split(
    executor: Executor,
    op: OpSpec,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    targets: tuple[Array, ...],
    limit: int,
    split: Split,
    size: int,
    together: bool = False,
) -> None:
    """Carry out the op on the pieces of a split; ``together``: on copies of them without gaps."""
    for start, stop in cuts(split.length, size, limit, targets[0].device.alignment):

        def parts(given: tuple[Any, ...], own: tuple[int | None, ...], a: int = start, b: int = stop) -> Any:
            return tuple(
                one if axis is None else narrow(one, axis, a, b) for one, axis in zip(given, own, strict=True)
            )

        call = (parts(operands, split.operands), attributes)
        if split.change is not None:
            call = split.change(call, start, stop)
        into = parts(targets, split.targets)
        if not together:
            executor.process(op, *call, into, ())
            continue
        dense = [
            run(executor, "copy", one) if type(one) is Array and reach(one) > limit else one
            for one in call[0]
        ]
        made = tuple(empty(one.device, one.dtype, one.shape) if reach(one) > limit else one for one in into)
        executor.process(op, tuple(dense), call[1], made, ())
        for one, target in zip(made, into, strict=True):
            if one is not target:
                run(executor, "cast", one, into=target, dtype=target.dtype)


def _dense(array: Array) -> int:
    """Bytes of the elements of a view, without the gaps between them."""
    return math.prod(array.shape) * array.device.itemsize(array.dtype)
