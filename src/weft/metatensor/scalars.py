"""Number types of the format: each TypeDef keyword with its bytes, and each tensor type with its NumPy type."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy

Endian = Literal["little", "big"]
ORDER: dict[str, str] = {"little": "<", "big": ">"}
"""The byte order mark that ``struct`` and NumPy share."""


@dataclass(frozen=True)
class Scalar:
    """A number type: the ``struct`` code of its bytes, its NumPy name, and the range of its values."""

    code: str
    numpy: str
    low: int | float
    high: int | float

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return struct.calcsize(f"<{self.code}")

    @property
    def integral(self) -> bool:
        """Whether the type is an integer type."""
        return isinstance(self.low, int)


def _integer(code: str, name: str, bits: int, signed: bool) -> Scalar:
    high = 2 ** (bits - signed) - 1
    return Scalar(code, name, -high - 1 if signed else 0, high)


def _float(code: str, name: str, high: float) -> Scalar:
    return Scalar(code, name, -high, high)


SCALARS = {
    "Int8": _integer("b", "int8", 8, True),
    "Int16": _integer("h", "int16", 16, True),
    "Int32": _integer("i", "int32", 32, True),
    "Int64": _integer("q", "int64", 64, True),
    "Uint8": _integer("B", "uint8", 8, False),
    "Uint16": _integer("H", "uint16", 16, False),
    "Uint32": _integer("I", "uint32", 32, False),
    "Uint64": _integer("Q", "uint64", 64, False),
    "Float16": _float("e", "float16", 65504.0),
    "BFloat16": _float("H", "bfloat16", 3.3895313892515355e38),
    "Float32": _float("f", "float32", 3.4028234663852886e38),
    "Float64": _float("d", "float64", 1.7976931348623157e308),
}
"""The number keywords, without ``TypeDef:``. A BFloat16 is the upper half of a Float32's bytes."""

TENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""The element types of tensors under safetensors' names. Its types of less than a byte have no NumPy form."""

TENSOR_NAMES = {name: key for key, name in TENSORS.items()}


@lru_cache(maxsize=None)
def native(name: str) -> numpy.dtype[Any]:
    """Return NumPy's type of a name; types that NumPy lacks come from ``ml_dtypes``."""
    if name.startswith(("bfloat", "float8")):
        import ml_dtypes

        dtype: numpy.dtype[Any] = numpy.dtype(getattr(ml_dtypes, name))
        return dtype
    return numpy.dtype(name)


@lru_cache(maxsize=None)
def in_order(name: str, endian: Endian) -> numpy.dtype[Any] | None:
    """Return NumPy's type in a byte order; None if NumPy cannot swap its bytes (``ml_dtypes``, big-endian)."""
    dtype = native(name)
    if dtype.isbuiltin != 2:
        return dtype.newbyteorder("<" if endian == "little" else ">")
    return dtype if endian == "little" or dtype.itemsize == 1 else None


def codec(scalar: Scalar, endian: Endian) -> tuple[Callable[[Any, int], Any], Callable[[Any], bytes]]:
    """Return two functions: one reads a value from a buffer at a position, the other turns a value into bytes."""
    packing = struct.Struct(ORDER[endian] + scalar.code)
    if scalar.numpy != "bfloat16":
        unpack = packing.unpack_from
        return lambda buffer, at: unpack(buffer, at)[0], packing.pack

    def read(buffer: Any, at: int) -> float:
        value: float = struct.unpack("<f", struct.pack("<I", packing.unpack_from(buffer, at)[0] << 16))[0]
        return value

    def write(value: float) -> bytes:
        return packing.pack(int(native("bfloat16").type(value).view(numpy.uint16)))

    return read, write
