"""Versions of a schema: ``diff`` compares two of them, ``migrate`` rewrites a file from one to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from weft.elements import Element, Insert, Move, Remove, Replace, Update, apply
from weft.elements import diff as edits_between
from weft.errors import FormatError, mistake
from weft.metatensor.components import from_schema, to_schema
from weft.metatensor.composite import ArrayKind, Struct
from weft.metatensor.file import File, open
from weft.metatensor.kinds import Kind
from weft.metatensor.layout import Layout, compile, not_too_many
from weft.metatensor.records import Records
from weft.metatensor.saving import prepared, write
from weft.metatensor.tensors import TensorKind

Version = Mapping[str, Any] | Element | Layout | File
SCHEMA_PATH = "schema"


@dataclass(frozen=True)
class Delta:
    """The difference of two schemas: types by path, ``(old, new)`` if they changed."""

    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, tuple[str, str]]
    moved: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)

    def __str__(self) -> str:
        lines = [f"+ {path}: {type}" for path, type in self.added.items()]
        lines += [f"- {path}: {type}" for path, type in self.removed.items()]
        lines += [f"~ {path}: {old} → {new}" for path, (old, new) in self.changed.items()]
        return "\n".join([*lines, *(f"> {path}" for path in self.moved)])


def diff(old: Version, new: Version) -> Delta:
    """Return what was added, removed, changed and moved between two schemas, by path.

    Each of them is a schema, a tree of components, a layout or an open file.

    >>> before = {"TypeDef:Struct": True, "properties": {"a": {"TypeDef:Int8": True}, "b": {"TypeDef:Int8": True}}}
    >>> after = {"TypeDef:Struct": True, "properties": {"a": {"TypeDef:Int16": True}, "c": {"TypeDef:String": True}}}
    >>> print(diff(before, after))
    + c: String
    - b: Int8
    ~ a: Int8 → Int16
    """
    tree, target = _tree(old), _tree(new)
    added: dict[str, str] = {}
    removed: dict[str, str] = {}
    changed: dict[str, tuple[str, str]] = {}
    moved: list[str] = []
    for edit in edits_between(tree, target):
        names = _names(tree, edit.path[:-1])
        if isinstance(edit, Insert):
            added.update(_leaves(edit.element, names))
        elif isinstance(edit, Remove):
            removed.update(_leaves(tree.at(edit.path), names))
        elif isinstance(edit, Move):
            moved.append(".".join([*names, str(tree.at(edit.path).key)]))
        else:
            before = tree.at(edit.path)
            after = apply(tree, [edit]).at(edit.path)
            _changed(before, after, names, edit, added, removed, changed)
        tree = apply(tree, [edit])
    return Delta(added, removed, changed, tuple(moved))


def _changed(
    before: Element, after: Element, names: list[str], edit: Replace | Update,
    added: dict[str, str], removed: dict[str, str], changed: dict[str, tuple[str, str]],
) -> None:  # fmt: skip
    """Note a changed type. If a struct became a value, or the reverse, its fields count as removed or added."""
    if isinstance(edit, Replace) and "Struct" in (before.type, after.type):
        removed.update(_leaves(before, names))
        added.update(_leaves(after, names))
        return
    path = ".".join([*names, *([after.key] if after.key is not None else [])]) or SCHEMA_PATH
    first = changed[path][0] if path in changed else _type(before)
    changed[path] = (first, _type(after))


def _tree(version: Version) -> Element:
    if isinstance(version, Element):
        return version
    schema = version.schema if isinstance(version, Layout | File) else version
    not_too_many(compile(schema).kind)  # this also refuses recursive schemas and unknown keywords
    return from_schema(schema)


def _names(tree: Element, path: tuple[int, ...]) -> list[str]:
    names, node = [], tree
    for index in path:
        node = node.children[index]
        names.append(str(node.key))
    return names


def _leaves(node: Element, names: list[str]) -> dict[str, str]:
    path_to_node = [*names, str(node.key)]
    if node.type == "Struct" and node.children:
        return {path: type for child in node.children for path, type in _leaves(child, path_to_node).items()}
    return {".".join(path_to_node): _type(node)}


def _type(node: Element) -> str:
    notes = [
        f"{name}={list(value) if isinstance(value, tuple) else value}" for name, value in node.props.items()
    ]
    inner = f" of {_type(node.children[0])}" if node.type in ("Array", "Record") and node.children else ""
    options = ", ".join(notes)
    return f"{node.type}{f'({options})' if options else ''}{inner}"


def migrate(
    path: str | os.PathLike[str],
    schema: Mapping[str, Any] | Element,
    defaults: Mapping[str, Any] | None = None,
    convert: Mapping[str, Callable[[Any], Any]] | None = None,
    target: str | os.PathLike[str] | None = None,
) -> Delta:
    """Rewrite a file under a new schema, atomically, and return what changed.

    Parts keep their values. A new part, or a new field of a dataset's rows (``train.label``), takes its value from
    ``defaults`` (for a field: a single value for all rows, or a list with a value for each row). A part or field whose
    type changed is converted by ``convert[path]``, a function of the old value (for a field: of the whole column), or
    cast if NumPy calls the cast safe. A part that the new schema lacks is dropped. ``target`` is the path to write to,
    by default ``path``.

    Raises ``FormatError`` naming a part that has neither default nor conversion; the file then stays unchanged.

    >>> import os, tempfile
    >>> from weft import metatensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.mt")
    ...     mt.save(path, {"step": 3})
    ...     schema = mt.Struct(mt.Field("step", "Int64"), mt.Field("lr", "Float32"))
    ...     print(mt.migrate(path, schema, defaults={"lr": 0.5}))
    ...     mt.open(path).tree()
    + lr: Float32
    {'step': 3, 'lr': 0.5}
    """
    with open(path) as file:
        layout = compile(schema)
        if layout.endian != file.layout.endian and "endian" not in layout.schema:
            layout = compile(schema, endian=file.layout.endian)
        change = diff(file.schema, schema if not isinstance(schema, Element) else to_schema(schema))
        rules = _Rules(file, dict(defaults or {}), dict(convert or {}))
        tree = {name: rules.value(name, kind) for name, kind in layout.sections.items()}
        rules.finish()
        start, pieces = prepared(layout, tree, file.metadata)
        write(path if target is None else target, start, pieces)
    return change


@dataclass
class _Rules:
    """The old file, the defaults and the conversions. A rule that is not used is a mistake."""

    file: File
    defaults: dict[str, Any]
    convert: dict[str, Callable[[Any], Any]]

    def __post_init__(self) -> None:
        self.used: set[str] = set()

    def finish(self) -> None:
        """Raise ``FormatError`` if a rule was not used."""
        unused = next((name for name in (*self.defaults, *self.convert) if name not in self.used), None)
        if unused is not None:
            raise FormatError(
                mistake("migrate", f"the rule for {unused!r}", "unused", "a part that is new or changed")
            )

    def value(self, name: str, kind: Kind) -> Any:
        if name not in self.file:
            return self._default(name)
        old, value = self.file.kinds[name], self.file[name]
        if name in self.convert:
            self.used.add(name)
            return self.convert[name](value)
        rows = isinstance(kind, ArrayKind) and isinstance(kind.item, Struct)
        if rows and isinstance(value, Records):
            assert isinstance(kind, ArrayKind) and isinstance(kind.item, Struct)
            return self._columns(name, value, kind.item)
        return _cast(name, old, kind, value)

    def _default(self, name: str, count: int | None = None) -> Any:
        if name not in self.defaults:
            raise FormatError(mistake("migrate", name, "new, without a value", "an entry of defaults"))
        self.used.add(name)
        value = self.defaults[name]
        if count is None or isinstance(value, list | tuple | numpy.ndarray):
            return value
        return [value] * count

    def _columns(self, name: str, rows: Records, item: Struct) -> dict[str, Any]:
        columns = {}
        for field in item.fields:
            path = f"{name}.{field.name}"
            if field.name not in rows.kind.by_name:
                columns[field.name] = self._default(path, len(rows))
            elif path in self.convert:
                self.used.add(path)
                columns[field.name] = self.convert[path](rows.column(field.name))
            else:
                columns[field.name] = _cast(
                    path, rows.kind.by_name[field.name].kind, field.kind, rows.column(field.name)
                )
        return columns


def _cast(name: str, old: Kind, new: Kind, value: Any) -> Any:
    """Return a value for a part whose type may have changed; raise ``FormatError`` if that needs a conversion."""
    if isinstance(new, TensorKind) and isinstance(value, numpy.ndarray):
        if value.shape == new.shape and numpy.can_cast(value.dtype, new.element, "safe"):
            return value.astype(new.element)
    elif type(old) is type(new):
        return value  # the writer raises an error, with the path, if the value does not fit
    raise FormatError(
        mistake(
            "migrate",
            name,
            f"{old.describe()}, and to be {new.describe()}",
            f"a function in convert for {name!r}",
        )
    )
