"""What a value can be, as bytes: the base of all kinds, and what they write to and read from.

``compile`` makes a tree of kinds from a schema, with mode and byte order settled. A kind writes a value to an
``Out`` and reads it from a ``Source``; kinds of fixed size also do whole arrays at once, without a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy

from weft.metatensor.misfit import Misfit

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


def aligned_room(size: int, align: int) -> memoryview:
    """New memory for so many bytes, on a boundary."""
    room = numpy.empty(size + align, numpy.uint8)
    skip = -room.ctypes.data % align
    return memoryview(cast(Any, room[skip : skip + size]))


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
    nodes: int = 1
    """How many kinds this one is made of, each counted where it stands."""
    hollow: int = 0
    """How many of them take no bytes."""
    asserts: bool = False
    """Whether the schema asks more of values than the kind does, so that the JSON Schema engine is needed."""

    def consist_of(self, kinds: Iterable[Kind]) -> None:
        """Add up what this kind has from those that it is made of."""
        for kind in kinds:
            self.region_align = max(self.region_align, kind.region_align)
            self.asserts = self.asserts or kind.asserts
            self.nodes += kind.nodes
            self.hollow += kind.hollow

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
        for index, value in enumerate(sequence(values, len(array))):
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


def sequence(values: Any, count: int) -> Sequence[Any]:
    """Values that can be counted and indexed, as many as there are places; ``Misfit`` otherwise."""
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
