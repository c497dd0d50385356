"""Composite kinds: arrays, structs and records. Unions are in ``union``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from weft.metatensor.kinds import Array, DType, Kind, Out, Region, Source, raw, up
from weft.metatensor.misfit import Misfit, short
from weft.metatensor.numbers import Number
from weft.metatensor.records import Records
from weft.metatensor.scalars import SCALARS, Endian, codec
from weft.metatensor.variable import MOST, Text, Variable


def strided(kind: Kind) -> DType:
    """Return NumPy's type of a kind as an array item: as long as its stride, padding included."""
    dtype = kind.dtype
    if dtype.itemsize == kind.stride:
        return dtype
    return numpy.dtype({"names": ["value"], "formats": [dtype], "offsets": [0], "itemsize": kind.stride})


def _inner(kind: Kind, array: Array) -> Array:
    """Return an array of ``strided(kind)`` as an array of ``kind.dtype``."""
    return array if kind.dtype.itemsize == kind.stride else array["value"]


class ArrayKind(Variable):
    """Values of one kind: a fixed count of them, or ``[count u32]`` and then the values."""

    def __init__(self, item: Kind, count: int | None, endian: Endian, align: int, packed: bool) -> None:
        self.item, self.count, self.align = item, count, align
        self.checkable = item.checkable
        self.consist_of([item])
        self.bare_align = 1 if packed else item.align if item.size is not None else max(4, item.align)
        self._count = codec(SCALARS["Uint32"], endian)
        if count is None:
            self.least = 4
        else:
            self.size = None if item.size is None else count * item.stride
            self.least = count * item.least if item.size is None else count * item.stride

    @property
    def dtype(self) -> DType:
        """NumPy's sub-array type of the fixed count."""
        assert self.count is not None
        return numpy.dtype((strided(self.item), (self.count,)))

    def write(self, out: Out, value: Any) -> None:
        count = self.length(value)
        self.lead(out, count)
        self._write_items(out, value, count)

    def length(self, value: Any) -> int:
        """Return how many items a value has; raise ``Misfit`` unless it is a sequence with the schema's count."""
        if isinstance(value, Mapping) and isinstance(self.item, Struct):  # by columns
            count = max((len(column) for column in value.values() if hasattr(column, "__len__")), default=0)
        elif (
            isinstance(value, str | bytes | Mapping)
            or not hasattr(value, "__len__")
            or not hasattr(value, "__iter__")
        ):
            raise Misfit(f"a {type(value).__name__}", "a sequence")
        else:
            count = len(value)
        if self.count is not None and count != self.count:
            raise Misfit(f"{count} values", f"{self.count} values")
        if count > MOST:
            raise Misfit(f"{count} values", f"at most {MOST}")
        return count

    def lead(self, out: Out, count: int) -> None:
        """Append the count of the items, unless the schema fixes it, and the padding before the first item."""
        if self.count is None:
            out.data += self._count[1](count)
            out.pad(self.item.align)

    def items(self, value: Any, count: int, out: Out) -> Array:
        """Return items of fixed size as an array; an array of the right type is checked and not copied."""
        if isinstance(value, numpy.ndarray) and value.dtype == strided(self.item) and self.item.checkable:
            self.item.check(value)
            return value
        array = numpy.zeros(count, strided(self.item))
        self.item.fill(_inner(self.item, array), value, out)
        return array

    def _write_items(self, out: Out, value: Any, count: int) -> None:
        if self.item.size is not None:
            out.data += raw(self.items(value, count, out))
            return
        for index, item in enumerate(value):
            out.pad(self.item.align)
            _step(out, f"[{index}]")
            try:
                self.item.write(out, item)
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__
            _back(out)

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        count, at = self.start(source, at)
        return self._read_items(source, at, count)

    def start(self, source: Source, at: int) -> tuple[int, int]:
        """Return how many items there are, and the position of the first."""
        if self.count is not None:
            return self.count, at
        count = self._count[0](source.data, at) if source.need(at, 4) else 0
        first = up(at + 4, self.item.align)
        least = max(1, self.item.least)
        if count * least > max(0, len(source.data) - first):
            raise Misfit(f"the count {count}", "no more values than there are bytes for")
        return count, first

    def _read_items(self, source: Source, at: int, count: int) -> tuple[Any, int]:
        if self.item.size is not None:
            end = source.need(at, count * self.item.stride)
            array = self.view(source.data[at:end], count)
            self.item.check(array)
            return self.item.values(array, source.region), end
        values = []
        for index in range(count):
            try:
                value, at = self.item.read(source, up(at, self.item.align))
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__
            values.append(value)
        return values, at

    def view(self, data: memoryview, count: int) -> Array:
        """Return the bytes of items of fixed size as a read-only NumPy array, without a copy."""
        dtype = strided(self.item)
        if not len(data):
            return _inner(self.item, numpy.empty(count, dtype))
        base = dtype
        inner: tuple[int, ...] = ()
        while base.subdtype is not None:  # nested arrays of fixed counts
            base, shape = base.subdtype
            inner += shape
        array = numpy.frombuffer(data, base).reshape(count, *inner)
        array.flags.writeable = False
        return _inner(self.item, array)

    def bare(self, value: Any, out: Out) -> bytes | bytearray:
        if self.count is not None or self.item.size is None:
            return super().bare(value, out)
        bare = Out(region=out.region)
        self._write_items(bare, value, self.length(value))
        return bare.data

    def from_bare(self, source: Source) -> Any:
        if self.count is not None or self.item.size is None:
            return super().from_bare(source)
        count, rest = divmod(len(source.data), self.item.stride)
        if rest:
            raise Misfit(f"{len(source.data)} bytes long", f"a multiple of {self.item.stride}")
        return self._read_items(source, 0, count)[0]

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if isinstance(self.item, Number) and self.item.dtype.itemsize == self.item.stride:
            return self.item.fill(array, values, out)
        for index, value in enumerate(values):
            try:
                self.length(value)
                self.item.fill(_inner(self.item, array[index]), value, out)
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__
        return None

    def check(self, array: Array) -> None:
        self.item.check(_inner(self.item, array))

    def values(self, array: Array, region: Region) -> Any:
        if isinstance(self.item, Number) and self.item.dtype.kind != "V":
            return _inner(self.item, array)
        return [self.item.values(_inner(self.item, row), region) for row in array]

    def children(self) -> Iterator[tuple[str, Kind]]:
        yield "[]", self.item

    def describe(self) -> str:
        return f"{'any number' if self.count is None else self.count} of {self.item.describe()}"


def _step(out: Out, name: str) -> None:
    if out.positions is not None:
        out.path.append(name)


def _back(out: Out) -> None:
    if out.positions is not None:
        out.path.pop()


class Field(NamedTuple):
    """A struct's field; ``offset`` is None for a field after a field of variable length."""

    name: str
    kind: Kind
    offset: int | None


class Struct(Kind):
    """Named fields in order, each at its alignment; the size is a multiple of the struct's alignment."""

    def __init__(self, fields: Sequence[tuple[str, Kind]], align: int) -> None:
        self.align, self.checkable = align, True
        self.parts: int = 0
        placed, least = [], 0
        at: int | None = 0
        for name, kind in fields:
            start = None if at is None else up(at, kind.align)
            placed.append(Field(name, kind, start))
            at = None if start is None or kind.size is None else start + kind.size
            least += kind.least
            self.checkable = self.checkable and kind.checkable
            self.parts += kind.parts if isinstance(kind, Struct) else 1
        self.fields = tuple(placed)
        self.by_name = {field.name: field for field in placed}
        self.size = None if at is None else up(at, align)
        self.least = least if self.size is None else self.size
        self.consist_of(kind for _, kind in fields)
        self._dtype: DType | None = None

    @property
    def dtype(self) -> DType:
        """NumPy's structured type with the same offsets."""
        if self._dtype is None:
            parts: Any = {
                "names": [field.name for field in self.fields],
                "formats": [field.kind.dtype for field in self.fields],
                "offsets": [field.offset for field in self.fields],
                "itemsize": self.size,
            }
            self._dtype = numpy.dtype(parts)
        return self._dtype

    def write(self, out: Out, value: Any) -> None:
        start = len(out.data)
        for field, part in self._parts(value):
            at = out.pad(field.kind.align)
            _step(out, field.name)
            try:
                field.kind.write(out, part)
            except Misfit as misfit:
                raise misfit.within(field.name) from misfit.__cause__
            if out.positions is not None:
                out.positions[".".join(out.path).replace(".[", "[")] = (at, len(out.data))
                out.path.pop()
        if self.size is not None:
            out.data.extend(bytes(start + self.size - len(out.data)))
        else:
            out.pad(self.align)

    def _parts(self, value: Any) -> Iterator[tuple[Field, Any]]:
        if isinstance(value, numpy.void) and value.dtype.names is not None:
            value = {name: value[name] for name in value.dtype.names}
        if not isinstance(value, Mapping):
            raise Misfit(f"a {type(value).__name__}", f"a mapping with {self._names()}")
        self._known(value)
        for field in self.fields:
            yield field, value[field.name]

    def _names(self) -> str:
        return short(", ".join(self.by_name) or "no fields")

    def _known(self, names: Any) -> None:
        missing = next((name for name in self.by_name if name not in names), None)
        if missing is not None:
            raise Misfit("missing", f"a value for each of {self._names()}").within(missing)
        unknown = next((name for name in names if name not in self.by_name), None)
        if unknown is not None:
            raise Misfit("unknown", f"one of {self._names()}").within(str(unknown))

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        values, start = {}, at
        for field in self.fields:
            try:
                values[field.name], at = field.kind.read(source, up(at, field.kind.align))
            except Misfit as misfit:
                raise misfit.within(field.name) from misfit.__cause__
        return values, source.need(start, self.size) if self.size is not None else up(at, self.align)

    def fill(self, array: Array, values: Any, out: Out) -> None:
        columns = self._columns(values, len(array))
        for field in self.fields:
            try:
                field.kind.fill(array[field.name], columns[field.name], out)
            except Misfit as misfit:
                # the path of a column's mistake is field, then [row]; users expect [row].field
                row = misfit.path.pop() if misfit.path and isinstance(misfit.path[-1], int) else None
                misfit.within(field.name)
                raise (misfit if row is None else misfit.within(row)) from misfit.__cause__

    def _columns(self, values: Any, count: int) -> Any:
        """Return the values by field, from a structured array, a mapping of columns, or rows that are mappings."""
        if isinstance(values, numpy.ndarray) and values.dtype.names is not None:
            self._known(values.dtype.names)
            return values
        if hasattr(values, "column"):  # Records
            self._known(values.kind.by_name)
            return {name: values.column(name) for name in self.by_name}
        if isinstance(values, Mapping):
            self._known(values)
            for name, column in values.items():
                if len(column) != count:
                    raise Misfit(f"{len(column)} values", f"{count}, as in the other fields").within(name)
            return values
        rows = []
        for index, row in enumerate(values):
            try:
                rows.append({field.name: part for field, part in self._parts(row)})
            except Misfit as misfit:
                raise misfit.within(index) from None
        return {name: [row[name] for row in rows] for name in self.by_name}

    def check(self, array: Array) -> None:
        for field in self.fields if array.size else ():
            try:
                field.kind.check(array[field.name])
            except Misfit as misfit:
                raise misfit.within(field.name) from misfit.__cause__

    def values(self, array: Array, region: Region) -> Any:
        return Records(self, array, region.data)

    def children(self) -> Iterator[tuple[str, Kind]]:
        for field in self.fields:
            yield field.name, field.kind

    def describe(self) -> str:
        return f"struct of {len(self.fields)}"


class Record(Variable):
    """A map from strings to values of the same kind: ``[count u32]``, then each key and its value."""

    least = 4

    def __init__(self, key: Text, item: Kind, endian: Endian, align: int, packed: bool) -> None:
        self.key, self.item, self.align = key, item, align
        self.bare_align = 1 if packed else max(4, item.align)
        self.consist_of([item])
        self._count = codec(SCALARS["Uint32"], endian)

    def write(self, out: Out, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise Misfit(f"a {type(value).__name__}", "a mapping")
        out.data += self._count[1](len(value))
        for key, item in value.items():
            out.pad(self.key.align)
            self.key.write(out, key)
            out.pad(self.item.align)
            try:
                self.item.write(out, item)
            except Misfit as misfit:
                raise misfit.within(key) from misfit.__cause__

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        start = source.need(at, 4)
        count, at = self._count[0](source.data, at), start
        if count * (4 + self.item.least) > len(source.data) - at:
            raise Misfit(f"the count {count}", "at most as many entries as there are bytes for")
        entries: dict[str, Any] = {}
        for _ in range(count):
            key, at = self.key.read(source, up(at, self.key.align))
            if key in entries:
                raise Misfit(f"the key {key!r} twice", "each key once")
            try:
                entries[key], at = self.item.read(source, up(at, self.item.align))
            except Misfit as misfit:
                raise misfit.within(key) from misfit.__cause__
        return entries, at

    def children(self) -> Iterator[tuple[str, Kind]]:
        yield "{}", self.item

    def describe(self) -> str:
        return f"record of {self.item.describe()}"
