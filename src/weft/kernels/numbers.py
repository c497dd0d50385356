"""Python numbers as parameters of kernels."""

from __future__ import annotations

import math
from typing import Final

from weft.dtypes import DType, float32
from weft.errors import ArgumentError

LARGEST_FLOAT32: Final = 3.4028235677973366e38
"""A Python float beyond this value rounds to infinity in float32."""


def as_parameter(value: bool | int | float, dtype: DType) -> int | float:
    """Return a number in the form of a kernel parameter of a type.

    Raises:
        ArgumentError: For a number that the type cannot hold.

    >>> from weft import uint32
    >>> as_parameter(True, float32), as_parameter(-1, uint32)
    (1.0, 4294967295)
    """
    if dtype.kind == "float":
        try:
            number = float(value)
        except OverflowError:
            raise ArgumentError(
                f"an int of {int(value).bit_length()} bits is given for elements of type {dtype.name}, "
                f"expected a number that a float holds"
            ) from None
        if dtype is float32 and abs(number) > LARGEST_FLOAT32 and not math.isinf(number):
            return math.copysign(math.inf, number)
        return number
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(
            f"the number {value} is given for elements of type {dtype.name}, expected a finite number"
        )
    whole = int(value)
    if not -(2**63) <= whole < 2**63:
        raise ArgumentError(
            f"the number {value} is given for elements of type {dtype.name}, expected a number of at most 64 bits"
        )
    return whole & 0xFFFFFFFF if dtype.kind == "uint" else whole
