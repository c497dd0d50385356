"""Memory shared with other libraries: DLPack export and import, NumPy arrays, and pickling.

On ``cpu`` nothing is copied. NumPy makes and reads the DLPack capsules. NumPy has no bfloat16 in DLPack, so that a
bfloat16 tensor is exported and imported as 16-bit words, with the type code of the capsule changed.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy

from weft import devices, dtypes
from weft.autograd.wrapping import wrap
from weft.devices.base import HostDevice
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, DTypeError, mistake
from weft.ops.registry.geometry import contiguous_strides
from weft.tensors.array import Array
from weft.tensors.host import from_numpy

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

CPU = 1
"""DLPack's device type of host memory."""
UINT, BFLOAT = 1, 4
"""DLPack's type codes."""

_CAPSULES = {b"dltensor": 20, b"dltensor_versioned": 52}
"""The offset of the type code in a capsule: after pointer, device and rank. The newer kind has 32 bytes more before."""


def _code(capsule: Any) -> ctypes.c_uint8:
    """Return the type code inside a DLPack capsule, to be read or changed."""
    api = ctypes.pythonapi
    api.PyCapsule_IsValid.argtypes = (ctypes.py_object, ctypes.c_char_p)
    api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    for name, offset in _CAPSULES.items():
        if api.PyCapsule_IsValid(capsule, name):
            return ctypes.c_uint8.from_address(api.PyCapsule_GetPointer(capsule, name) + offset)
    raise ArgumentError("from_dlpack: the object gave a capsule that was used already, expected a new one")


def device_of(tensor: Tensor) -> tuple[int, int]:
    """Return DLPack's device type and number of a tensor; ``DeviceError`` for a device other than ``cpu``."""
    if not isinstance(devices.open(str(tensor.device)), HostDevice):
        raise DeviceError(
            mistake("__dlpack__", "the tensor", f"on {tensor.device}", "on cpu", "move it with .to('cpu')")
        )
    return (CPU, 0)


def to_dlpack(tensor: Tensor, **options: Any) -> Any:
    """Return a DLPack capsule over the tensor's memory; ``GradError`` for a tensor that requires grad."""
    device_of(tensor)
    values = tensor.numpy()
    if tensor.dtype is not dtypes.bfloat16:
        return values.__dlpack__(**options)
    capsule = values.view("uint16").__dlpack__(**options)
    _code(capsule).value = BFLOAT
    return capsule


class _Words:
    """A DLPack producer that exports bfloat16 elements as 16-bit words, for NumPy."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.was_bfloat16 = False

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        try:
            capsule = self.source.__dlpack__(**options)
        except TypeError:  # a producer from before DLPack 1.0, which takes no options
            capsule = self.source.__dlpack__()
        code = _code(capsule)
        if code.value == BFLOAT:
            self.was_bfloat16 = True
            code.value = UINT
        return capsule


def from_dlpack(ext_tensor: Any) -> Tensor:
    """Return a ``cpu`` tensor on the memory of a NumPy array, a PyTorch tensor or another object with ``__dlpack__``.

    Raises ``DeviceError`` for memory of another device, ``ArgumentError`` for read-only memory.

    >>> import numpy, weft as wf
    >>> array = numpy.zeros(3, numpy.float32)
    >>> tensor = wf.from_dlpack(array)
    >>> tensor[1] = 5
    >>> array.tolist()
    [0.0, 5.0, 0.0]
    """
    if not (hasattr(ext_tensor, "__dlpack__") and hasattr(ext_tensor, "__dlpack_device__")):
        raise ArgumentTypeError(
            mistake(
                "from_dlpack",
                "ext_tensor",
                type(ext_tensor).__name__,
                "an object with __dlpack__ and __dlpack_device__",
            )
        )
    kind, _ = ext_tensor.__dlpack_device__()
    if kind != CPU:
        raise DeviceError(
            mistake(
                "from_dlpack",
                "ext_tensor",
                f"on DLPack device type {int(kind)}",
                "in host memory",
                "move it to the cpu first",
            )
        )
    words = _Words(ext_tensor)
    values = numpy.from_dlpack(words)
    if words.was_bfloat16:
        values = values.view(dtypes.bfloat16.numpy)
    return on_memory(values, "from_dlpack", "ext_tensor")


def on_memory(array: Any, where: str, argument: str) -> Tensor:
    """Return a ``cpu`` tensor on the memory of a NumPy array, with the array's strides."""
    kind = _type(array.dtype, where)
    if not array.flags.writeable:
        raise ArgumentError(
            mistake(where, argument, "read-only", "writable", "use weft.tensor, which copies")
        )
    cpu = devices.open("cpu")
    assert isinstance(cpu, HostDevice)
    if array.flags.c_contiguous and array.flags.aligned and array.size:
        return wrap(Array(cpu.adopt(array), kind, array.shape, contiguous_strides(array.shape)))
    item = array.dtype.itemsize
    if any(stride < 0 or stride % item for stride in array.strides) or not array.flags.aligned:
        raise ArgumentError(
            mistake(where, argument, f"an array with strides of {array.strides} bytes",
                    f"aligned elements with strides of 0 or more, multiples of {item} bytes",
                    "use weft.tensor, which copies")
        )  # fmt: skip
    shape = tuple(int(size) for size in array.shape)
    strides = tuple(int(stride) // item for stride in array.strides)
    reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if array.size == 0:
        strides, reach = contiguous_strides(shape), 0
    flat = numpy.lib.stride_tricks.as_strided(array, (reach,), (item,))
    return wrap(Array(cpu.adopt(flat), kind, shape, strides))


def _type(given: Any, where: str) -> DType:
    """Return the data type of a NumPy array; ``DTypeError`` for the other byte order."""
    if not given.isnative:
        raise DTypeError(
            mistake(
                where,
                "the array's dtype",
                f"{given.str}, of the other byte order",
                "the machine's own byte order",
            )
        )
    return dtypes.from_numpy(given)


def rebuild(kind: type[Tensor], values: Any, dtype: DType, device: str, requires_grad: bool) -> Tensor:
    """Return a tensor from its pickled parts, on the device of the pickled tensor."""
    made = kind.wrap(from_numpy(values, dtype, devices.open(device)))
    made._leaf_requires_grad = requires_grad
    return made


def reduce(tensor: Tensor) -> tuple[Any, ...]:
    """Return the pickled form of a tensor: its elements (of a view, only the view's) and attributes."""
    values = tensor.detach().numpy()
    made = rebuild, (type(tensor), values, tensor.dtype, str(tensor.device), tensor.requires_grad)
    return (*made, dict(tensor.__dict__)) if tensor.__dict__ else made
