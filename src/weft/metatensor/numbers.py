"""Kinds of scalar values of fixed size: numbers, booleans and enums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from weft.metatensor.kinds import Array, DType, Kind, Out, Region, Source, first_bad, sequence
from weft.metatensor.misfit import Misfit
from weft.metatensor.scalars import ORDER, SCALARS, Endian, Scalar, codec, in_order, native


class Number(Kind):
    """An integer or a float. Floats are finite unless the schema says ``"finite": false``."""

    def __init__(self, name: str, scalar: Scalar, endian: Endian, align: int, finite: bool = True) -> None:
        self.name, self.scalar, self.finite = name, scalar, finite and not scalar.integral
        self.size = self.least = scalar.size
        self.align = align
        self.endian = endian
        self._read, self._write = codec(scalar, endian)
        self._dtype = in_order(scalar.numpy, endian)
        self.checkable = self._dtype is not None
        if scalar.integral:
            self.expected = f"an integer from {scalar.low} to {scalar.high}"
        elif self.finite:
            self.expected = f"a finite number within ±{scalar.high:.8g}"
        else:
            self.expected = "a number"

    @property
    def dtype(self) -> DType:
        """NumPy's type, in the schema's byte order; raw bytes for a big-endian BFloat16."""
        return super().dtype if self._dtype is None else self._dtype

    def takes(self, value: Any) -> bool:
        """Return whether a Python or NumPy number is a value of this kind."""
        if isinstance(value, bool | numpy.bool_):
            return False
        if self.scalar.integral:
            return isinstance(value, int | numpy.integer) and bool(
                self.scalar.low <= value <= self.scalar.high
            )
        if not isinstance(value, int | float | numpy.integer | numpy.floating | native("bfloat16").type):
            return False
        plain = float(value)
        return self.scalar.low <= plain <= self.scalar.high if math.isfinite(plain) else not self.finite

    def write(self, out: Out, value: Any) -> None:
        if not self.takes(value):
            raise Misfit(repr(value), self.expected)
        out.data += self._write(int(value) if self.scalar.integral else float(value))

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        end = source.need(at, self.scalar.size)
        value = self._read(source.data, at)
        if self.finite and not math.isfinite(value):
            raise Misfit(value, self.expected)
        return value, end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if self._dtype is None:
            return super().fill(array, values, out)
        try:
            given = numpy.asarray(values)
        except ValueError:
            raise Misfit("a sequence of unequal rows", f"an array of shape {array.shape}") from None
        if given.shape != array.shape:
            raise Misfit(f"an array of shape {given.shape}", f"one of shape {array.shape}")
        extra = given.dtype.isbuiltin == 2 and not self.scalar.integral
        if given.size and not extra and given.dtype.kind not in ("iu" if self.scalar.integral else "iuf"):
            for index, value in enumerate(values):
                if not self.takes(value):
                    raise Misfit(repr(value), self.expected).within(index)
            raise Misfit(f"of dtype {given.dtype}", self.expected)
        if self.scalar.integral and given.size:
            first_bad((given >= self.scalar.low) & (given <= self.scalar.high), given, self.expected)
        with numpy.errstate(over="ignore"):
            array[...] = given
        if self.finite:
            first_bad(numpy.isfinite(array), given, self.expected)
        return None

    def check(self, array: Array) -> None:
        if self.finite and self._dtype is not None:
            first_bad(numpy.isfinite(array), array, self.expected)

    def values(self, array: Array, region: Region) -> Any:
        return super().values(array, region) if self._dtype is None else array

    def describe(self) -> str:
        return self.name


class Boolean(Kind):
    """One byte, 0 or 1."""

    size = least = 1
    checkable = True

    def __init__(self, align: int) -> None:
        self.align = align

    @property
    def dtype(self) -> DType:
        """NumPy's bool."""
        return numpy.dtype(bool)

    def write(self, out: Out, value: Any) -> None:
        if not isinstance(value, bool | numpy.bool_):
            raise Misfit(repr(value), "True or False")
        out.data.append(bool(value))

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        end = source.need(at, 1)
        if source.data[at] > 1:
            raise Misfit(f"the byte {source.data[at]}", "0 or 1")
        return source.data[at] == 1, end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        given = numpy.asarray(values)
        if given.shape != array.shape or given.size and given.dtype != bool:
            raise Misfit(f"{given.dtype} of shape {given.shape}", f"booleans of shape {array.shape}")
        array[...] = given

    def check(self, array: Array) -> None:
        data = array.view(numpy.uint8)
        first_bad(data <= 1, data, "a byte 0 or 1")

    def values(self, array: Array, region: Region) -> Any:
        return array


class Enum(Kind):
    """An index (u32) into the schema's values, in their order."""

    size = least = 4
    checkable = True

    def __init__(self, members: Sequence[Any], endian: Endian, align: int) -> None:
        self.members, self.align = tuple(members), align
        self._index = {_key(member): index for index, member in enumerate(self.members)}
        self._dtype = numpy.dtype(f"{ORDER[endian]}u4")
        self._codec = codec(SCALARS["Uint32"], endian)
        self.expected = f"one of {', '.join(map(repr, self.members))}"

    @property
    def dtype(self) -> DType:
        """The index as NumPy's uint32."""
        return self._dtype

    def index(self, value: Any) -> int:
        """Return the index of a value among the members; raise ``Misfit`` if it is not one of them."""
        index = self._index.get(_key(value))
        if index is None:
            raise Misfit(repr(value), self.expected)
        return index

    def write(self, out: Out, value: Any) -> None:
        out.data += self._codec[1](self.index(value))

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        end = source.need(at, 4)
        index = self._codec[0](source.data, at)
        if index >= len(self.members):
            raise Misfit(f"the index {index}", f"one below {len(self.members)}")
        return self.members[index], end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if isinstance(values, numpy.ndarray) and values.dtype.kind == "u" and values.shape == array.shape:
            self.check(values)  # already indices, as in an array that was read
            array[...] = values
            return
        for index, value in enumerate(sequence(values, len(array))):
            try:
                array[index] = self.index(value)
            except Misfit as misfit:
                raise misfit.within(index) from None

    def check(self, array: Array) -> None:
        first_bad(array < len(self.members), array, f"an index below {len(self.members)}")

    def values(self, array: Array, region: Region) -> Any:
        self.check(array)
        return [self.members[index] for index in array.tolist()]


def _key(value: Any) -> Any:
    """Return a key that distinguishes members: 1, 1.0 and True differ, and so do a list and its text."""
    return (type(value).__name__, str(value))
