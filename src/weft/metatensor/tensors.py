"""The kind of tensors: dense arrays of one element type, read as views of the file's bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy

from weft.metatensor.kinds import Array, DType, Kind, Out, Region, Source, first_bad, raw, sequence
from weft.metatensor.misfit import Misfit
from weft.metatensor.scalars import Endian, in_order, native


class TensorKind(Kind):
    """A dense array of one element type and shape."""

    def __init__(self, name: str, element: str, shape: tuple[int, ...], endian: Endian, align: int) -> None:
        self.name, self.element, self.shape, self.align = name, native(element), shape, align
        self._order = in_order(element, endian)
        self.checkable = self._order is not None
        self.size = self.least = math.prod(shape) * self.element.itemsize

    @property
    def dtype(self) -> DType:
        """NumPy's sub-array type of the shape."""
        return super().dtype if self._order is None else numpy.dtype((self._order, self.shape))

    def array(self, value: Any) -> Array:
        """Return a value as a contiguous array in the kind's byte order; raise ``Misfit`` for another type or shape."""
        given = numpy.asarray(value)
        same = (
            given.dtype.newbyteorder("=") == self.element
            if given.dtype.isbuiltin != 2
            else given.dtype == self.element
        )
        if not same or given.shape != self.shape:
            raise Misfit(
                f"{given.dtype} of shape {given.shape}", f"{self.element} of shape {self.shape}",
                "cast or reshape it, or leave the schema out",
            )  # fmt: skip
        if self._order is None:
            return numpy.ascontiguousarray(given).view(numpy.uint16).byteswap()
        return numpy.require(given, self._order, "C").reshape(self.shape)

    def write(self, out: Out, value: Any) -> None:
        out.data += raw(self.array(value))

    def view(self, data: memoryview) -> Array:
        """Return the bytes as an array, without a copy if NumPy supports the byte order; booleans are checked."""
        if self._order is None:
            swapped = numpy.frombuffer(data, numpy.uint16).byteswap().view(self.element)
            return swapped.reshape(self.shape)
        array = numpy.frombuffer(data, self._order) if len(data) else numpy.empty(0, self._order)
        if self._order.kind == "b":
            first_bad(array.view(numpy.uint8) <= 1, array.view(numpy.uint8), "a byte 0 or 1")
        if not array.flags.aligned:  # possible in safetensors files
            array = array.copy()
        array = array.reshape(self.shape)
        array.flags.writeable = False
        return array

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        assert self.size is not None
        end = source.need(at, self.size)
        return self.view(source.data[at:end]), end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if self._order is None:
            return super().fill(array, values, out)
        given = numpy.asarray(values)
        if given.shape != array.shape or given.dtype.newbyteorder("=") != self.element:
            for index, value in enumerate(sequence(values, len(array))):
                try:
                    array[index] = self.array(value)
                except Misfit as misfit:
                    raise misfit.within(index) from None
        else:
            array[...] = given
        return None

    def check(self, array: Array) -> None:
        if self._order is not None and self._order.kind == "b":
            first_bad(array.view(numpy.uint8) <= 1, array.view(numpy.uint8), "a byte 0 or 1")

    def values(self, array: Array, region: Region) -> Any:
        return super().values(array, region) if self._order is None else array

    def describe(self) -> str:
        return f"{self.name} {list(self.shape)}"
