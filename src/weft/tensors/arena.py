"""Arenas: tensors that are used together share few buffers, so that one kernel can bind all of them.

A kernel binds few buffers (8 by WebGPU's default limits), and any number of tensors in them. Optimizers move parameters
and state into arenas when they are created; tensors keep their identity and their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from weft import devices, dtypes
from weft.devices.base import Device, HostDevice, Storage
from weft.tensors.array import Array
from weft.tensors.host import from_numpy
from weft.tensors.tensor import Tensor

BINDINGS = "max-storage-buffers-per-shader-stage"
LARGEST = "max-storage-buffer-binding-size"


def scalar(value: float, device: str) -> Tensor:
    """Return a 0-d tensor of a device's widest floating point type: a number that the host sets and kernels read."""
    opened = devices.open(device)
    dtype = dtypes.float64 if opened.supports(dtypes.float64) else dtypes.float32
    return Tensor.wrap(from_numpy(numpy.array(value), dtype, opened))


def colocate(tensors: Iterable[Tensor]) -> None:
    """Move the storages of tensors into shared buffers, one for each device and dtype, split at the binding limit.

    Tensors keep their values and identity, and all views of a storage move with it. A failing device call changes
    nothing. Tensors on a device whose memory NumPy arrays may share are not moved: kernels there bind no buffers.
    """
    groups: dict[tuple[Device, Any], dict[int, Storage]] = {}
    for tensor in tensors:
        array = tensor._data
        if type(array) is Array and not isinstance(array.device, HostDevice):
            groups.setdefault((array.device, array.dtype), {})[id(array.storage)] = array.storage
    for (device, _), storages in groups.items():
        move_together(device, list(storages.values()))


def move_together(device: Device, storages: Sequence[Storage]) -> None:
    """Move storages in their order into as few buffers as a kernel can bind whole."""
    for part in _parts(device, storages):
        if len(part) > 1:
            _move_together(device, part)


def _parts(device: Device, storages: Sequence[Storage]) -> list[list[Storage]]:
    """Return consecutive groups of storages, each of which fits one binding; a large storage is a group of its own."""
    limit = device.profile.limits.get(LARGEST, 1 << 27)
    parts: list[list[Storage]] = [[]]
    used = 0
    for storage in storages:
        size = -(-storage.size // device.alignment) * device.alignment
        if used and used + size > limit:
            parts.append([])
            used = 0
        parts[-1].append(storage)
        used += size
    return parts


def _move_together(device: Device, storages: Sequence[Storage]) -> None:
    places = device.allocate_together([storage.size for storage in storages])
    for storage, place in zip(storages, places, strict=True):
        device.copy(storage, place)
    for storage, place in zip(storages, places, strict=True):
        storage.move(place.buffer, place.offset)


def limit_bindings(tensors: Iterable[Tensor], movable: Sequence[Tensor]) -> None:
    """Colocate ``movable`` if a kernel over all tensors would exceed the device's number of bindings."""
    buffers: set[int] = set()
    room = 1 << 30
    for tensor in (*tensors, *movable):
        array = tensor._data
        if type(array) is not Array or isinstance(array.device, HostDevice):
            return
        buffers.add(id(array.storage.buffer))
        room = array.device.profile.limits.get(BINDINGS, room)
    if len(buffers) > room:
        colocate(movable)
