"""Conversions between element types in memory and their compute types, as LLVM IR.

A cast to a narrow type inside an expression is a conversion to its bits, which rounds or wraps, and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from weft import dtypes
from weft.dtypes import DType
from weft.expr.llvm_text import IRValue, Lines, vector_type


def widened(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    """Convert an element in its memory form to its compute type."""
    return _WIDEN.get(dtype, _as_is)(lines, text, dtype, lanes)


def narrowed(lines: Lines, value: IRValue, dtype: DType) -> str:
    """Convert a value of a type's compute type to its memory form."""
    return _NARROW.get(dtype, _unchanged)(lines, value, dtype)


def _as_is(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    return IRValue(text, dtype, lanes)


def _widen_integer(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    word = "sext" if dtype.kind == "int" else "zext"
    wide = lines.let(f"{word} {vector_type(f'i{dtype.bits}', lanes)} {text} to {vector_type('i32', lanes)}")
    return IRValue(wide, dtypes.int32, lanes)


def _widen_bool(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    truth = lines.let(f"icmp ne {vector_type('i8', lanes)} {text}, zeroinitializer")
    return IRValue(truth, dtypes.bool_, lanes)


def _widen_float16(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    # the element was loaded as i16: masked loads of half are not legal on all processors
    half = lines.let(f"bitcast {vector_type('i16', lanes)} {text} to {vector_type('half', lanes)}")
    wide = lines.let(f"fpext {vector_type('half', lanes)} {half} to {vector_type('float', lanes)}")
    return IRValue(wide, dtypes.float32, lanes)


def _widen_bfloat16(lines: Lines, text: str, dtype: DType, lanes: int) -> IRValue:
    word = vector_type("i32", lanes)
    wide = lines.let(f"zext {vector_type('i16', lanes)} {text} to {word}")
    high = lines.let(f"shl {word} {wide}, {_each('i32', 16, lanes)}")
    return IRValue(
        lines.let(f"bitcast {word} {high} to {vector_type('float', lanes)}"), dtypes.float32, lanes
    )


def _unchanged(lines: Lines, value: IRValue, dtype: DType) -> str:
    return value.text


def _narrow_integer(lines: Lines, value: IRValue, dtype: DType) -> str:
    return lines.let(f"trunc {value.type} {value.text} to {vector_type(f'i{dtype.bits}', value.lanes)}")


def _narrow_bool(lines: Lines, value: IRValue, dtype: DType) -> str:
    return lines.let(f"zext {value.type} {value.text} to {vector_type('i8', value.lanes)}")


def _narrow_float16(lines: Lines, value: IRValue, dtype: DType) -> str:
    narrow = vector_type("half", value.lanes)
    half = lines.let(f"fptrunc {value.type} {value.text} to {narrow}")
    return lines.let(f"bitcast {narrow} {half} to {vector_type('i16', value.lanes)}")


def _narrow_bfloat16(lines: Lines, value: IRValue, dtype: DType) -> str:
    """Round to nearest even on the bits; a NaN keeps its sign and becomes quiet."""
    lanes, word = value.lanes, vector_type("i32", value.lanes)
    bits = lines.let(f"bitcast {value.type} {value.text} to {word}")
    high = lines.let(f"lshr {word} {bits}, {_each('i32', 16, lanes)}")
    odd = lines.let(f"and {word} {high}, {_each('i32', 1, lanes)}")
    bias = lines.let(f"add {word} {odd}, {_each('i32', 0x7FFF, lanes)}")
    rounded = lines.let(f"add {word} {bits}, {bias}")
    rounded = lines.let(f"lshr {word} {rounded}, {_each('i32', 16, lanes)}")
    quiet = lines.let(f"or {word} {high}, {_each('i32', 0x40, lanes)}")
    nan = lines.let(f"fcmp uno {value.type} {value.text}, {value.text}")
    chosen = lines.let(f"select {vector_type('i1', lanes)} {nan}, {word} {quiet}, {word} {rounded}")
    return lines.let(f"trunc {word} {chosen} to {vector_type('i16', lanes)}")


def _each(kind: str, number: int, lanes: int) -> str:
    return str(number) if lanes == 1 else f"splat ({kind} {number})"


_WIDEN: Final[Mapping[DType, Callable[[Lines, str, DType, int], IRValue]]] = {
    dtypes.float16: _widen_float16, dtypes.bfloat16: _widen_bfloat16, dtypes.bool_: _widen_bool,
    dtypes.int16: _widen_integer, dtypes.int8: _widen_integer, dtypes.uint8: _widen_integer,
}  # fmt: skip
_NARROW: Final[Mapping[DType, Callable[[Lines, IRValue, DType], str]]] = {
    dtypes.float16: _narrow_float16, dtypes.bfloat16: _narrow_bfloat16, dtypes.bool_: _narrow_bool,
    dtypes.int16: _narrow_integer, dtypes.int8: _narrow_integer, dtypes.uint8: _narrow_integer,
}  # fmt: skip
