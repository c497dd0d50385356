"""``save``: lay out a tree of values by its schema and write it to a file atomically."""

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
"""The path of a dataset that is saved alone."""


@dataclass
class Piece:
    """A part of the file to write; its size is known before its bytes are computed."""

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
    become structs), or rows: a structured NumPy array or a list of mappings, stored as the part ``"records"``. By
    default ``schema`` is inferred; ``align`` then is the alignment of tensors in bytes (256 for upload to a GPU; 64 if
    not given). ``metadata`` is any JSON object. Raises ``FormatError`` naming a value that does not fit its schema, and
    ``ArgumentTypeError`` for a value that has no type in the format; an existing file then stays unchanged.

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
    """Write the header and the parts, each at its position, atomically."""
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
    """Return the tree as a mapping, and its layout."""
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
    """Return the schema of a file that holds just the rows, from the schema of a row or of an array of rows."""
    if "TypeDef:Struct" in schema and ROWS in schema.get("properties", {}):
        return schema
    outer = {key: schema[key] for key in ("$defs", "endian") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    rows = inner if "TypeDef:Array" in schema else {"TypeDef:Array": True, "items": inner}
    return {"TypeDef:Struct": True, "properties": {ROWS: rows}, **outer}


def prepared(layout: Layout, tree: Mapping[str, Any], metadata: Any) -> tuple[bytes, list[tuple[int, Piece]]]:
    """Return the header's bytes, and the parts of a tree with their positions in the data."""
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
    """Return the header's bytes for the parts of a layout, and each part with its position in the data."""
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


def _assign(struct: Struct, tree: Any, path: list[str], values: dict[str, Any]) -> None:
    """Put the value of each part into ``values``, from a tree with nested or dotted names or both."""
    if not isinstance(tree, Mapping):
        raise Misfit(f"a {type(tree).__name__}", "a mapping")
    direct: dict[str, Any] = {}
    dotted: dict[str, dict[str, Any]] = {}
    for name, value in tree.items():
        head, dot, rest = name.partition(".") if isinstance(name, str) else (name, "", "")
        if dot and name not in struct.by_name and head in struct.by_name:
            dotted.setdefault(head, {})[rest] = value
        elif name in struct.by_name:
            direct[name] = value
        else:
            raise Misfit("unknown to the schema", "a name that it has").within(str(name))
    for field in struct.fields:
        try:
            if isinstance(field.kind, Struct):
                inner = direct.get(field.name, {})
                if isinstance(inner, numpy.void) and inner.dtype.names is not None:
                    inner = {name: inner[name] for name in inner.dtype.names}
                more = dotted.get(field.name)
                _assign(field.kind, {**inner, **more} if more else inner, [*path, field.name], values)
            elif field.name not in direct:
                raise Misfit("missing", "a value")
            else:
                values[".".join([*path, field.name])] = direct[field.name]
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
    """Return a part as a piece to write: arrays are not copied, and a ``Pending`` is read when it is written."""
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
    """Assign each part its position in the aligned layout; a data region follows the part that points into it."""
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
