"""Checks of arguments that many functions share, and their normal forms: dimensions, sizes, dtypes, numbers.

The first parameter ``where`` is the name of the public function, with which each error begins.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from weft.dtypes import DType
from weft.errors import (
    ArgumentTypeError,
    DTypeError,
    IndexOutOfRangeError,
    NumberRangeError,
    ShapeError,
    mistake,
)
from weft.kernels.numbers import LARGEST_FLOAT32


def integer(where: str, argument: str, value: Any) -> int:
    """Return an integer argument as an int; ``ArgumentTypeError`` unless it is an int or a NumPy integer."""
    if type(value) is int:
        return value
    if isinstance(value, bool):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "an int"))
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentTypeError(mistake(where, argument, repr(value), "an int")) from None


def dimension(where: str, dim: Any, rank: int, argument: str = "dim") -> int:
    """Return a dimension, counted from the front; a negative number counts from the back.

    A 0-d tensor takes 0 and -1. ``IndexOutOfRangeError`` for a number beyond the rank.
    """
    given = integer(where, argument, dim)
    bound = max(rank, 1)
    if not -bound <= given < bound:
        raise IndexOutOfRangeError(
            mistake(where, argument, given, f"in [{-bound}, {bound - 1}] for a tensor of {rank} dimensions")
        )
    return given % bound


def dimensions(where: str, dim: Any, rank: int) -> tuple[int, ...]:
    """Return sorted dimensions of an int or a sequence; all dimensions for ``None`` and for an empty sequence.

    ``ShapeError`` where a dimension is named twice.
    """
    if dim is None:
        return tuple(range(rank))
    given = dim if isinstance(dim, Sequence) else (dim,)
    if not given:
        return tuple(range(rank))
    found = [dimension(where, d, rank) for d in given]
    if len(set(found)) != len(found):
        raise ShapeError(mistake(where, "dim", tuple(given), "distinct dimensions"))
    return tuple(sorted(d for d in found if d < rank))


def sizes(where: str, given: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape of the arguments of ``f(2, 3)``, ``f((2, 3))`` or ``f([2, 3])``; no size may be negative."""
    flat = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    shape = tuple([size if type(size) is int else integer(where, "size", size) for size in flat])
    if shape and min(shape) < 0:
        raise ShapeError(mistake(where, "size", shape, "no negative sizes"))
    return shape


def infer_size(where: str, shape: Sequence[int], numel: int, source: Sequence[int]) -> tuple[int, ...]:
    """Return a shape with its -1, if it has one, replaced; ``ShapeError`` where the number of elements differs."""
    if shape and min(shape) >= 0 and math.prod(shape) == numel:
        return tuple(shape)
    unknown = shape.count(-1)
    if unknown > 1 or (shape and min(shape) < -1):
        raise ShapeError(mistake(where, "shape", tuple(shape), "sizes of 0 or more and at most one -1"))
    known = -math.prod(shape) if unknown else math.prod(shape)
    if unknown and known == 0:
        raise ShapeError(
            f"{where}: shape {tuple(shape)} leaves -1 undecided beside a size of 0; write the size"
        )
    if numel % known if unknown else known != numel:
        expected = f"{numel} elements in all, as {tuple(source)} has"
        raise ShapeError(mistake(where, "shape", tuple(shape), expected))
    return tuple([numel // known if size == -1 else size for size in shape])


def pair(where: str, argument: str, value: Any, least: int = 0) -> tuple[int, int]:
    """Return two ints, each at least ``least``, from two ints or from one int for both spatial dimensions."""
    given = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(given) == 1:
        given *= 2
    if len(given) != 2:
        raise ShapeError(mistake(where, argument, value, "an int or two ints"))
    first, second = (integer(where, argument, size) for size in given)
    if first < least or second < least:
        raise ShapeError(mistake(where, argument, value, f"at least {least}"))
    return first, second


def data_type(where: str, dtype: Any) -> DType:
    """Return a weft data type as it is; ``ArgumentTypeError`` for a type of NumPy or Python."""
    if not isinstance(dtype, DType):
        raise ArgumentTypeError(mistake(where, "dtype", repr(dtype), "a weft data type such as weft.float32"))
    return dtype


def tensor(where: str, argument: str, value: Any, rank: int | None = None) -> Any:
    """Return a tensor argument as it is; raise where it is no tensor, or not of ``rank`` dimensions where given."""
    kind = type(value)  # hasattr on the class computes no property
    if not (hasattr(kind, "dtype") and hasattr(kind, "device") and hasattr(kind, "shape")):
        raise ArgumentTypeError(
            mistake(where, argument, type(value).__name__, "a Tensor", "use weft.tensor(...)")
        )
    if rank is not None and len(value.shape) != rank:
        raise ShapeError(
            mistake(
                where,
                argument,
                f"{len(value.shape)}-dimensional with shape {tuple(value.shape)}",
                f"{rank}-dimensional",
            )
        )
    return value


def representable(where: str, argument: str, value: Any, dtype: DType) -> None:
    """Raise ``NumberRangeError`` where an element type cannot hold a Python number, by PyTorch's rule.

    For an integer type a float is truncated. An unsigned type takes negative numbers down to minus its largest number.
    16-bit floating point types take every number.
    """
    if dtype.kind == "float":
        if dtype.bits == 32 and isinstance(value, float) and LARGEST_FLOAT32 < abs(value) < math.inf:
            raise NumberRangeError(mistake(where, argument, value, f"a number that {dtype.name} holds"))
        return
    if dtype.kind == "bool":
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise NumberRangeError(mistake(where, argument, value, f"a finite number for {dtype.name}"))
    most = 2 ** (dtype.bits - (dtype.kind == "int")) - 1
    least = -most - (dtype.kind == "int")
    if not least <= math.trunc(value) <= most:
        raise NumberRangeError(
            mistake(
                where,
                argument,
                value,
                f"from {least if dtype.kind == 'int' else 0} to {most} for {dtype.name}",
            )
        )


def scalar_factor(where: str, argument: str, value: Any, *operands: Any) -> Any:
    """Return a number that scales operands; a float is truncated where all operands are integers, as in PyTorch.

    Raises ``NumberRangeError`` for a float outside of the range of the first operand's type.
    """
    if not isinstance(value, float) or not all(operand.dtype.is_integer for operand in operands):
        return value
    check_range(where, argument, value, operands[0].dtype)
    return math.trunc(value)


def check_range(where: str, argument: str, value: Any, dtype: DType) -> None:
    """Raise ``NumberRangeError`` where a number, before truncation, is outside of an integer type's range."""
    most = 2 ** (dtype.bits - (dtype.kind == "int")) - 1
    least = -most - 1 if dtype.kind == "int" else 0
    if not least <= value <= most:
        raise NumberRangeError(mistake(where, argument, value, f"from {least} to {most} for {dtype.name}"))


def scalar_operand(where: str, argument: str, value: Any, tensor: Any) -> Any:
    """Return a number that is combined with a tensor, as the tensor's integer type holds it.

    Raises ``NumberRangeError`` where the type cannot hold the number.
    """
    if type(value) is not int or not tensor.dtype.is_integer:
        return value
    representable(where, argument, value, tensor.dtype)
    return value % 2**tensor.dtype.bits if value < 0 and tensor.dtype.kind == "uint" else value


def floating(where: str, argument: str, dtype: DType) -> None:
    """Raise ``DTypeError`` unless the type is floating point."""
    if dtype.kind != "float":
        raise DTypeError(mistake(where, f"{argument}'s dtype", dtype.name, "a floating point type"))


def integral(where: str, argument: str, dtype: DType) -> None:
    """Raise ``DTypeError`` unless the type is an integer type, as indices have."""
    if not dtype.is_integer:
        raise DTypeError(mistake(where, f"{argument}'s dtype", dtype.name, "an integer type such as int64"))
