"""``FloatTensor``, ``LongTensor`` …: PyTorch's legacy constructors, one for each data type.

Each takes sizes, or data. ``isinstance(x, FloatTensor)`` tests the data type, and ``x.type()`` returns the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft import dtypes
from weft.autograd.base import is_tensor
from weft.dtypes import DType
from weft.errors import AbsentError, ArgumentError, mistake
from weft.tensors.creation import empty, tensor

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

NAMES = {
    "FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64", "IntTensor": "int32", "ShortTensor": "int16", "CharTensor": "int8", "ByteTensor": "uint8",
    "BoolTensor": "bool", "UInt32Tensor": "uint32",
}  # fmt: skip
"""PyTorch's legacy constructors, with the data types of their tensors."""


class TensorType(type):
    """The metaclass of the constructors: a call makes a ``Tensor``; instances are the tensors of the data type."""

    dtype: DType

    def __call__(cls, *arguments: Any, device: str | None = None) -> Tensor:
        """Return a tensor of sizes, with undefined contents, or of data: a sequence, an array or another tensor."""
        return construct(cls.dtype, arguments, device)

    def __instancecheck__(cls, value: Any) -> bool:
        return is_tensor(value) and value.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'weft.{cls.__name__}'>"


def construct(dtype: DType, arguments: tuple[Any, ...], device: str | None = None) -> Tensor:
    """Return a tensor of sizes, with undefined contents, or of data, as PyTorch's legacy constructors do.

    A tensor of the type gives a tensor on the same memory.
    """
    if all(isinstance(argument, int) and not isinstance(argument, bool) for argument in arguments):
        return empty(*(arguments or (0,)), dtype=dtype, device=device)
    if len(arguments) > 1:
        raise ArgumentError(mistake("Tensor", "arguments", f"{len(arguments)} values", "sizes, or one value"))
    (data,) = arguments
    if is_tensor(data):
        return data.detach().to(dtype=dtype, device=device)
    if type(data).__name__ == "Size":
        return empty(*data, dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    dtype = dtypes.BY_NAME.get(NAMES[name])
    if dtype is None:
        raise AbsentError(f"{name}: weft has no data type {NAMES[name]}; it has {', '.join(dtypes.BY_NAME)}")
    doc = (
        f"Constructor of {dtype.name} tensors from sizes (undefined contents) or from data, as ``torch.{name}``.\n\n"
        f"``isinstance(x, {name})`` is whether ``x`` is a {dtype.name} tensor. New programs use ``weft.tensor``."
    )
    members = {"dtype": dtype, "__module__": "weft", "__doc__": doc}
    constructor = globals()[name] = TensorType(name, (), members)
    return constructor


def type_name(value: Tensor) -> str:
    """Return the name that PyTorch's ``Tensor.type()`` returns: ``"torch.FloatTensor"``."""
    name = next(name for name, dtype in NAMES.items() if dtype == value.dtype.name)
    place = value.device.type
    return f"torch.{name}" if place == "cpu" else f"torch.{place}.{name}"


def named_type(given: Any) -> DType:
    """Return the data type of a constructor or of its name (``"torch.FloatTensor"``); a data type itself."""
    if isinstance(given, TensorType):
        return given.dtype
    if isinstance(given, DType):
        return given
    name = given.rpartition(".")[2] if isinstance(given, str) else repr(given)
    dtype = dtypes.BY_NAME.get(NAMES.get(name, ""))
    if dtype is None:
        known = ", ".join(name for name, dtype in NAMES.items() if dtype in dtypes.BY_NAME)
        raise ArgumentError(mistake("type", "dtype", repr(given), f"a data type, or one of {known}"))
    return dtype
