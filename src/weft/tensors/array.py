"""``Array``: a strided view of a storage with an element type; the value that the eager interpreter works on."""

from __future__ import annotations

import itertools
from typing import Any

from weft.devices.base import Device, Storage
from weft.dtypes import DType
from weft.errors import DTypeError
from weft.ops import TensorType
from weft.ops.registry.geometry import Geometry, contiguous_strides
from weft.tensors.watch import watcher

LAYOUTS = 65536
"""The most layouts with a number; beyond it layouts are numbered anew, and calls on them prepared again."""

_layouts: dict[tuple[Any, ...], int] = {}
_numbers = itertools.count()
types: dict[int, TensorType] = {}
"""The types of layouts by number: the same object for all arrays of a layout."""


def layout_key(
    dtype: DType, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, device: Device, size: int
) -> int:
    """Return the number of a layout: arrays of equal keys run the same prepared call.

    ``size`` is the storage's in bytes. Whether it exceeds the device's largest binding is part of the layout, so that
    calls on such arrays are prepared apart from all others. The key is a number, since hashing the layout itself takes
    longer than finding a prepared call by numbers.
    """
    layout = (dtype, shape, strides, is_aligned(dtype, offset), device, size > device.largest_binding)
    key = _layouts.get(layout)
    if key is None:
        if len(_layouts) >= LAYOUTS:
            _layouts.clear()
            types.clear()
        key = _layouts[layout] = next(_numbers)
        types[key] = TensorType(shape, dtype)
    return key


def type_of_data(data: Any) -> TensorType:
    """Return the type of an array or a traced value."""
    known = types.get(data.key) if type(data) is Array else None
    return TensorType(data.shape, data.dtype) if known is None else known


class Array:
    """Shape, strides and offset (in elements) over a storage; immutable, apart from the bytes of its storage."""

    __slots__ = ("dtype", "key", "offset", "shape", "storage", "strides")

    def __init__(
        self,
        storage: Storage,
        dtype: DType,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int = 0,
        key: int | None = None,
    ) -> None:
        self.storage = storage
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        self.offset = offset
        if key is None:
            key = layout_key(dtype, shape, strides, offset, storage.device, storage.size)
        self.key = key

    @property
    def device(self) -> Device:
        """The device that holds the storage."""
        return self.storage.device

    @property
    def device_name(self) -> str:
        """The name of the device, as users write it."""
        return self.storage.device.name

    @property
    def geometry(self) -> Geometry:
        """Shape, strides and offset together."""
        return Geometry(self.shape, self.strides, self.offset)

    @property
    def alias(self) -> Any:
        """The identity that all views of one storage share."""
        return self.storage

    @property
    def version(self) -> int:
        """How often the storage was written in place."""
        return self.storage.version

    def viewed(self, geometry: Geometry) -> Array:
        """Return the same storage under another geometry."""
        return Array(self.storage, self.dtype, geometry.shape, geometry.strides, geometry.offset)

    def __repr__(self) -> str:
        return f"<array {self.dtype.name}{list(self.shape)} on {self.device.name}>"


def is_aligned(dtype: DType, offset: int) -> bool:
    """Return whether an element offset is a multiple of 4 elements and of 16 bytes."""
    return offset == 0 or offset % max(4, 128 // dtype.bits) == 0


def empty(device: Device, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Return a contiguous array with undefined contents; ``DTypeError`` where the device lacks the type."""
    require_support(device, dtype)
    count = 1
    for size in shape:
        count *= size
    storage = device.allocate(count * device.itemsize(dtype))
    watch = watcher.get()
    if watch is not None:
        watch.made(storage)
    return Array(storage, dtype, shape, contiguous_strides(shape))


def require_support(device: Device, dtype: DType) -> None:
    """Raise ``DTypeError`` where a device has no tensors of a type."""
    if not device.supports(dtype):
        raise DTypeError(
            f"dtype {dtype.name} is not available on device {device.name}, expected float32 or smaller; "
            f"use .to(weft.float32), or device 'cpu'"
        )
