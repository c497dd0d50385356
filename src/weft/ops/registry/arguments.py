"""Checks and normal forms of arguments that many functions share: dimensions, sizes, dtypes."""

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
    """An integer argument (NumPy integers too, bool not); ``ArgumentTypeError`` otherwise."""
    if type(value) is int:
        return value
    if isinstance(value, bool):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "an int"))
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentTypeError(mistake(where, argument, repr(value), "an int")) from None


def dimension(where: str, dim: Any, rank: int, argument: str = "dim") -> int:
    """A dimension counted from the front; negative ones count from the back (a 0-d tensor takes 0 and -1)."""
    given = integer(where, argument, dim)
    bound = max(rank, 1)
    if not -bound <= given < bound:
        raise IndexOutOfRangeError(
            mistake(where, argument, given, f"in [{-bound}, {bound - 1}] for a tensor of {rank} dimensions")
        )
    return given % bound


def dimensions(where: str, dim: Any, rank: int) -> tuple[int, ...]:
    """Sorted distinct dimensions of an int, a sequence, or ``None`` for all."""
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
    """A shape from ``f(2, 3)``, ``f((2, 3))`` or ``f([2, 3])``; sizes must not be negative."""
    flat = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    shape = tuple([size if type(size) is int else integer(where, "size", size) for size in flat])
    if shape and min(shape) < 0:
        raise ShapeError(mistake(where, "size", shape, "no negative sizes"))
    return shape


def infer_size(where: str, shape: Sequence[int], numel: int, source: Sequence[int]) -> tuple[int, ...]:
    """A shape with at most one -1 filled in; ``ShapeError`` where the number of elements differs."""
    if shape and min(shape) >= 0 and math.prod(shape) == numel:
        return tuple(shape)
    open_ = shape.count(-1)
    if open_ > 1 or (shape and min(shape) < -1):
        raise ShapeError(mistake(where, "shape", tuple(shape), "sizes of 0 or more and at most one -1"))
    known = -math.prod(shape) if open_ else math.prod(shape)
    if open_ and known == 0:
        raise ShapeError(
            f"{where}: shape {tuple(shape)} leaves -1 undecided beside a size of 0; write the size"
        )
    if numel % known if open_ else known != numel:
        expected = f"{numel} elements in all, as {tuple(source)} has"
        raise ShapeError(mistake(where, "shape", tuple(shape), expected))
    return tuple([numel // known if size == -1 else size for size in shape])


def pair(where: str, argument: str, value: Any, least: int = 0) -> tuple[int, int]:
    """An int for both spatial dimensions, or two ints, each at least ``least``."""
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
    """A weft data type; NumPy's and Python's are named in the error."""
    if not isinstance(dtype, DType):
        raise ArgumentTypeError(mistake(where, "dtype", repr(dtype), "a weft data type such as weft.float32"))
    return dtype


def tensor(where: str, argument: str, value: Any, rank: int | None = None) -> Any:
    """A tensor argument, of ``rank`` dimensions where given."""
    kind = type(value)  # asked of the class, so that no property is computed
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
    """``NumberRangeError`` where a Python number does not fit an element type, by PyTorch's rule.

    A float is cut to an integer; an unsigned type takes negative numbers down to minus its largest; 16-bit types
    take everything.
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


def factor_of(where: str, argument: str, value: Any, *operands: Any) -> Any:
    """A number that scales operands: a float is cut to an integer where all of these are integers, as in PyTorch.

    Raises ``NumberRangeError`` for a float outside of the range of the first one's type.
    """
    if not isinstance(value, float) or not all(operand.dtype.is_integer for operand in operands):
        return value
    within(where, argument, value, operands[0].dtype)
    return math.trunc(value)


def within(where: str, argument: str, value: Any, dtype: DType) -> None:
    """``NumberRangeError`` where a number, not cut to an integer, is outside of an integer type's range."""
    most = 2 ** (dtype.bits - (dtype.kind == "int")) - 1
    least = -most - 1 if dtype.kind == "int" else 0
    if not least <= value <= most:
        raise NumberRangeError(mistake(where, argument, value, f"from {least} to {most} for {dtype.name}"))


def fits_beside(where: str, argument: str, value: Any, tensor: Any) -> Any:
    """A number that meets a tensor, as its type holds it; ``NumberRangeError`` where a type of integers cannot."""
    if type(value) is not int or not tensor.dtype.is_integer:
        return value
    representable(where, argument, value, tensor.dtype)
    return value % 2**tensor.dtype.bits if value < 0 and tensor.dtype.kind == "uint" else value


def floating(where: str, argument: str, dtype: DType) -> None:
    """``DTypeError`` unless the type is floating point."""
    if dtype.kind != "float":
        raise DTypeError(mistake(where, f"{argument}'s dtype", dtype.name, "a floating point type"))


def integral(where: str, argument: str, dtype: DType) -> None:
    """``DTypeError`` unless the type is an integer one that can hold indices."""
    if not dtype.is_integer:
        raise DTypeError(mistake(where, f"{argument}'s dtype", dtype.name, "an integer type such as int64"))
