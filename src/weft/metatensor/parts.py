"""Copies of parts between files, byte by byte: the bytes of a part do not depend on its position in the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from weft.elements import Element
from weft.errors import FormatError, mistake
from weft.metatensor.components import from_schema, to_schema
from weft.metatensor.file import File
from weft.metatensor.layout import compile
from weft.metatensor.misfit import short
from weft.metatensor.saving import Piece, assembled, write


@dataclass(frozen=True)
class Stored:
    """A part of an open file, referred to by its name."""

    file: File
    name: str

    @property
    def nbytes(self) -> int:
        """Bytes of the part, its data region included."""
        return sum(end - start for start, end in self.file.ranges(self.name))

    def piece(self) -> Piece:
        """Return the part as a piece to write."""
        data, *region = (self.file.data(start, end) for start, end in self.file.ranges(self.name))
        return Piece(len(data), iter((data,)), region[0] if region else b"", self.name)


def copy(
    path: str | os.PathLike[str], parts: Mapping[str, Stored], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write parts of open files as one metatensor file, atomically, with their types and bytes unchanged.

    Raises ``FormatError`` if the schemas cannot be combined.
    """
    files = list({id(part.file): part.file for part in parts.values()}.values())
    orders = sorted({file.layout.endian for file in files})
    if len(orders) > 1:
        raise FormatError(mistake("copy", "the files' byte order", " and ".join(orders), "one"))
    layout = compile(schema_of_parts(files, parts.keys()), endian=orders[0] if orders else "little")
    start, placed = assembled(layout, {name: part.piece() for name, part in parts.items()}, metadata)
    write(path, start, placed)


def schema_of_parts(files: list[File], names: Set[str]) -> Mapping[str, Any]:
    """Return the schema of some parts of files; for all parts of a single file this is the file's schema."""
    if len(files) == 1 and names == files[0].kinds.keys():
        return files[0].schema
    tree = Element("Struct")
    for at, file in enumerate(files):
        struct = _with_only(from_schema(file.schema), names, [])
        tree = _joined(tree, struct, []) if at else struct
    return to_schema(tree)


def _with_only(struct: Element, names: Set[str], path: list[str]) -> Element:
    """Return a struct with the named parts only, and without structs that have no parts left."""
    children = []
    for child in struct.children:
        child_path = [*path, str(child.key)]
        if child.type == "Struct":
            inner = _with_only(child, names, child_path)
            if inner.children:
                children.append(inner)
        elif ".".join(child_path) in names:
            children.append(child)
    props = dict(struct.props)
    if "required" in props:
        keys = {child.key for child in children}
        props["required"] = [name for name in props["required"] if name in keys]
    return struct.with_(props=props, children=tuple(children))


def _joined(first: Element, second: Element, path: list[str]) -> Element:
    """Return the union of two structs; raise ``FormatError`` for a part that is in both."""
    children = {str(child.key): child for child in first.children}
    for child in second.children:
        name, child_path = str(child.key), [*path, str(child.key)]
        before = children.get(name)
        if before is not None and not before.type == child.type == "Struct":
            raise FormatError(
                mistake("copy", short(repr(".".join(child_path))), "in two of the files", "each part once")
            )
        children[name] = child if before is None else _joined(before, child, child_path)
    props = {**first.props, **second.props}
    if "required" in props:
        props["required"] = [*first.props.get("required", ()), *second.props.get("required", ())]
    return first.with_(props=props, children=tuple(children.values()))
