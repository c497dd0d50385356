"""Conversion of trees of Python values to the named parts of a metatensor file, and back.

Every tensor, number, text and byte string becomes a part of the file under its path, with a type in the schema. What a
schema cannot express (a struct that was a list, a value None, two names for one tensor) goes into notes by path, in the
header's metadata. A path is the keys from the root, joined by dots. Dots within keys are escaped, except in a dict
whose keys are all dotted names (a state dict); there they make structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, FormatError, mistake
from weft.metatensor import Pending
from weft.metatensor.schema import MOST_LEVELS
from weft.tensors.tensor import Tensor

Path = tuple[str, ...]

NOTES = "weft.tree"
"""The key of the notes in the header's metadata."""

LIST, TUPLE, NUMBERED, DOTTED, EMPTY = "list", "tuple", "int keys", "dotted", "dict"
"""Notes on a struct: the container that it was. A struct without a note is a dict whose keys are names."""
NONE, ARRAY, LEAF, SAME = "None", "array", "leaf", "same as "
"""Notes on a part: no value, a NumPy array, the tree itself, the same tensor as another part (whose path follows)."""
ROOT = "value"
"""The part that holds a tree that is a single value."""

LEAVES = (bool, int, float, str, bytes)


class Encoder:
    """Collects the ``parts`` of a tree, values by path, and its ``notes`` by dotted path."""

    def __init__(self, tree: Any) -> None:
        self.parts: dict[Path, Any] = {}
        self.notes: dict[str, str] = {}
        self._known: dict[Any, str] = {}
        if _is_container(tree):
            self._container(tree, (), "the tree")
        else:
            self.notes[""] = LEAF
            self._leaf(tree, (ROOT,), "the tree")

    def _container(self, tree: Any, path: Path, place: str) -> None:
        if len(path) > MOST_LEVELS:
            raise ArgumentError(
                mistake("save", "the tree", f"nested deeper at {place[:200]}", f"at most {MOST_LEVELS} levels",
                        "a container may not hold itself")
            )  # fmt: skip
        if isinstance(tree, list | tuple):
            if hasattr(tree, "_fields"):
                raise _unknown(tree, place)
            self._note(path, TUPLE if isinstance(tree, tuple) else LIST)
            for at, value in enumerate(tree):
                self._value(value, (*path, str(at)), f"{place}[{at}]")
            return
        if not tree:
            self._note(path, EMPTY)
        elif all(type(key) is int for key in tree):
            self._note(path, NUMBERED)
            for key, value in tree.items():
                self._value(value, (*path, str(key)), f"{place}[{key}]")
        elif names := _dotted(tree):
            self._note(path, DOTTED)
            for name, value in zip(names, tree.values(), strict=True):
                self._leaf(value, (*path, *name), f"{place}[{'.'.join(name)!r}]")
        else:
            for key, value in tree.items():
                if type(key) is not str:
                    raise ArgumentTypeError(
                        mistake("save", f"a key of {place}", repr(key), "strings, or integers throughout")
                    )
                self._value(value, (*path, escaped(key)), f"{place}[{key!r}]")

    def _value(self, value: Any, path: Path, place: str) -> None:
        if _is_container(value):
            self._container(value, path, place)
        else:
            self._leaf(value, path, place)

    def _leaf(self, value: Any, path: Path, place: str) -> None:
        import numpy

        if value is None:
            self._note(path, NONE)
        elif isinstance(value, Tensor):
            data = value._data
            key = (id(data.storage), data.offset, data.shape, data.strides, data.dtype)
            known = self._known.setdefault(key, ".".join(path))
            if known != ".".join(path):
                self._note(path, SAME + known)
            else:
                self.parts[path] = value
        elif isinstance(value, Pending):  # a tensor of another file
            self.parts[path] = value
        elif isinstance(value, numpy.ndarray) and value.dtype.names is None:
            self._note(path, ARRAY)
            self.parts[path] = value
        elif isinstance(value, numpy.generic) and isinstance(value.item(), LEAVES):
            self.parts[path] = value.item()
        elif type(value) in LEAVES:
            self.parts[path] = value
        else:
            raise _unknown(value, place)

    def _note(self, path: Path, note: str) -> None:
        self.notes[".".join(path)] = note


def decoded(parts: Mapping[Path, Any], notes: Any, where: str) -> Any:
    """Return the tree of parts and notes; raise ``FormatError`` for notes that contradict the parts."""
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise FormatError(mistake(where, f"metadata {NOTES!r}", repr(notes)[:80], "texts by path"))
    root: dict[str, Any] = {}
    for path, value in parts.items():
        _put(root, path, value, where)
    kinds: list[tuple[Path, str]] = []
    same: list[tuple[Path, str]] = []
    for name, note in notes.items():
        path = tuple(name.split(".")) if name else ()
        if len(path) > 2 * MOST_LEVELS:
            raise FormatError(
                mistake(
                    where, f"note of {name[:80]!r}…", f"{len(path)} levels deep", f"at most {2 * MOST_LEVELS}"
                )
            )
        if note.startswith(SAME):
            same.append((path, note[len(SAME) :]))
        elif note == NONE:
            _put(root, path, None, where)
        elif note in (LIST, TUPLE, NUMBERED, DOTTED, EMPTY):
            kinds.append((path, note))
        elif note not in (ARRAY, LEAF):
            raise FormatError(mistake(where, f"note of {name!r}", repr(note), "one that this version knows"))
    for path, other in same:
        source = tuple(other.split("."))
        if source not in parts:
            raise FormatError(
                mistake(where, f"note of {'.'.join(path)!r}", repr(other), "the path of a part")
            )
        _put(root, path, parts[source], where)
    if notes.get("") == LEAF:
        if set(root) != {ROOT}:
            raise FormatError(mistake(where, "note of ''", repr(LEAF), f"one part, {ROOT!r}"))
        return root[ROOT]
    structs = dict(kinds)
    for path, _ in kinds:  # containers without parts
        _struct_at(root, path, where)
    return _rebuilt(root, (), structs, where)


def _rebuilt(node: Any, path: Path, kinds: Mapping[Path, str], where: str) -> Any:
    if path and not isinstance(node, _Struct):
        return node
    kind = kinds.get(path, "")
    if kind == DOTTED:
        return dict(_flat(node, ()))
    values = {key: _rebuilt(value, (*path, key), kinds, where) for key, value in node.items()}
    if kind in (LIST, TUPLE):
        if set(values) != {str(at) for at in range(len(values))}:
            raise FormatError(
                mistake(where, f"items of {'.'.join(path)!r}", sorted(values), f"those of a {kind}, from 0")
            )
        items = [values[str(at)] for at in range(len(values))]
        return items if kind == LIST else tuple(items)
    if kind == NUMBERED:
        try:
            return {int(key): value for key, value in values.items()}
        except ValueError:
            raise FormatError(
                mistake(where, f"keys of {'.'.join(path)!r}", sorted(values), "integers")
            ) from None
    return {unescaped(key): value for key, value in values.items()}


class _Struct(dict[str, Any]):
    """A struct of the file, as a type that no value in the tree has."""


def _put(root: dict[str, Any], path: Path, value: Any, where: str) -> None:
    inner = _struct_at(root, path[:-1], where)
    if not path or path[-1] in inner:
        raise FormatError(mistake(where, f"{'.'.join(path)!r}", "given twice", "each path once"))
    inner[path[-1]] = value


def _struct_at(root: dict[str, Any], path: Path, where: str) -> dict[str, Any]:
    inner = root
    for key in path:
        inner = inner.setdefault(key, _Struct())
        if not isinstance(inner, _Struct):
            raise FormatError(
                mistake(where, f"{'.'.join(path)!r}", "inside of a value", "a struct on the way")
            )
    return inner


def _flat(node: Mapping[str, Any], path: Path) -> Any:
    for key, value in node.items():
        if isinstance(value, _Struct):
            yield from _flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _dotted(tree: Mapping[Any, Any]) -> list[Path]:
    """Return the names of a state dict, split at dots; empty for other keys, container values or clashing names."""
    if not all(type(key) is str for key in tree) or not any("." in key for key in tree):
        return []
    names = [tuple(key.split(".")) for key in tree]
    if any(not all(name) or _is_container(value) for name, value in zip(names, tree.values(), strict=True)):
        return []
    structs = {name[:length] for name in names for length in range(1, len(name))}
    return [] if structs & set(names) else names


def escaped(key: str) -> str:
    """Return a key with its dots escaped, and never empty."""
    return key.replace("%", "%25").replace(".", "%2E") or "%"


def unescaped(key: str) -> str:
    """Return the key that ``escaped`` encoded."""
    return "" if key == "%" else key.replace("%2E", ".").replace("%25", "%")


def _unknown(value: Any, place: str) -> ArgumentTypeError:
    return ArgumentTypeError(
        mistake("save", place, f"a {type(value).__name__}",
                "a tensor, a NumPy array, a number, a text, bytes, None, or a dict, list or tuple of these",
                "call its state_dict()" if hasattr(value, "state_dict") else "")
    )  # fmt: skip
