"""Signatures: the properties of a call's arguments that select the compiled program.

``take`` walks the arguments once a call. Tensors and numbers become the program's inputs; structure, layouts and static
values become a key. ``describe`` states the same in words, and ``difference`` explains a recompilation by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentTypeError, mistake
from weft.nn.module import Module
from weft.optim.optimizer import Optimizer
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor
from weft.utils.tree import is_record, paths

Walk = Callable[[Any, list[Any], list[Any]], None]

STATIC = (
    bool,
    str,
    type(None),
    Enum,
    DType,
    slice,
    range,
    type,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
)
"""Types of static values, which are compiled in and compared by equality."""
BY_IDENTITY = (Module, Optimizer)
"""Types of objects that are compiled in and compared by identity."""


def take(value: Any, inputs: list[Any], key: list[Any]) -> None:
    """Append the tensors and numbers of a tree to ``inputs``, and its structure, layouts and statics to ``key``."""
    kind = type(value)
    (_WALKS.get(kind) or _resolve(kind, value))(value, inputs, key)


def _tensor(value: Any, inputs: list[Any], key: list[Any]) -> None:
    data = value._data
    if type(data) is not Array:
        value._array("jit")
    inputs.append(value)
    plain = value._edge is None and value._view is None
    requires = value._leaf_requires_grad if plain else value.requires_grad
    key.append(data.key << 2 | requires << 1 | (data.offset != 0))


def _number(value: Any, inputs: list[Any], key: list[Any]) -> None:
    inputs.append(value)
    key.append(int if isinstance(value, int) else float)


def _static(value: Any, inputs: list[Any], key: list[Any]) -> None:
    key.append((type(value), (value.start, value.stop, value.step) if type(value) is slice else value))


class Same:
    """An object in a key that compares by identity, whatever its ``==`` and ``hash`` are; it is kept alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _by_identity(value: Any, inputs: list[Any], key: list[Any]) -> None:
    key.append(Same(value))


def _sequence(value: Any, inputs: list[Any], key: list[Any]) -> None:
    key.append((type(value), len(value)))
    for item in value:
        kind = type(item)
        (_WALKS.get(kind) or _resolve(kind, item))(item, inputs, key)


def _mapping(value: Any, inputs: list[Any], key: list[Any]) -> None:
    key.append((type(value), tuple(value)))
    _each(value.values(), inputs, key)


def _record(value: Any, inputs: list[Any], key: list[Any]) -> None:
    key.append(type(value))
    _each([getattr(value, field.name) for field in fields(value)], inputs, key)


def _each(values: Any, inputs: list[Any], key: list[Any]) -> None:
    for value in values:
        take(value, inputs, key)


_WALKS: dict[type, Walk] = {
    Tensor: _tensor,
    int: _number,
    float: _number,
    tuple: _sequence,
    list: _sequence,
    dict: _mapping,
}


def _resolve(kind: type, value: Any) -> Walk:
    """Return the walk for a new type, and store it in the table."""
    table: list[tuple[Any, Walk]] = [
        (Tensor, _tensor), (STATIC, _static), (BY_IDENTITY, _by_identity), ((int, float), _number),
        ((tuple, list), _sequence), (dict, _mapping),
    ]  # fmt: skip
    walk = next((walk for kinds, walk in table if isinstance(value, kinds)), None)
    if walk is None:
        if not is_record(value):
            raise ArgumentTypeError(
                mistake("jit", "an argument", f"a {kind.__name__}",
                        "a tensor, a number, a static value (bool, str, None, enum) or a tuple, list, dict or "
                        "dataclass of these", "use weft.tensor(array) for arrays; reach other objects by closure")
            )  # fmt: skip
        walk = _record
    _WALKS[kind] = walk
    return walk


def is_input(leaf: Any) -> bool:
    """Return whether a leaf is an input of the program; other leaves are compiled in."""
    return isinstance(leaf, Tensor) or (isinstance(leaf, int | float) and not isinstance(leaf, STATIC))


def describe(
    names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the leaves of a call as (name, description)."""
    for position, value in enumerate(args):
        name = names[position] if position < len(names) else f"argument {position}"
        yield from ((path, _words(leaf)) for path, leaf in paths(value, name))
    for name, value in kwargs.items():
        yield from ((path, _words(leaf)) for path, leaf in paths(value, name))


def _words(leaf: Any) -> str:
    if isinstance(leaf, Tensor):
        text = f"{leaf.dtype.name}{list(leaf.shape)} on {leaf.device}"
        return f"{text}, requires_grad" if leaf.requires_grad else text
    if is_input(leaf):
        return "a whole number" if isinstance(leaf, int) else "a number"
    if isinstance(leaf, BY_IDENTITY):
        return f"the {type(leaf).__name__} at {id(leaf):#x}"
    return repr(leaf)


def difference(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> str:
    """Return the first difference between two descriptions in words; empty where there is none.

    >>> difference([("x", "float32[2]")], [("x", "float32[3]")])
    'x is float32[3], was float32[2]'
    """
    for (old_name, old_words), (name, words) in zip(old, new, strict=False):
        if old_name != name:
            return f"{name} is given instead of {old_name}"
        if old_words != words:
            return f"{name} is {words}, was {old_words}"
    if len(old) != len(new):
        longer, verb = (new, "is an additional argument") if len(new) > len(old) else (old, "is missing")
        return f"{longer[min(len(old), len(new))][0]} {verb}"
    return ""
