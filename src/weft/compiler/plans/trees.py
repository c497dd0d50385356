"""Trees of arguments and results as data: the structure of a plan's calls.

``collect`` walks the arguments of a call along their trees, returns the tensors and numbers in order, and raises an
error for an argument that does not fit. ``build`` builds a result from its tree, with a tensor for each ``Slot``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops import TensorType
from weft.tensors.tensor import Tensor
from weft.utils.tree import is_record


@dataclass(frozen=True)
class Branch:
    """A tuple, list, dict, named tuple or dataclass, by ``kind``; ``type`` is the user's class, where there is one."""

    kind: str
    keys: tuple[Any, ...]
    children: tuple[Tree, ...]
    type: Any = None


@dataclass(frozen=True)
class Given:
    """A tensor argument, by its type."""

    type: TensorType
    requires_grad: bool = False

    def __repr__(self) -> str:
        return f"{self.type!r}{', requires_grad' if self.requires_grad else ''}"


@dataclass(frozen=True)
class Number:
    """A Python number argument, by its Python type."""

    kind: type

    def __repr__(self) -> str:
        return "an int" if self.kind is int else "a float"


@dataclass(frozen=True)
class Fixed:
    """A value that is compiled into the plan."""

    value: Any


@dataclass(frozen=True)
class Slot:
    """The place of the next tensor of a result."""


Tree = Branch | Given | Number | Fixed | Slot
Leaf = Callable[[Any, str], Tree]
"""Returns the tree of a leaf, from the leaf and its path in Python syntax."""


@dataclass(frozen=True)
class Argument:
    """An argument of a call: its name, whether it was given by keyword, and its tree."""

    name: str
    keyword: bool
    tree: Tree


def tree_of(value: Any, leaf: Leaf, name: str) -> Tree:
    """Return the tree of a value, with leaves by ``leaf``."""
    kind, parts = _parts(value)
    if not kind:
        return leaf(value, name)
    children = tuple(tree_of(part, leaf, _inside(name, kind, key)) for key, part in parts)
    named = None if type(value) in (tuple, list, dict) else type(value)
    return Branch(kind, tuple(key for key, _ in parts), children, named)


CLASSES = ("named tuple", "record")
"""Kinds of branches with a class of the user."""


def _parts(value: Any) -> tuple[str, list[tuple[Any, Any]]]:
    """Return the kind of a branch with its keys and children; an empty kind for a leaf."""
    if isinstance(value, dict):
        return "dict", list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return "named tuple", list(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return "list" if isinstance(value, list) else "tuple", list(enumerate(value))
    if is_record(value):
        return "record", [(field.name, getattr(value, field.name)) for field in fields(value)]
    return "", []


def _inside(name: str, kind: str, key: Any) -> str:
    return f"{name}.{key}" if kind in CLASSES else f"{name}[{key!r}]"


def argument_leaf(value: Any, name: str) -> Tree:
    """Return the tree of an argument leaf: tensors and numbers are inputs, other values are compiled in."""
    if isinstance(value, Tensor):
        return Given(TensorType(tuple(value.shape), value.dtype), value.requires_grad)
    if type(value) in (int, float):
        return Number(type(value))
    return Fixed(value)


def collect(
    where: str, device: str, arguments: Sequence[Argument], args: Sequence[Any], kwargs: dict[str, Any]
) -> list[Any]:
    """Return the tensors and numbers of a call in order; ``ArgumentError`` names an argument that does not fit."""
    positional = [argument for argument in arguments if not argument.keyword]
    if len(args) > len(positional):
        raise ArgumentTypeError(
            mistake(
                where,
                "the call",
                f"{len(args)} arguments by position",
                f"{len(positional)}",
                _usage(arguments),
            )
        )
    left = dict(kwargs)
    found: list[Any] = []
    for at, expected in enumerate(arguments):
        if at < len(args) and not expected.keyword:
            value = args[at]
        elif expected.name in left:
            value = left.pop(expected.name)
        else:
            raise ArgumentTypeError(
                mistake(where, f"the argument {expected.name}", "missing", _usage(arguments))
            )
        _take(where, device, expected.tree, value, expected.name, found)
    if left:
        name = next(iter(left))
        given = "given twice" if any(argument.name == name for argument in arguments) else "given"
        raise ArgumentTypeError(mistake(where, f"the argument {name}", given, _usage(arguments)))
    return found


def _usage(arguments: Sequence[Argument]) -> str:
    names = ", ".join(f"{argument.name}=" if argument.keyword else argument.name for argument in arguments)
    return f"({names}), as in the call that the plan was made for"


def _take(where: str, device: str, tree: Tree, value: Any, name: str, found: list[Any]) -> None:
    if isinstance(tree, Given):
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(mistake(where, name, _described(value), repr(tree)))
        type_ = TensorType(tuple(value.shape), value.dtype)
        if type_ != tree.type or value.requires_grad != tree.requires_grad or str(value.device) != device:
            raise ArgumentError(mistake(where, name, _described(value), f"{tree!r} on {device}"))
        found.append(value)
    elif isinstance(tree, Number):
        if type(value) is not tree.kind:
            raise ArgumentTypeError(mistake(where, name, _described(value), repr(tree)))
        found.append(value)
    elif isinstance(tree, Branch):
        kind, parts = _parts(value)
        keys = tuple(key for key, _ in parts)
        if kind != tree.kind or keys != tree.keys or (tree.type is not None and type(value) is not tree.type):
            raise ArgumentTypeError(mistake(where, name, _described(value), _branch(tree)))
        for child, (key, part) in zip(tree.children, parts, strict=True):
            _take(where, device, child, part, _inside(name, kind, key), found)
    elif isinstance(tree, Fixed) and (type(value) is not type(tree.value) or value != tree.value):
        raise ArgumentError(
            mistake(where, name, _described(value), f"{tree.value!r}, which is compiled into the plan",
                    "make another plan for another value")
        )  # fmt: skip


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        type_ = TensorType(tuple(value.shape), value.dtype)
        return f"{type_!r} on {value.device}{', requires_grad' if value.requires_grad else ''}"
    kind, parts = _parts(value)
    if kind in CLASSES:
        return f"a {type(value).__name__}"
    if kind:
        return (
            f"a {kind} of {', '.join(repr(key) for key, _ in parts)}"
            if kind == "dict"
            else f"a {kind} of {len(parts)}"
        )
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value) if plain else f"a {type(value).__name__}"


def _branch(tree: Branch) -> str:
    if tree.type is not None:
        return f"a {tree.type.__name__}"
    if tree.kind == "dict":
        return f"a dict of {', '.join(map(repr, tree.keys))}"
    return f"a {tree.kind} of {len(tree.children)}"


def leaves(tree: Tree) -> Iterator[Tree]:
    """Yield the leaves of a tree in order."""
    if isinstance(tree, Branch):
        for child in tree.children:
            yield from leaves(child)
    else:
        yield tree


def build(tree: Tree, values: Iterator[Any]) -> Any:
    """Return the value of a result's tree, with the next of ``values`` in each slot."""
    if isinstance(tree, Slot):
        return next(values)
    if isinstance(tree, Fixed):
        return tree.value
    assert isinstance(tree, Branch), "results hold no arguments"
    made = [build(child, values) for child in tree.children]
    if tree.kind == "dict":
        return dict(zip(tree.keys, made, strict=True))
    if tree.kind == "named tuple":
        return tree.type(*made)
    if tree.kind == "record":
        return _record(tree.type, dict(zip(tree.keys, made, strict=True)))
    return made if tree.kind == "list" else tuple(made)


def _record(kind: Any, values: dict[str, Any]) -> Any:
    made = object.__new__(kind)  # without __init__, whose parameters may differ from the fields
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def class_name(kind: type) -> str:
    """Return the qualified name of a user's class, as stored in files."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_class_for(kind: Any, branch: str) -> bool:
    """Return whether a class can be that of a branch of a kind."""
    if branch == "record":
        return isinstance(kind, type) and is_dataclass(kind)
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
