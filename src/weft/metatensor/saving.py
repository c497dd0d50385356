"""``save``: a tree of values laid out by its schema, and written so that the file is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from weft.elements import Element
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, mistake
from weft.metatensor import header as headers
from weft.metatensor.atomic import replacing
from weft.metatensor.components import to_schema
from weft.metatensor.composite import ArrayKind, Struct
from weft.metatensor.file import DATA
from weft.metatensor.infer import Pending, schema_of
from weft.metatensor.kinds import Kind, Out, raw, up
from weft.metatensor.layout import Layout, compile
from weft.metatensor.misfit import Misfit, named
from weft.metatensor.tensors import TensorKind

ROWS = "records"
"""The path of a dataset that is saved by itself."""


@dataclass
class Piece:
    """A part of the file to write: its size is known before its bytes are made."""

    size: int
    parts: Iterator[Any]
    region: bytes | bytearray | memoryview = b""
    name: str = ""


def save(
    path: str | os.PathLike[str],
    tree: Any,
    schema: Mapping[str, Any] | Element | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    align: int | None = None,
) -> None:
    """Write a tree of values, or a dataset, to a metatensor file, atomically.

    ``tree`` is a mapping of names to arrays, numbers, texts, lists and further mappings (a state dict; dots in names
    become structs), or rows: a structured NumPy array, or a list of mappings, which are found under ``"records"``.
    ``schema`` is inferred where it is not given; ``align`` then asks more than 64 bytes of tensors (256 for upload to
    a GPU). ``metadata`` is any JSON. Raises ``FormatError`` naming the value that does not fit its schema,
    ``ArgumentTypeError`` for what the format has no type for; the older file then stays as it was.

    >>> import tempfile, os
    >>> from weft import metatensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.mt")
    ...     mt.save(path, {"conv1.weight": numpy.ones((2, 3), "float32"), "epoch": 3}, metadata={"step": "1200"})
    ...     file = mt.open(path)
    ...     file["conv1.weight"].shape, file["epoch"], file.metadata, dict(file.offsets)
    ((2, 3), 3, {'step': '1200'}, {'conv1.weight': (0, 24), 'epoch': (64, 72)})
    """
    tree, layout = _settled(tree, schema, align)
    start, pieces = prepared(layout, tree, metadata)
    write(path, start, pieces)


def write(path: str | os.PathLike[str], start: bytes, pieces: list[tuple[int, Piece]]) -> None:
    """Write the header and the parts, each at its place, as one file or not at all."""
    with replacing(path) as file:
        file.write(start)
        at = 0
        for begin, piece in pieces:
            file.write(bytes(begin - at))
            at = begin
            with named("save", piece.name):
                for part in piece.parts:
                    at += file.write(part)
            if at != begin + piece.size:
                raise FormatError(
                    mistake("save", "a part", f"{at - begin} bytes", f"the {piece.size} of its schema")
                )


def _settled(tree: Any, schema: Any, align: int | None) -> tuple[Mapping[str, Any], Layout]:
    """The tree as a mapping, and its layout."""
    if isinstance(schema, Element):
        schema = to_schema(schema)
    if schema is not None and align is not None:
        raise ArgumentError(
            mistake("save", "align", align, "None where a schema is given", "the schema says it")
        )
    if not isinstance(tree, Mapping):
        if not (isinstance(tree, list | tuple) or isinstance(tree, numpy.ndarray) and tree.dtype.names):
            raise ArgumentTypeError(
                mistake(
                    "save",
                    "tree",
                    f"a {type(tree).__name__}",
                    "a mapping, or rows: a structured array or a list",
                )
            )
        if schema is not None:
            schema = _wrapped(schema)
        tree = {ROWS: tree}
    if schema is None:
        schema = schema_of(tree, align)
    return tree, compile(schema)


def _wrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a row, or of an array of rows, as that of a file that holds just those."""
    if "TypeDef:Struct" in schema and ROWS in schema.get("properties", {}):
        return schema
    outer = {key: schema[key] for key in ("$defs", "endian") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    rows = inner if "TypeDef:Array" in schema else {"TypeDef:Array": True, "items": inner}
    return {"TypeDef:Struct": True, "properties": {ROWS: rows}, **outer}


def prepared(layout: Layout, tree: Mapping[str, Any], metadata: Any) -> tuple[bytes, list[tuple[int, Piece]]]:
    """The header's bytes, and each part with its place in the data."""
    root = layout.kind
    if not isinstance(root, Struct):
        raise FormatError(mistake("save", "the schema's root", root.describe(), "a Struct"))
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ArgumentTypeError(mistake("save", "metadata", f"a {type(metadata).__name__}", "a mapping"))
    layout.sections  # noqa: B018  (two parts of one path are an error here)
    values: dict[str, Any] = {}
    with named("save"):
        _assign(root, tree, [], values)
    pieces = {}
    for name, kind in layout.sections.items():
        with named("save", name):
            pieces[name] = piece_of(kind, values[name])
            pieces[name].name = name
    if root.asserts:
        layout.check("save", _tree(root, values, []))
    return assembled(layout, pieces, metadata)


def assembled(
    layout: Layout, pieces: Mapping[str, Piece], metadata: Any
) -> tuple[bytes, list[tuple[int, Piece]]]:
    """The header's bytes for the parts of a layout, and each part with its place in the data."""
    root = layout.kind
    assert isinstance(root, Struct)
    offsets: dict[str, tuple[int, int]] = {}
    placed: list[tuple[int, Piece]] = []
    _place(root, [], 0, pieces, offsets, placed)
    header = {"metatensor": headers.VERSION, "endian": layout.endian, "metadata": dict(metadata or {}),
              "schema": layout.schema, "offsets": offsets}  # fmt: skip
    try:
        return headers.encode(header), placed
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            mistake("save", "metadata or schema", f"no JSON ({error})", "plain finite JSON")
        ) from None


def _assign(struct: Struct, tree: Any, path: list[str], found: dict[str, Any]) -> None:
    """The value of each part, from a tree that is nested, dotted, or both."""
    if not isinstance(tree, Mapping):
        raise Misfit(f"a {type(tree).__name__}", "a mapping")
    own: dict[str, Any] = {}
    dotted: dict[str, dict[str, Any]] = {}
    for name, value in tree.items():
        head, dot, rest = name.partition(".") if isinstance(name, str) else (name, "", "")
        if dot and name not in struct.by_name and head in struct.by_name:
            dotted.setdefault(head, {})[rest] = value
        elif name in struct.by_name:
            own[name] = value
        else:
            raise Misfit("unknown to the schema", "a name that it has").within(str(name))
    for field in struct.fields:
        try:
            if isinstance(field.kind, Struct):
                inner = own.get(field.name, {})
                if isinstance(inner, numpy.void) and inner.dtype.names is not None:
                    inner = {name: inner[name] for name in inner.dtype.names}
                more = dotted.get(field.name)
                _assign(field.kind, {**inner, **more} if more else inner, [*path, field.name], found)
            elif field.name not in own:
                raise Misfit("missing", "a value")
            else:
                found[".".join([*path, field.name])] = own[field.name]
        except Misfit as misfit:
            raise misfit.within(field.name) from None


def _tree(struct: Struct, values: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    return {
        field.name: _tree(field.kind, values, [*path, field.name])
        if isinstance(field.kind, Struct)
        else values[".".join([*path, field.name])]
        for field in struct.fields
    }


def piece_of(kind: Kind, value: Any) -> Piece:
    """A part ready to be written: arrays from where they lie, what is Pending when its turn comes."""
    if isinstance(kind, TensorKind):
        assert kind.size is not None
        if isinstance(value, Pending):
            if value.dtype != kind.name or tuple(value.shape) != kind.shape:
                raise Misfit(f"{value.dtype} of shape {list(value.shape)}", kind.describe())
            return Piece(kind.size, (raw(kind.array(value.read())) for _ in range(1)))
        return Piece(kind.size, iter((raw(kind.array(value)),)))
    if isinstance(kind, ArrayKind) and kind.item.size is not None:
        lead, count = Out(), kind.length(value)
        kind.lead(lead, count)
        array = kind.items(value, count, lead)
        return Piece(len(lead.data) + array.nbytes, iter((lead.data, raw(array))), lead.region)
    out = Out()
    kind.write(out, value)
    return Piece(len(out.data), iter((out.data,)), out.region)


def _place(
    struct: Struct, path: list[str], at: int, pieces: Mapping[str, Piece], offsets: dict[str, tuple[int, int]],
    placed: list[tuple[int, Piece]],
) -> int:  # fmt: skip
    """Give each part its place, as the aligned layout has it; data regions follow the part that points into them."""
    at = up(at, struct.align)
    for field in struct.fields:
        name = ".".join([*path, field.name])
        if isinstance(field.kind, Struct):
            if field.kind.parts:
                at = _place(field.kind, [*path, field.name], at, pieces, offsets, placed)
            continue
        piece = pieces[name]
        at = up(at, field.kind.align)
        offsets[name] = (at, at + piece.size)
        placed.append((at, piece))
        at += piece.size
        if field.kind.region_align:
            at = up(at, field.kind.region_align)
            offsets[name + DATA] = (at, at + len(piece.region))
            placed.append((at, Piece(len(piece.region), iter((piece.region,)))))
            at += len(piece.region)
    return up(at, struct.align) if path else at
