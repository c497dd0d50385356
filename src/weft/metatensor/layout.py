"""``Layout``: a compiled schema, with the offset of each field, and conversion of values to bytes and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy

from weft.elements import Element
from weft.errors import ArgumentError, FormatError, mistake
from weft.metatensor.components import to_schema
from weft.metatensor.composite import Struct
from weft.metatensor.kinds import Kind, Out, Region, Source, up
from weft.metatensor.misfit import Misfit, named, place, short
from weft.metatensor.scalars import Endian
from weft.metatensor.schema import Mode, Parser
from weft.metatensor.validation import Validator

Schema = Mapping[str, Any]
MOST_NODES = 4_000_000


@dataclass(frozen=True)
class Layout:
    """A compiled schema: the offset, size and alignment of every field. ``compile`` makes it."""

    schema: Schema
    mode: Mode
    endian: Endian
    kind: Kind

    @property
    def size(self) -> int | None:
        """Bytes of a value, None if values differ in length."""
        return self.kind.size

    @property
    def stride(self) -> int | None:
        """Bytes from one value to the next in an array, None if values differ in length."""
        return None if self.kind.size is None else self.kind.stride

    @property
    def dtype(self) -> numpy.dtype[Any]:
        """NumPy's type with the same bytes; raises ``FormatError`` if values differ in length."""
        if self.size is None:
            raise FormatError("Layout.dtype: values differ in length, expected fields of fixed size")
        return self.kind.dtype

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self.schema, self.kind)

    def check(self, where: str, value: Any) -> None:
        """Raise ``FormatError`` if a value breaks a constraint of the schema that kinds do not check."""
        if self.kind.asserts:
            self._validator.check(where, value)

    def offsets(self, value: Any = None) -> dict[str, tuple[int, int]]:
        """Return ``{path: (start, end)}`` of each field; fields after one of variable length need a ``value``.

        >>> fields = {"a": {"TypeDef:Uint8": True}, "b": {"TypeDef:Uint32": True}, "c": {"TypeDef:String": True}}
        >>> layout = compile({"TypeDef:Struct": True, "properties": fields}, mode="packed")
        >>> layout.offsets()
        {'a': (0, 1), 'b': (1, 5)}
        >>> layout.offsets({"a": 1, "b": 2, "c": "ten bytes."})["c"]
        (5, 19)
        """
        if value is not None:
            out = Out(positions={})
            with named("Layout.offsets"):
                self.kind.write(out, value)
            assert out.positions is not None
            leaves = {path: kind for path, kind, _ in _leaves(self.kind)}
            return {path: span for path, span in out.positions.items() if "[" in path or path in leaves}
        return {
            path: (start, start + kind.size)
            for path, kind, start in _leaves(self.kind)
            if start is not None and kind.size is not None
        }

    def table(self) -> str:
        """Return the offsets, sizes and types of the fields as text.

        >>> print(compile({"TypeDef:Struct": True, "properties": {"a": {"TypeDef:Uint8": True},
        ...                                                       "b": {"TypeDef:Uint32": True}}}).table())
        offset  size  align  type    name
             0     1      1  Uint8   a
             4     4      4  Uint32  b
        size 8, stride 8, aligned, little-endian
        """
        rows = [("offset", "size", "align", "type", "name")]
        for path, kind, start in _leaves(self.kind):
            rows.append(
                ("varies" if start is None else str(start), "varies" if kind.size is None else str(kind.size),
                 str(kind.align), kind.describe(), path)
            )  # fmt: skip
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{a:>{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:<{widths[3]}}  {e}"
            for a, b, c, d, e in rows
        ]
        size = "varies" if self.size is None else self.size
        stride = "varies" if self.stride is None else self.stride
        return "\n".join([*lines, f"size {size}, stride {stride}, {self.mode}, {self.endian}-endian"])

    def pack(self, value: Any) -> bytes:
        r"""Return a value as bytes, followed by the data that ``offset-indirect`` fields point to.

        >>> schema = {"TypeDef:Struct": True, "endian": "big", "properties": {"id": {"TypeDef:Uint16": True},
        ...                                                                   "name": {"TypeDef:String": True}}}
        >>> frame = compile(schema, mode="packed")
        >>> frame.pack({"id": 7, "name": "weft"})
        b'\x00\x07\x00\x00\x00\x04weft'
        >>> frame.unpack(_)
        {'id': 7, 'name': 'weft'}
        """
        self._has_place_for_data("Layout.pack")
        out = Out()
        with named("Layout.pack"):
            self.kind.write(out, value)
        self.check("Layout.pack", value)
        if self.kind.region_align:
            out.pad(self.kind.region_align)
        return bytes(out.data + out.region)

    def unpack(self, data: bytes | bytearray | memoryview) -> Any:
        """Return the value of the bytes, all of which it takes; ``FormatError`` names a field that does not fit."""
        self._has_place_for_data("Layout.unpack")
        view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
        region = memoryview(b"")
        with named("Layout.unpack"):
            if self.size is not None and self.kind.region_align:
                start = up(self.size, self.kind.region_align)
                view, region = view[: self.size], view[start:]
            value, end = self.kind.read(Source(view, Region.of(region)), 0)
            if end != len(view):
                raise Misfit(f"{len(view)} bytes long", f"{end} bytes")
        self.check("Layout.unpack", value)
        return value

    def _has_place_for_data(self, where: str) -> None:
        if self.size is None and self.kind.region_align:
            raise ArgumentError(
                mistake(where, "the schema", "offset-indirect beside fields of variable length", "one of the two",
                        "in a file (save) both may stand together")
            )  # fmt: skip

    @cached_property
    def sections(self) -> dict[str, Kind]:
        """The parts of a file by path: the fields that are reached from the root struct through structs alone."""
        parts: dict[str, Kind] = {}
        if not isinstance(self.kind, Struct):
            raise FormatError(mistake("metatensor", "the schema's root", self.kind.describe(), "a Struct"))
        for path, kind in _sections(self.kind, []):
            for name in (path, f"{path}.$data") if kind.region_align else (path,):
                if name in parts:
                    raise FormatError(
                        mistake("metatensor", "the schema", f"two parts with the path {name!r}", "one")
                    )
            parts[path] = kind
        return parts


def _sections(struct: Struct, path: list[str]) -> Iterator[tuple[str, Kind]]:
    for field in struct.fields:
        if not isinstance(field.kind, Struct):
            yield ".".join([*path, field.name]), field.kind
        elif field.kind.parts:
            yield from _sections(field.kind, [*path, field.name])


def _leaves(kind: Kind) -> Iterator[tuple[str, Kind, int | None]]:
    """Iterate over the fields that are not structs, with their paths and offsets."""
    not_too_many(kind)
    if not isinstance(kind, Struct):
        yield "", kind, 0
        return

    def walk(struct: Struct, path: list[str], base: int | None) -> Iterator[tuple[str, Kind, int | None]]:
        for field in struct.fields:
            start = None if base is None or field.offset is None else base + field.offset
            if isinstance(field.kind, Struct):
                yield from walk(field.kind, [*path, field.name], start)
            else:
                yield ".".join([*path, field.name]), field.kind, start

    yield from walk(kind, [], 0)


def not_too_many(kind: Kind) -> None:
    """Raise ``FormatError`` if a kind has more fields than can be visited: nested references multiply them."""
    if kind.nodes > MOST_NODES:
        raise FormatError(
            mistake("metatensor", "the schema", f"{short(kind.nodes)} fields", f"at most {MOST_NODES}")
        )


def compile(schema: Schema | Element, mode: Mode = "aligned", endian: Endian | None = None) -> Layout:
    """Return the layout of a schema: offsets, sizes and strides, for files (``aligned``) or for the wire (``packed``).

    ``endian`` defaults to the schema's ``"endian"``, else to little-endian. Raises ``FormatError`` naming the place of
    an unknown keyword, a recursive ``$ref``, or anything else without a layout.

    >>> schema = {"TypeDef:Struct": True, "properties": {"a": {"TypeDef:Uint8": True}, "b": {"TypeDef:Uint32": True},
    ...                                                  "c": {"TypeDef:Float32": True}}}
    >>> compile(schema).offsets(), compile(schema).size
    ({'a': (0, 1), 'b': (4, 8), 'c': (8, 12)}, 12)
    """
    return compiled("compile", schema, mode, endian)


def compiled(where: str, schema: Any, mode: Mode = "aligned", endian: Endian | None = None) -> Layout:
    """Return the layout of a schema as ``compile`` does; messages begin with ``where``."""
    if isinstance(schema, Element):
        schema = to_schema(schema)
    if mode not in ("aligned", "packed"):
        raise ArgumentError(mistake(where, "mode", repr(mode), "'aligned' or 'packed'"))
    order = endian
    if order is None:
        order = cast(Endian, schema.get("endian", "little")) if isinstance(schema, Mapping) else "little"
    if order not in ("little", "big"):
        raise FormatError(mistake(where, "endian", short(repr(order)), "'little' or 'big'"))
    try:
        kind = Parser(schema, mode, order).kind(schema)
    except Misfit as misfit:
        path = place(["schema", *reversed(misfit.path)])
        raise FormatError(
            mistake(where, path, short(misfit.given), short(misfit.expected), misfit.fix)
        ) from None
    return Layout(schema, mode, order, kind)
