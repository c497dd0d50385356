"""Parts of files put into other files byte by byte: what a part's bytes are does not depend on where it stands."""

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
    """A part of an open file, as it lies there."""

    file: File
    name: str

    @property
    def nbytes(self) -> int:
        """Bytes of the part, its data region with them."""
        return sum(end - start for start, end in self.file.ranges(self.name))

    def piece(self) -> Piece:
        """The part, ready to be written."""
        data, *region = (self.file.data(start, end) for start, end in self.file.ranges(self.name))
        return Piece(len(data), iter((data,)), region[0] if region else b"", self.name)


def copy(
    path: str | os.PathLike[str], parts: Mapping[str, Stored], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write parts of open files as one metatensor file, atomically, types and bytes as they are.

    Raises ``FormatError`` where the schemas cannot stand together.
    """
    files = list({id(part.file): part.file for part in parts.values()}.values())
    orders = sorted({file.layout.endian for file in files})
    if len(orders) > 1:
        raise FormatError(mistake("copy", "the files' byte order", " and ".join(orders), "one"))
    layout = compile(schema_of_parts(files, parts.keys()), endian=orders[0] if orders else "little")
    start, placed = assembled(layout, {name: part.piece() for name, part in parts.items()}, metadata)
    write(path, start, placed)


def schema_of_parts(files: list[File], names: Set[str]) -> Mapping[str, Any]:
    """The schema of some parts of files: that of the file where it is all of one file."""
    if len(files) == 1 and names == files[0].kinds.keys():
        return files[0].schema
    tree = Element("Struct")
    for at, file in enumerate(files):
        own = _with_only(from_schema(file.schema), names, [])
        tree = _joined(tree, own, []) if at else own
    return to_schema(tree)


def _with_only(struct: Element, names: Set[str], path: list[str]) -> Element:
    """A struct without the parts that are not named, and without the structs that this empties."""
    kept = []
    for child in struct.children:
        own = [*path, str(child.key)]
        if child.type == "Struct":
            inner = _with_only(child, names, own)
            if inner.children:
                kept.append(inner)
        elif ".".join(own) in names:
            kept.append(child)
    props = dict(struct.props)
    if "required" in props:
        there = {child.key for child in kept}
        props["required"] = [name for name in props["required"] if name in there]
    return struct.with_(props=props, children=tuple(kept))


def _joined(one: Element, other: Element, path: list[str]) -> Element:
    """Two structs as one."""
    children = {str(child.key): child for child in one.children}
    for child in other.children:
        name, own = str(child.key), [*path, str(child.key)]
        before = children.get(name)
        if before is not None and not before.type == child.type == "Struct":
            raise FormatError(
                mistake("copy", short(repr(".".join(own))), "in two of the files", "each part once")
            )
        children[name] = child if before is None else _joined(before, child, own)
    props = {**one.props, **other.props}
    if "required" in props:
        props["required"] = [*one.props.get("required", ()), *other.props.get("required", ())]
    return one.with_(props=props, children=tuple(children.values()))
