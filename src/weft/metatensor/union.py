"""Unions: a discriminator selects the variant whose bytes follow.

A *byte* discriminator precedes the variant, as in protocol frames; a value is ``{"5": {...}}``, the number of the
variant and its content. A *field* discriminator is the first field of every variant; values hold it under its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.metatensor.composite import Struct
from weft.metatensor.kinds import Kind, Out, Source, up
from weft.metatensor.misfit import Misfit, short
from weft.metatensor.numbers import Number


class Union(Kind):
    """The base class of unions: variants by name. An aligned layout pads variants of fixed size to the largest."""

    def __init__(self, variants: Mapping[str, Struct], start: int, align: int, packed: bool) -> None:
        self.variants, self.start, self.align = dict(variants), start, align
        sizes = [variant.size for variant in variants.values()]
        self.least = start + min(variant.least for variant in variants.values())
        if not packed and None not in sizes:
            self.size = self.least = up(start + max(size for size in sizes if size is not None), align)
        self.consist_of(variants.values())

    def _variant(self, name: str) -> Struct:
        variant = self.variants.get(name)
        if variant is None:
            raise Misfit(f"the variant {name!r}", f"one of {short(', '.join(self.variants))}")
        return variant

    def _finish(self, out: Out, start: int) -> None:
        out.data.extend(bytes(0 if self.size is None else start + self.size - len(out.data)))

    def _read(self, name: str, source: Source, at: int, start: int) -> tuple[Any, int]:
        variant = self._variant(name)
        try:
            value, end = variant.read(source, at)
        except Misfit as misfit:
            raise misfit.within(name) from misfit.__cause__
        return value, end if self.size is None else source.need(start, self.size)

    def children(self) -> Iterator[tuple[str, Kind]]:
        yield from self.variants.items()

    def describe(self) -> str:
        return f"union of {len(self.variants)}"


class ByteUnion(Union):
    """A union whose discriminator is a number at ``offset`` bytes; the bytes before it are zero."""

    def __init__(
        self, variants: Mapping[str, Struct], tag: Number, offset: int, packed: bool, align: int
    ) -> None:
        self.tag, self.offset = tag, offset
        inner = max(variant.align for variant in variants.values())
        super().__init__(variants, up(offset + tag.scalar.size, inner), max(align, inner, tag.align), packed)

    def write(self, out: Out, value: Any) -> None:
        if not isinstance(value, Mapping) or len(value) != 1:
            raise Misfit(repr(value), "a mapping of one variant's number to its value")
        ((name, content),) = value.items()
        variant, start = self._variant(str(name)), len(out.data)
        out.data.extend(bytes(self.offset))
        self.tag.write(out, int(name))
        out.data.extend(bytes(start + self.start - len(out.data)))
        try:
            variant.write(out, content)
        except Misfit as misfit:
            raise misfit.within(str(name)) from misfit.__cause__
        self._finish(out, start)

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        if any(source.data[at : source.need(at, self.offset)]):
            raise Misfit("bytes before the discriminator", "zeros")
        tag, _ = self.tag.read(source, at + self.offset)
        value, end = self._read(str(tag), source, at + self.start, at)
        return {str(tag): value}, end


class FieldUnion(Union):
    """A union whose discriminator is the first field of every variant."""

    def __init__(self, variants: Mapping[str, Struct], name: str, packed: bool, align: int) -> None:
        self.name = name
        self.tag = next(iter(variants.values())).fields[0].kind
        super().__init__(variants, 0, max(align, *(variant.align for variant in variants.values())), packed)

    def write(self, out: Out, value: Any) -> None:
        if not isinstance(value, Mapping) or self.name not in value:
            raise Misfit(repr(value), f"a mapping with {self.name!r}, which names the variant")
        start = len(out.data)
        self._variant(str(value[self.name])).write(out, value)
        self._finish(out, start)

    def read(self, source: Source, at: int) -> tuple[Any, int]:
        try:
            name, _ = self.tag.read(source, at)
        except Misfit as misfit:
            raise misfit.within(self.name) from misfit.__cause__
        return self._read(str(name), source, at, at)
