"""Conversion between host values (Python numbers, nested sequences, NumPy arrays) and arrays on a device."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy

from weft import dtypes
from weft.devices.base import Device, HostDevice, Storage
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, OutOfMemoryError, mistake
from weft.ops import OPS
from weft.ops.registry.arguments import representable
from weft.ops.registry.geometry import contiguous_strides
from weft.tensors.array import Array, empty, require_support


def from_python(data: Any, dtype: DType | None, device: Device) -> Array:
    """Return a new array from numbers, nested sequences (of tensors too) or a NumPy array."""
    values = as_numpy(data)
    if dtype is None:
        given = dtypes.from_numpy(values.dtype)
        dtype = dtypes.default_float() if given is dtypes.float64 else given
    elif values.size and not isinstance(
        data, numpy.ndarray
    ):  # an array's elements wrap, as in NumPy and PyTorch
        for value in (values.min().item(), values.max().item()):
            representable("tensor", "data", value, dtype)
    return from_numpy(values, dtype, device)


def as_numpy(data: Any) -> Any:
    """Return numbers, nested sequences (of tensors too) or a NumPy array as a NumPy array."""
    if isinstance(data, numpy.ndarray | numpy.generic):
        return numpy.asarray(data)
    try:
        values = numpy.array(_plain(data))
    except (ValueError, TypeError):
        raise ArgumentError(
            mistake(
                "tensor",
                "data",
                f"a {type(data).__name__} of uneven or mixed parts",
                "numbers in equally long sequences",
            )
        ) from None
    except OverflowError:
        raise ArgumentError(
            mistake("tensor", "data", "an integer beyond 64 bits", "at most 64 bits")
        ) from None
    if values.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            mistake(
                "tensor",
                "data",
                f"a {type(data).__name__} that NumPy reads as {values.dtype.name}",
                "numbers",
            )
        )
    if values.dtype == numpy.uint64:
        raise ArgumentError(mistake("tensor", "data", "an integer of 2**63 or more", "one that fits int64"))
    return values.astype("float32") if values.size == 0 and values.dtype == numpy.float64 else values


def _plain(data: Any) -> Any:
    """Return sequences of tensors as sequences of NumPy arrays."""
    if hasattr(data, "_data") and hasattr(data, "numpy"):
        return data.detach().numpy()
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data


def from_numpy(values: Any, dtype: DType, device: Device) -> Array:
    """Return a new array with the values converted to ``dtype``; ``ArgumentError`` where int64 values do not fit."""
    require_support(device, dtype)
    stored = device.profile.storage(dtype)
    if stored is not dtype and values.size and dtype.kind == "int":
        low, high = int(values.min()), int(values.max())
        if low < -(2**31) or high >= 2**31:
            raise ArgumentError(
                mistake("tensor", "data", f"int64 with values from {low} to {high}", "values that fit 32 bits",
                        f"device {device.name} stores int64 in 32 bits; use device 'cpu' for larger ones")
            )  # fmt: skip
    with numpy.errstate(all="ignore"):
        packed = numpy.ascontiguousarray(values.astype(stored.numpy, copy=False))
    made = empty(device, dtype, tuple(int(size) for size in values.shape))
    if packed.nbytes:
        device.write(made.storage, packed.reshape(-1).view(numpy.uint8).data)
    return made


class _Shared:
    """A NumPy array interface on an array's memory, which keeps the storage alive."""

    def __init__(self, storage: Storage, address: int, array: Array) -> None:
        self.storage = storage
        item = array.dtype.numpy
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            # bfloat16 has no type string: it is described as uint16, and viewed as bfloat16 afterwards
            "typestr": item.str if item.kind in "biuf" else "<u2",
            "strides": tuple(
                stride * item.itemsize
                if size > 1
                else item.itemsize  # the stride of a dimension of size 1 has no effect
                for size, stride in zip(array.shape, array.strides, strict=True)
            ),
            "data": (address + array.offset * item.itemsize, False),
        }


class Executor(Protocol):
    """The interpreter by which ``to_numpy`` copies a strided array."""

    def process(self, op: Any, operands: Any, attributes: Any, into: Any, below: Any) -> tuple[Any, ...]:
        """Run an op."""


_FORMATS = {
    dtypes.bool_: "?", dtypes.uint8: "B", dtypes.int8: "b", dtypes.int16: "h", dtypes.uint32: "I", dtypes.int32: "i",
    dtypes.int64: "q", dtypes.float16: "e", dtypes.float32: "f", dtypes.float64: "d",
}  # fmt: skip
FORMATS = {kind: struct.Struct(f"={letter}") for kind, letter in _FORMATS.items()}
"""The formats of an element, for the types that ``struct`` has."""


def number(array: Array, executor: Executor) -> bool | int | float:
    """Return the value of an array of one element, as a Python number."""
    device = array.storage.device
    if isinstance(device, HostDevice):
        format_ = FORMATS.get(array.dtype)
        if format_ is not None:
            return device.number(array.storage, array.offset * format_.size, format_)
    value: bool | int | float = to_numpy(array, executor).item()
    return value


def to_numpy(array: Array, executor: Executor) -> Any:
    """Return the elements as a NumPy array: a view of the memory on ``cpu``, a copy from other devices."""
    device = array.device
    array.storage.buffer  # noqa: B018  (raises where it was disposed)
    count = math.prod(array.shape)
    if count == 0:
        return numpy.empty(array.shape, array.dtype.numpy)
    if isinstance(device, HostDevice):
        shared = numpy.asarray(_Shared(array.storage, device.view(array.storage).ctypes.data, array))
        return shared.view(array.dtype.numpy) if shared.dtype != array.dtype.numpy else shared
    if array.strides != contiguous_strides(array.shape):
        (array,) = executor.process(OPS["copy"], (array,), {}, None, ())
    stored = device.profile.storage(array.dtype)
    data = device.read(array.storage, array.offset * stored.itemsize, count * stored.itemsize)
    values = numpy.frombuffer(data, stored.numpy).reshape(array.shape)
    return values if stored is array.dtype else values.astype(array.dtype.numpy)


def read_later(array: Array, executor: Executor) -> Callable[[], Any]:
    """Take the elements as they are after all work so far; the result waits for them and returns a NumPy array."""
    if isinstance(array.device, HostDevice) or not math.prod(array.shape):
        values = to_numpy(array, executor).copy()
        return lambda: values
    if array.strides != contiguous_strides(array.shape):
        (array,) = executor.process(OPS["copy"], (array,), {}, None, ())
    stored, shape, dtype = array.device.profile.storage(array.dtype), array.shape, array.dtype
    size = math.prod(shape) * stored.itemsize
    wait = array.device.read_later(array.storage, array.offset * stored.itemsize, size)

    def elements() -> Any:
        found = numpy.frombuffer(wait(), stored.numpy).reshape(shape)
        return found if stored is dtype else found.astype(dtype.numpy)

    return elements


def check_scalar(where: str, value: Any) -> bool | int | float:
    """Return a number, NumPy number or 0-d tensor as a Python number; ``DTypeError`` for other values."""
    if isinstance(value, numpy.generic) or (hasattr(value, "item") and getattr(value, "ndim", -1) == 0):
        value = value.item()
    if not isinstance(value, bool | int | float):
        raise DTypeError(mistake(where, "value", type(value).__name__, "a number"))
    return value


@contextmanager
def host_memory(where: str, argument: str, given: Any) -> Iterator[None]:
    """Raise ``OutOfMemoryError`` where NumPy cannot allocate an array of a size that a caller chose."""
    try:
        yield
    except (MemoryError, ValueError) as error:
        raise OutOfMemoryError(mistake(where, argument, given, "a size that fits in memory")) from error
