"""Encode and decode trees of arguments and results as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.compiler.plans.fields import Field
from weft.compiler.plans.graphs import read_type, write_type
from weft.compiler.plans.trees import (
    CLASSES,
    Argument,
    Branch,
    Fixed,
    Given,
    Number,
    Slot,
    Tree,
    class_name,
    is_class_for,
)
from weft.compiler.plans.values import MOST_LEVELS, read, written
from weft.errors import UnsupportedError, mistake

PLAIN = {"tuple": tuple, "list": list}
NUMBERS = {"int": int, "float": float}


def write_arguments(arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    """Return the arguments of a call as JSON; ``UnsupportedError`` for an argument that is not plain data."""
    return [
        {
            "name": argument.name,
            "keyword": argument.keyword,
            "tree": write_tree(argument.tree, f"the argument {argument.name}"),
        }
        for argument in arguments
    ]


def write_tree(tree: Tree, label: str) -> dict[str, Any]:
    """Return a tree as JSON; ``label`` names it in errors."""
    if isinstance(tree, Given):
        return {"tensor": write_type(tree.type), "requires_grad": tree.requires_grad}
    if isinstance(tree, Number):
        return {"number": tree.kind.__name__}
    if isinstance(tree, Slot):
        return {"result": True}
    if isinstance(tree, Fixed):
        return {"fixed": written(tree.value, label)}
    children = [
        write_tree(child, f"{label}, at {key!r}") for key, child in zip(tree.keys, tree.children, strict=True)
    ]
    if tree.type is not None and tree.kind not in CLASSES:
        raise UnsupportedError(mistake("save", label, f"a {class_name(tree.type)}", f"a plain {tree.kind}"))
    if tree.kind in PLAIN:
        return {tree.kind: children}
    keys = [written(key, f"a key of {label}") for key in tree.keys]
    made = {tree.kind: [list(pair) for pair in zip(keys, children, strict=True)]}
    return made if tree.type is None else {**made, "class": class_name(tree.type)}


class TreeReader:
    """Decodes trees; ``classes`` are the user's named tuples and dataclasses that may occur in them."""

    def __init__(self, classes: Sequence[type]) -> None:
        self.classes: Mapping[str, type] = {class_name(class_): class_ for class_ in classes}

    def arguments(self, field: Field) -> tuple[Argument, ...]:
        """Return the arguments of a call."""
        made: list[Argument] = []
        for item in field.items():
            parts = item.members("name", "keyword", "tree")
            name, keyword = parts["name"].text(), parts["keyword"].flag()
            if any(other.name == name for other in made):
                raise parts["name"].error("a name that is not used by another argument")
            if not keyword and made and made[-1].keyword:
                raise parts["keyword"].error("true, since positional arguments come before keyword arguments")
            made.append(Argument(name, keyword, self.tree(parts["tree"], result=False)))
        return tuple(made)

    def tree(self, field: Field, result: bool, level: int = 0) -> Tree:
        """Return the tree of a result (``result=True``) or of an argument."""
        if level > MOST_LEVELS:
            raise field.error(f"a tree of at most {MOST_LEVELS} levels")
        entries = field.entries()
        kinds = (
            "fixed",
            "tuple",
            "list",
            "dict",
            *CLASSES,
            *(("result",) if result else ("tensor", "number")),
        )
        kind = next((name for name in kinds if name in entries), None)
        if kind is None:
            raise field.error(f"an object with one of {', '.join(kinds)}")
        if kind == "tensor":
            parts = field.members("tensor", "requires_grad")
            return Given(read_type(parts["tensor"].members("dtype", "shape")), parts["requires_grad"].flag())
        if kind in CLASSES:
            return self._class(field, kind, result, level)
        content = field.members(kind)[kind]
        if kind == "number":
            return Number(NUMBERS[content.text(tuple(NUMBERS))])
        if kind == "result":
            if not content.flag():
                raise content.error("true")
            return Slot()
        if kind == "fixed":
            return Fixed(read(content))
        if kind == "dict":
            keys, children = self._pairs(content, result, level)
            return Branch(kind, keys, children)
        children = tuple(self.tree(child, result, level + 1) for child in content.items())
        return Branch(kind, tuple(range(len(children))), children)

    def _pairs(self, field: Field, result: bool, level: int) -> tuple[tuple[Any, ...], tuple[Tree, ...]]:
        keys: list[Any] = []
        children = []
        for pair in field.items():
            first, second = pair.items(2)
            key = read(first)
            if isinstance(key, slice) or key in keys:
                raise first.error("a hashable key that is not used by another entry")
            keys.append(key)
            children.append(self.tree(second, result, level + 1))
        return tuple(keys), tuple(children)

    def _class(self, field: Field, kind: str, result: bool, level: int) -> Tree:
        parts = field.members(kind, "class")
        name = parts["class"].text()
        found = self.classes.get(name)
        if found is None:
            raise parts["class"].error(
                f"one of the classes given to load_plan ({', '.join(self.classes) or 'none'}); "
                f"a file names classes and brings none: pass classes=[{name.rpartition('.')[2]}]",
                name,
            )
        keys, children = self._pairs(parts[kind], result, level)
        names = tuple(getattr(found, "_fields" if kind == "named tuple" else "__dataclass_fields__", ()))
        if not is_class_for(found, kind) or names != keys:
            raise parts["class"].error(
                f"a {kind} with the fields {', '.join(map(str, keys))}", f"{name} with {', '.join(names)}"
            )
        return Branch(kind, keys, children, found)
