"""``Kind``: the base class of types with a byte layout, and the buffers that kinds write to and read from.

``compile`` turns a schema into a tree of kinds, for one mode and byte order. A kind writes a value to an ``Out`` and
reads it from a ``Source``; kinds of fixed size also convert whole NumPy arrays, without a loop.
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
    """Return the position rounded up to a multiple of ``align``."""
    return -(-position // align) * align


@dataclass
class Out:
    """Output buffers: the bytes of a value, and those of the data region that its indices point into."""

    data: bytearray = field(default_factory=bytearray)
    region: bytearray = field(default_factory=bytearray)
    positions: dict[str, tuple[int, int]] | None = None
    path: list[str] = field(default_factory=list)

    def pad(self, align: int) -> int:
        """Append zero bytes up to a boundary; return the position."""
        self.data.extend(bytes(-len(self.data) % align))
        return len(self.data)


@dataclass
class Region:
    """A data region. Its entries do not overlap, so together they have at most as many bytes as the region."""

    data: memoryview
    left: int

    @classmethod
    def of(cls, data: memoryview) -> Region:
        """Return a region over these bytes, none of them read yet."""
        return cls(data, len(data))


@dataclass
class Source:
    """An input buffer: the bytes of a value, and the data region that its indices point into."""

    data: memoryview
    region: Region

    def need(self, at: int, size: int) -> int:
        """Return the position after ``size`` bytes at ``at``; raise ``Misfit`` if there are fewer."""
        if size > len(self.data) - at:
            raise Misfit(f"{max(0, len(self.data) - at)} bytes long", f"{size} bytes")
        return at + size


def raw(array: Array) -> memoryview:
    """Return the bytes of an array, copied only if the array is not contiguous."""
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return memoryview(cast(Any, flat.view(numpy.uint8))) if flat.nbytes else memoryview(b"")


def aligned_room(size: int, align: int) -> memoryview:
    """Return new memory of ``size`` bytes, aligned to ``align``."""
    room = numpy.empty(size + align, numpy.uint8)
    skip = -room.ctypes.data % align
    return memoryview(cast(Any, room[skip : skip + size]))


class Kind:
    """The base class of kinds: alignment and size in one layout. ``size`` is None if values differ in length.

    ``least`` is the smallest size of a value; ``region_align`` is the alignment of the data region, 0 for a kind
    without a data region.
    """

    align: int = 1
    size: int | None = None
    least: int = 0
    region_align: int = 0
    checkable: bool = False
    """Whether ``check`` finds every mistake in an array of the kind's ``dtype``."""
    nodes: int = 1
    """The number of kinds in the tree below this kind, itself included; a repeated kind counts each time."""
    hollow: int = 0
    """The number of these kinds that take no bytes."""
    asserts: bool = False
    """Whether the schema constrains values more than the kind does, so that the JSON Schema engine is needed."""

    def consist_of(self, kinds: Iterable[Kind]) -> None:
        """Accumulate the counts, flags and region alignment of the kinds that this kind is composed of."""
        for kind in kinds:
            self.region_align = max(self.region_align, kind.region_align)
            self.asserts = self.asserts or kind.asserts
            self.nodes += kind.nodes
            self.hollow += kind.hollow

    @property
    def dtype(self) -> DType:
        """NumPy's type of a kind of fixed size; opaque bytes if NumPy has no such type."""
        return numpy.dtype(f"V{self.size}")

    @property
    def stride(self) -> int:
        """Bytes from one value to the next in an array of a kind of fixed size."""
        assert self.size is not None
        return up(self.size, self.align)

    def write(self, out: Out, value: Any) -> None:
        """Append a value to ``out``, whose position is aligned for the kind."""
        raise NotImplementedError

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        """Return the value at an aligned position, and the position after the value."""
        raise NotImplementedError

    def fill(self, array: Array, values: Any, out: Out) -> None:
        """Write values into an array of this kind's ``dtype``; indirect data is appended to ``out.region``."""
        for index, value in enumerate(sequence(values, len(array))):
            item = Out(region=out.region)
            try:
                self.write(item, value)
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__
            array[index] = numpy.void(bytes(item.data))

    def check(self, array: Array) -> None:
        """Raise ``Misfit`` if an array of this kind's ``dtype`` holds bytes that are not a valid value."""

    def values(self, array: Array, region: Region) -> Any:
        """Return the user's form of an array of this kind's ``dtype``: a view, a list or a lazy sequence."""
        stride = array.dtype.itemsize
        source = Source(memoryview(array.tobytes()), region)
        return [self._at(source, index * stride, index) for index in range(len(array))]

    def _at(self, source: Source, at: int, index: int) -> Any:
        try:
            return self.read(source, at)[0]
        except Misfit as misfit:
            raise misfit.within(index) from misfit.__cause__

    def children(self) -> Iterator[tuple[str, Kind]]:
        """Iterate over the kinds that this kind is composed of, by name."""
        return iter(())

    def describe(self) -> str:
        """Return a short description of the kind for tables and messages."""
        return type(self).__name__.lower()


def sequence(values: Any, count: int) -> Sequence[Any]:
    """Return ``values`` if they are a sequence of ``count`` items; raise ``Misfit`` otherwise."""
    if (
        isinstance(values, str | bytes)
        or not hasattr(values, "__len__")
        or not hasattr(values, "__getitem__")
    ):
        raise Misfit(f"a {type(values).__name__}", f"a sequence of {count} values")
    if len(values) != count:
        raise Misfit(f"{len(values)} values", f"{count} values")
    items: Sequence[Any] = values
    return items


def first_bad(good: Array, values: Any, expected: str) -> None:
    """Raise ``Misfit`` naming the first value whose entry in ``good`` is false."""
    if not good.all():
        index = tuple(int(i) for i in numpy.argwhere(~good)[0])
        misfit = Misfit(numpy.asarray(values)[index], expected)
        for part in reversed(index):
            misfit.within(part)
        raise misfit
