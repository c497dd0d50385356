"""Kinds of variable length, and the two ways to give them a fixed size.

An inline value follows its length. ``Reserved`` keeps a fixed number of bytes for a value. ``Indirect`` stores an index
``{offset u32, length u32}`` into a data region, so that entry ``i`` is read directly.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from weft.metatensor.blob import Blob
from weft.metatensor.kinds import Array, DType, Kind, Out, Region, Source, up
from weft.metatensor.misfit import Misfit
from weft.metatensor.scalars import ORDER, SCALARS, Endian, codec
from weft.metatensor.texts import joined

MOST = 2**32 - 1
"""The largest length, count or offset of 32 bits."""

RFC3339 = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))[Tt]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)"
    r"(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


class Variable(Kind):
    """A kind of variable length; ``bare`` and ``from_bare`` convert its bytes without the length in front.

    ``bare_align`` is the alignment of these bytes.
    """

    bare_align: int = 1

    def bare(self, value: Any, out: Out) -> bytes | bytearray:
        """Return a value's bytes without its length; indirect data is appended to ``out.region``."""
        bare = Out(region=out.region)
        self.write(bare, value)
        return bare.data

    def from_bare(self, source: Source) -> Any:
        """Return the value that takes all bytes of the source."""
        value, end = self.read(source, 0)
        if end != len(source.data):
            raise Misfit(f"{len(source.data)} bytes long", f"{end} bytes")
        return value


def check_timestamp(text: str) -> str:
    """Return the text if it is a date and time by RFC 3339; raise ``Misfit`` otherwise."""
    match = RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        datetime.date.fromisoformat(match[1])
    except ValueError:
        raise Misfit(repr(text), "a date and time of RFC 3339, as 2026-11-21T08:30:00Z") from None
    return text


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Misfit(repr(value), "a string")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise Misfit(repr(value), "text without lone surrogates, which UTF-8 has no form for") from None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Misfit(repr(value), "bytes")
    return bytes(value)


def _timestamp(value: Any) -> bytes:
    if isinstance(value, datetime.datetime):
        value = value.isoformat()
    data = _text(value)
    check_timestamp(value)
    return data


def decode(data: Any) -> str:
    """Return UTF-8 bytes as text."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Misfit(f"the byte {data[error.start]:#04x} at {error.start}", "UTF-8") from None


FORMS: dict[str, tuple[Callable[[Any], bytes], Callable[[Any], Any]]] = {
    "String": (_text, decode),
    "Bytes": (_bytes, bytes),
    "Timestamp": (_timestamp, lambda data: check_timestamp(decode(data))),
}
"""The functions that encode and decode the values of each keyword."""


class Text(Variable):
    """A String, Bytes or Timestamp: ``[length u32][bytes]``."""

    least = 4

    def __init__(self, name: str, endian: Endian, align: int) -> None:
        self.name, self.align = name, align
        self.encode, self.decode = FORMS[name]
        self._length = codec(SCALARS["Uint32"], endian)

    def write(self, out: Out, value: Any) -> None:
        data = self.encode(value)
        if len(data) > MOST:
            raise Misfit(f"{len(data)} bytes long", f"at most {MOST}")
        out.data += self._length[1](len(data))
        out.data += data

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        start = source.need(at, 4)
        end = source.need(start, self._length[0](source.data, at))
        return self.decode(source.data[start:end]), end

    def bare(self, value: Any, out: Out) -> bytes:
        return self.encode(value)

    def from_bare(self, source: Source) -> Any:
        return self.decode(source.data)

    def describe(self) -> str:
        return self.name


class Reserved(Kind):
    """A value of variable length in a fixed number of bytes, padded with zeros."""

    def __init__(self, target: Variable, most: int, align: int) -> None:
        self.target, self.align = target, align
        self.size = self.least = self.most = most
        self.consist_of([target])
        self.name = target.name if isinstance(target, Text) else ""
        self.checkable = bool(self.name and most)

    @property
    def dtype(self) -> DType:
        """NumPy's bytes type (``S``) for text, which ends at trailing zeros, else opaque bytes."""
        return numpy.dtype(f"{'S' if self.checkable else 'V'}{self.most}")

    def _content(self, value: Any, out: Out) -> bytes | bytearray:
        data = self.target.bare(value, out)
        if len(data) > self.most:
            raise Misfit(f"{len(data)} bytes long", f"at most {self.most}, which maxLength reserves")
        if isinstance(self.target, Text) and data.endswith(b"\0"):
            raise Misfit(
                "data that ends in a zero byte", "another end", "reserved space is filled with zeros, which would "
                "hide it; leave out maxLength or use offset-indirect"
            )  # fmt: skip
        return data

    def write(self, out: Out, value: Any) -> None:
        out.data += self._content(value, out).ljust(self.most, b"\0")

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        end = source.need(at, self.most)
        data = source.data[at:end]
        if isinstance(self.target, Text):
            data = memoryview(bytes(data).rstrip(b"\0"))
            return self.target.from_bare(Source(data, source.region)), end
        value, used = self.target.read(Source(data, source.region), 0)
        if any(data[used:]):
            raise Misfit("data behind the value", "zeros up to maxLength")
        return value, end

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if isinstance(values, numpy.ndarray) and values.dtype.kind == "S" and self.checkable:
            self.check(values)
            if values.dtype.itemsize <= self.most:
                array[...] = values
                return
        opaque = numpy.void if array.dtype.kind == "V" else bytes
        for index, value in enumerate(values):
            try:
                array[index] = opaque(bytes(self._content(value, out)).ljust(self.most, b"\0"))
            except Misfit as misfit:
                raise misfit.within(index) from misfit.__cause__

    def check(self, array: Array) -> None:
        if not self.checkable or self.name == "Bytes":
            return
        # one zero byte after each text keeps a cut-off character from joining the next text
        spaced = numpy.ascontiguousarray(array.astype(f"S{array.dtype.itemsize + 1}"))
        try:
            spaced.tobytes().decode()
        except UnicodeDecodeError as error:
            misfit = Misfit("not UTF-8", "UTF-8")
            for part in reversed(numpy.unravel_index(error.start // spaced.dtype.itemsize, array.shape)):
                misfit.within(int(part))
            raise misfit from None
        for index, text in enumerate(array.ravel().tolist() if self.name == "Timestamp" else ()):
            try:
                check_timestamp(text.decode())
            except Misfit as misfit:
                raise misfit.within(index) from None

    def values(self, array: Array, region: Region) -> Any:
        if not self.checkable:
            return super().values(array, region)
        decode = FORMS[self.name][1]
        return [decode(text) for text in array.tolist()]

    def children(self) -> Iterator[tuple[str, Kind]]:
        yield "", self.target

    def describe(self) -> str:
        return f"{self.target.describe()} in {self.most} bytes"


class Indirect(Kind):
    """An index entry ``{offset u32, length u32}`` that refers to a value in the data region."""

    size = least = 8

    def __init__(self, target: Variable, endian: Endian, align: int) -> None:
        self.target, self.align = target, align
        self.consist_of([target])
        self.region_align = max(target.bare_align, target.region_align)
        self._dtype = numpy.dtype([("offset", f"{ORDER[endian]}u4"), ("length", f"{ORDER[endian]}u4")])
        self._number = codec(SCALARS["Uint32"], endian)

    @property
    def dtype(self) -> DType:
        """The index: ``offset`` and ``length``, both uint32."""
        return self._dtype

    def write(self, out: Out, value: Any) -> None:
        data = self.target.bare(value, out)
        offset = up(len(out.region), self.target.bare_align)
        _fits(offset + len(data))
        out.region.extend(bytes(offset - len(out.region)))
        out.region += data
        out.data += self._number[1](offset) + self._number[1](len(data))

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        end = source.need(at, 8)
        offset, length = self._number[0](source.data, at), self._number[0](source.data, at + 4)
        return self.entry(source.region, offset, length), end

    def entry(self, region: Region, offset: int, length: int) -> Any:
        """Return the value of an index entry."""
        if offset + length > len(region.data):
            raise Misfit(
                f"offset {offset} and length {length}",
                f"an end within the data region of {len(region.data)} bytes",
            )
        if offset % self.target.bare_align:
            raise Misfit(f"offset {offset}", f"a multiple of {self.target.bare_align}")
        if length > region.left:
            raise Misfit(
                f"{length} bytes long", f"at most {region.left} bytes not yet read", "entries overlap"
            )
        region.left -= length
        return self.target.from_bare(Source(region.data[offset : offset + length], region))

    def fill(self, array: Array, values: Any, out: Out) -> None:
        if not isinstance(self.target, Text):
            for index, value in enumerate(values):
                entry = Out(region=out.region)
                try:
                    self.write(entry, value)
                except Misfit as misfit:
                    raise misfit.within(index) from None
                array[index : index + 1] = numpy.frombuffer(entry.data, self._dtype)
            return
        data, lengths = joined(self.target.name, self.target.encode, values)
        ends = numpy.cumsum(lengths, dtype=numpy.int64)
        start = len(out.region)
        _fits(start + len(data))
        out.region += data
        array["length"] = lengths
        array["offset"] = ends - lengths + start

    @property
    def of_strings(self) -> bool:
        """Whether the entries are texts."""
        return isinstance(self.target, Text) and self.target.name == "String"

    def values(self, array: Array, region: Region) -> Any:
        return Blob(self, array, region.data)

    def children(self) -> Iterator[tuple[str, Kind]]:
        yield "", self.target

    def describe(self) -> str:
        return f"index of {self.target.describe()}"


def _fits(end: int) -> None:
    if end > MOST:
        raise Misfit(f"a data region of {end} bytes", f"at most {MOST}", "split it over several fields")
