"""What a value can be, as bytes: the base of all kinds, and those of one fixed value each.

``compile`` makes a tree of kinds from a schema, with mode and byte order settled. A kind writes a value to an
``Out`` and reads it from a ``Source``; kinds of fixed size also do whole arrays at once, without a loop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy

from weft.metatensor.misfit import Misfit
from weft.metatensor.scalars import Endian, Scalar, codec, in_order, native

Array = numpy.ndarray[Any, Any]
DType = numpy.dtype[Any]


def up(position: int, align: int) -> int:
    """The next position on that boundary."""
    return -(-position // align) * align


@dataclass
class Out:
    """Bytes under way: those of the value itself, and of the data region that its indices point into."""

    data: bytearray = field(default_factory=bytearray)
    region: bytearray = field(default_factory=bytearray)
    positions: dict[str, tuple[int, int]] | None = None
    path: list[str] = field(default_factory=list)

    def pad(self, align: int) -> int:
        """Zero bytes up to a boundary; the position there."""
        self.data.extend(bytes(-len(self.data) % align))
        return len(self.data)


@dataclass
class Region:
    """A data region. What entries of it take together may not exceed it: entries do not overlap."""

    data: memoryview
    left: int

    @classmethod
    def of(cls, data: memoryview) -> Region:
        """The region of these bytes, none of them read."""
        return cls(data, len(data))


@dataclass
class Source:
    """Bytes being read, and the data region that indices in them point into."""

    data: memoryview
    region: Region

    def need(self, at: int, size: int) -> int:
        """The position after ``size`` bytes at a position; a ``Misfit`` where there are fewer."""
        if size > len(self.data) - at:
            raise Misfit(f"{max(0, len(self.data) - at)} bytes long", f"{size} bytes")
        return at + size


def raw(array: Array) -> memoryview:
    """The bytes of an array, in one piece: a copy only where it is not contiguous."""
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return memoryview(cast(Any, flat.view(numpy.uint8))) if flat.nbytes else memoryview(b"")


class Kind:
    """The base: alignment and size in one layout. ``size`` is None where values differ in length.

    ``least`` is the fewest bytes that a value takes; ``region_align`` the boundary that the data region must be on,
    0 for a kind that has none.
    """

    align: int = 1
    size: int | None = None
    least: int = 0
    region_align: int = 0
    checkable: bool = False
    """Whether ``check`` sees all that can be wrong in an array of the kind's ``dtype``."""
    asserts: bool = False
    """Whether the schema asks more of values than the kind does, so that the JSON Schema engine is needed."""

    @property
    def dtype(self) -> DType:
        """NumPy's type of the bytes of a kind of fixed size; opaque bytes where it has none."""
        return numpy.dtype(f"V{self.size}")

    @property
    def stride(self) -> int:
        """Bytes from one value to the next in an array of a kind of fixed size."""
        assert self.size is not None
        return up(self.size, self.align)

    def write(self, out: Out, value: Any) -> None:
        """Append a value; ``out`` stands on the kind's boundary."""
        raise NotImplementedError

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        """The value at a position on the kind's boundary, and the position after it."""
        raise NotImplementedError

    def fill(self, array: Array, values: Any, out: Out) -> None:
        """Write values into an array of this kind's ``dtype``; what they point to goes to ``out.region``."""
        for index, value in enumerate(_sequence(values, len(array))):
            one = Out(region=out.region)
            try:
                self.write(one, value)
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__
            array[index] = numpy.void(bytes(one.data))

    def check(self, array: Array) -> None:
        """Raise ``Misfit`` where an array of this kind's ``dtype`` holds bytes that are no value of it."""

    def values(self, array: Array, region: Region) -> Any:
        """What users get for an array of this kind's ``dtype`` that was read: a view, a list or a lazy sequence."""
        stride = array.dtype.itemsize
        source = Source(memoryview(array.tobytes()), region)
        return [self._at(source, index * stride, index) for index in range(len(array))]

    def _at(self, source: Source, at: int, index: int) -> Any:
        try:
            return self.read(source, at)[0]
        except Misfit as misfit:
            raise misfit.within(index) from misfit.__cause__

    def children(self) -> Iterator[tuple[str, Kind]]:
        """The kinds that this one is made of, by name."""
        return iter(())

    def describe(self) -> str:
        """The kind in a word or two, for tables and messages."""
        return type(self).__name__.lower()


def _sequence(values: Any, count: int) -> Sequence[Any]:
    if (
        isinstance(values, str | bytes)
        or not hasattr(values, "__len__")
        or not hasattr(values, "__getitem__")
    ):
        raise Misfit(f"a {type(values).__name__}", f"a sequence of {count} values")
    if len(values) != count:
        raise Misfit(f"{len(values)} values", f"{count} values")
    found: Sequence[Any] = values
    return found


def first_bad(good: Array, values: Any, expected: str) -> None:
    """Raise ``Misfit`` naming the first value that is not good."""
    if not good.all():
        index = tuple(int(i) for i in numpy.argwhere(~good)[0])
        misfit = Misfit(numpy.asarray(values)[index], expected)
        for part in reversed(index):
            misfit.within(part)
        raise misfit


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
        """Whether a Python or NumPy number is a value of this kind."""
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
        self._dtype = numpy.dtype("u4").newbyteorder("<" if endian == "little" else ">")
        self._codec = codec(Scalar("I", "uint32", 0, 2**32 - 1), endian)
        self.expected = f"one of {', '.join(map(repr, self.members))}"

    @property
    def dtype(self) -> DType:
        """The index as NumPy's uint32."""
        return self._dtype

    def index(self, value: Any) -> int:
        """Where a value stands among the members."""
        found = self._index.get(_key(value))
        if found is None:
            raise Misfit(repr(value), self.expected)
        return found

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
            self.check(values)  # indices already, as in an array that was read
            array[...] = values
            return
        for index, value in enumerate(_sequence(values, len(array))):
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
    """What tells members apart: 1, 1.0 and True are different, as lists are from their text."""
    return (type(value).__name__, str(value))


class TensorKind(Kind):
    """A dense array of one element type and shape."""

    def __init__(self, name: str, element: str, shape: tuple[int, ...], endian: Endian, align: int) -> None:
        self.name, self.element, self.shape, self.align = name, native(element), shape, align
        self._order = in_order(element, endian)
        self.checkable = self._order is not None
        self.size = self.least = math.prod(shape) * self.element.itemsize

    @property
    def dtype(self) -> DType:
        """A NumPy sub-array of the shape."""
        return super().dtype if self._order is None else numpy.dtype((self._order, self.shape))

    def array(self, value: Any) -> Array:
        """A value as a contiguous array of the right type, shape and byte order; ``Misfit`` where it is not one."""
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
        """The bytes as an array, without a copy where NumPy has the byte order; booleans are checked."""
        if self._order is None:
            swapped = numpy.frombuffer(data, numpy.uint16).byteswap().view(self.element)
            return swapped.reshape(self.shape)
        found = numpy.frombuffer(data, self._order) if len(data) else numpy.empty(0, self._order)
        if self._order.kind == "b":
            first_bad(found.view(numpy.uint8) <= 1, found.view(numpy.uint8), "a byte 0 or 1")
        if not found.flags.aligned:  # safetensors files may hold such
            found = found.copy()
        found = found.reshape(self.shape)
        found.flags.writeable = False
        return found

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        assert self.size is not None
        end = source.need(at, self.size)
        return self.view(source.data[at:end]), end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if self._order is None:
            return super().fill(array, values, out)
        given = numpy.asarray(values)
        if given.shape != array.shape or given.dtype.newbyteorder("=") != self.element:
            for index, value in enumerate(_sequence(values, len(array))):
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
