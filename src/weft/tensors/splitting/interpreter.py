"""``Splitting``: the interpreter of calls on tensors larger than one binding, which are made of calls on parts of them.

WebGPU lets a kernel see so many bytes of a buffer (128 MiB on software drivers). A view that is small itself is bound
by a window of its storage. Where operands or outputs are too large even so, the op is split along a dimension
(``rules``) or assembled from partial results (``assembling``); an op that is in neither table raises an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.devices.base import Buffer, Device, Storage
from weft.errors import UnsupportedError
from weft.ops import Interpreter, OpSpec
from weft.tensors.array import Array, empty
from weft.tensors.prepared import Executor, Prepared
from weft.tensors.splitting.assembling import LargeCall, assembly_of, byte_extent, even_ranges, narrow
from weft.tensors.splitting.rules import Split, splits


@dataclass(frozen=True)
class Splitting:
    """Runs an op on tensors of which some exceed the binding limit, by calls of the interpreter below on parts.

    ``limit`` is the largest binding in bytes; ``scratch`` the size of the largest temporary of the op's kernels on the
    whole tensors.
    """

    limit: int
    scratch: int
    executes = True

    def process(
        self, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:  # fmt: skip
        """Overwrite the targets ``into``; ``UnsupportedError`` where the op cannot be split."""
        assert into is not None, "a split call is given its targets"
        arrays = [value for value in (*operands, *into) if type(value) is Array]
        windows = _windows(arrays, self.limit)
        bound = tuple([windows.get(id(value), value) for value in operands])
        written = tuple([windows.get(id(value), value) for value in into])
        too_large = [
            value for value in (*bound, *written) if type(value) is Array and value.storage.size > self.limit
        ]
        if too_large or self.scratch > self.limit:
            self._divide(
                LargeCall(below[-1], op, operands, attributes, into, self.limit), [*too_large, *arrays]
            )
        else:
            below[-1].process(op, bound, attributes, written, ())
        return into

    def _divide(self, call: LargeCall, large: Sequence[Array]) -> None:
        """Run the call on pieces, each of which may be divided further, or assemble its results."""
        values = (*call.operands, *call.targets)
        worst = max((value for value in values if type(value) is Array), key=byte_extent)
        size = max(byte_extent(worst), self.scratch)
        outermost = max(
            ((n - 1) * stride for n, stride in zip(worst.shape, worst.strides, strict=True)), default=0
        )
        saved, chosen = _best_split(call, worst) if size > self.limit else (0, None)
        if chosen is not None and saved == outermost:
            _split(call, chosen, size)
            return
        assembly = assembly_of(call.op)
        if assembly is not None and assembly(call):
            return
        if chosen is not None:  # pieces of an inner dimension lie as far apart as the whole: they are copied
            _split(call, chosen, max(_dense_bytes(worst), self.scratch), contiguous=True)
            return
        array = worst if byte_extent(worst) > self.limit else max(large, key=lambda array: array.storage.size)
        raise UnsupportedError(
            f"{call.op.name}: a tensor {array.dtype.name}{list(array.shape)} takes {byte_extent(array):,} bytes, "
            f"expected at most {self.limit:,}, the largest binding of {array.device.name}; this operation is not "
            f"done in pieces: split the tensor, or use the cpu device"
        )


@dataclass(frozen=True, slots=True)
class PreparedSplit(Prepared):
    """A prepared call on layouts of which some exceed the binding limit."""

    interpreter: Splitting

    def carry_out(
        self, executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """See ``Prepared``. The parts are dispatched all or none."""
        if op.run is not None:
            return executor.run_composed(op, operands, attributes, into)
        targets = into
        if targets is None:
            targets = tuple([output.allocate(self.device) for output in self.outputs])
        gathered = executor.gathering()
        self.interpreter.process(op, operands, attributes, targets, (gathered,))
        gathered.finish(executor, into or ())
        return targets


def _best_split(call: LargeCall, worst: Array) -> tuple[int, Split | None]:
    """Return the split that shortens the extent of ``worst`` most, and by how many elements."""
    best: tuple[int, Split | None] = (0, None)
    values = (*call.operands, *call.targets)
    for split in splits(call.op, call.operands, call.targets, call.attributes):
        axis = split.narrows(values, worst)
        saved = 0 if axis is None else (worst.shape[axis] - 1) * worst.strides[axis]
        if saved > best[0]:
            best = (saved, split)
    return best


def _split(call: LargeCall, split: Split, size: int, contiguous: bool = False) -> None:
    """Run the call on the pieces of a split; ``contiguous``: on contiguous copies of them."""
    executor, op, limit = call.executor, call.op, call.limit
    for start, stop in even_ranges(split.length, size, limit, call.targets[0].device.alignment):
        piece = (_narrowed(call.operands, split.operands, start, stop), call.attributes)
        if split.change is not None:
            piece = split.change(piece, start, stop)
        operands, attributes = piece
        targets = _narrowed(call.targets, split.targets, start, stop)
        if not contiguous:
            executor.process(op, operands, attributes, targets, ())
            continue
        copies = tuple([
            call.run("copy", value) if type(value) is Array and byte_extent(value) > limit else value
            for value in operands
        ])  # fmt: skip
        made = tuple([
            empty(target.device, target.dtype, target.shape) if byte_extent(target) > limit else target
            for target in targets
        ])  # fmt: skip
        executor.process(op, copies, attributes, made, ())
        for result, target in zip(made, targets, strict=True):
            if result is not target:
                call.run("cast", result, into=target, dtype=target.dtype)


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


def _windows(arrays: Sequence[Array], limit: int) -> dict[int, Array]:
    """Return, by id of the array, the same elements in a window of its storage: one window for all views of a storage.

    With one window, calls still see which operands and targets share memory.
    """
    by_storage: dict[int, list[Array]] = {}
    for array in arrays:
        if array.storage.size > limit:
            by_storage.setdefault(id(array.storage), []).append(array)
    windows: dict[int, Array] = {}
    for views in by_storage.values():
        storage, device = views[0].storage, views[0].device
        item = device.itemsize(views[0].dtype)
        extents = [view.geometry.extent for view in views]
        start = min(first for first, _ in extents) * item // device.alignment * device.alignment
        end = min(storage.size, max(past for _, past in extents) * item)
        window = Window(device, storage.buffer, storage.offset + start, end - start)
        for view in views:
            offset = view.offset - start // item
            windows[id(view)] = Array(window, view.dtype, view.shape, view.strides, offset)
    return windows


def _narrowed(
    values: tuple[Any, ...], axes: tuple[int | None, ...], start: int, stop: int
) -> tuple[Any, ...]:
    """Return the values with a part of each axis; whole where the axis is ``None``."""
    return tuple([
        value if axis is None else narrow(value, axis, start, stop) for value, axis in zip(values, axes, strict=True)
    ])  # fmt: skip


def _dense_bytes(array: Array) -> int:
    """Return the bytes of the elements of a view, without the gaps between them."""
    return math.prod(array.shape) * array.device.itemsize(array.dtype)
