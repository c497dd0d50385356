"""Pieces of LLVM IR text: types, literals, named values, and the lines of a function under construction."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from weft import dtypes
from weft.dtypes import DType

SCALARS: Final[Mapping[DType, str]] = {
    dtypes.float64: "double", dtypes.float32: "float", dtypes.int64: "i64", dtypes.int32: "i32",
    dtypes.uint32: "i32", dtypes.bool_: "i1",
}  # fmt: skip
"""The IR types of the compute types."""

SCALAR_BITS: Final[Mapping[DType, int]] = {
    dtypes.int64: 64, dtypes.int32: 32, dtypes.uint32: 32, dtypes.bool_: 1,
}  # fmt: skip
_SUFFIXES: Final = {"double": "f64", "float": "f32", "half": "f16"}


@dataclass(frozen=True)
class IRValue:
    """A computed value: its IR text (a name or a literal), type and number of lanes."""

    text: str
    dtype: DType
    lanes: int = 1

    @property
    def type(self) -> str:
        """The value's IR type."""
        return vector_type(SCALARS[self.dtype], self.lanes)


def vector_type(scalar: str, lanes: int) -> str:
    """Return the IR type of ``lanes`` elements of a scalar type; the scalar type itself for a single lane."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def suffix(scalar: str, lanes: int) -> str:
    """Return the suffix by which intrinsics name a type: ``f32``, ``v16i64``."""
    name = _SUFFIXES.get(scalar, "p0" if scalar == "ptr" else scalar)
    return name if lanes == 1 else f"v{lanes}{name}"


def literal(value: bool | int | float, dtype: DType) -> str:
    """Return a constant as IR text: floats by their bits, integers as two's complement.

    >>> literal(1.5, dtypes.float32), literal(2**32 - 1, dtypes.uint32), literal(True, dtypes.bool_)
    ('0x3FF8000000000000', '-1', 'true')
    """
    if dtype.kind == "bool":
        return "true" if value else "false"
    if dtype.kind == "float":
        number = float(value) if dtype is dtypes.float64 else _as_float32(float(value))
        return "0x" + struct.pack(">d", number).hex().upper()
    bits = SCALAR_BITS[dtype]
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


def _as_float32(value: float) -> float:
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # a finite value beyond float32 becomes infinite
        return math.copysign(math.inf, value)
    return rounded


@dataclass
class Lines:
    """The text of an IR function under construction: instructions, fresh names, and declarations of callees."""

    text: list[str] = field(default_factory=list)
    declarations: set[str] = field(default_factory=set)
    _count: int = 0

    def fresh(self, prefix: str = "v") -> str:
        """Return a name that this function has not used, without its sigil."""
        self._count += 1
        return f"{prefix}{self._count}"

    def do(self, instruction: str) -> None:
        """Append an instruction that has no result."""
        self.text.append(f"  {instruction}")

    def let(self, instruction: str, prefix: str = "v") -> str:
        """Append an instruction and return the name of its result."""
        name = f"%{self.fresh(prefix)}"
        self.text.append(f"  {name} = {instruction}")
        return name
