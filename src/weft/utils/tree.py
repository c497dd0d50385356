"""Trees of arguments and results: tuples, lists, dicts and dataclasses with tensors and other leaves."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

Rebuild = Callable[[list[Any]], Any]
_Part = Callable[[Iterator[Any]], Any]


def flatten(tree: Any) -> tuple[list[Any], Rebuild]:
    """The leaves in order, and the function that puts new ones in their places.

    >>> leaves, rebuild = flatten({"a": 1, "b": (2, 3)})
    >>> leaves, rebuild([4, 5, 6])
    ([1, 2, 3], {'a': 4, 'b': (5, 6)})
    """
    leaves: list[Any] = []
    shape = _strip(tree, leaves)

    def rebuild(values: list[Any]) -> Any:
        return shape(iter(values))

    return leaves, rebuild


def flatten_some(tree: Any) -> tuple[list[Any], Rebuild]:
    """As ``flatten``, but ``None`` is no leaf: it stays in its place.

    >>> leaves, rebuild = flatten_some((1, None))
    >>> leaves, rebuild([4])
    ([1], (4, None))
    """
    leaves, rebuild = flatten(tree)
    there = [leaf is not None for leaf in leaves]

    def filled(values: list[Any]) -> Any:
        source = iter(values)
        return rebuild([next(source) if own else None for own in there])

    return [leaf for leaf in leaves if leaf is not None], filled


def paths(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves in the order of ``flatten``, each with how Python reaches it.

    >>> list(paths({"a": 1, "b": (2, 3)}, "batch"))
    [("batch['a']", 1), ("batch['b'][0]", 2), ("batch['b'][1]", 3)]
    """
    if isinstance(tree, dict):
        inside = [(f"{name}[{key!r}]", value) for key, value in tree.items()]
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        inside = [(f"{name}.{field}", value) for field, value in zip(tree._fields, tree, strict=True)]
    elif isinstance(tree, tuple | list):
        inside = [(f"{name}[{position}]", value) for position, value in enumerate(tree)]
    elif is_record(tree):
        inside = [(f"{name}.{one.name}", getattr(tree, one.name)) for one in fields(tree)]
    else:
        yield name, tree
        return
    for path, value in inside:
        yield from paths(value, path)


def is_record(tree: Any) -> bool:
    """Whether a value is an instance of a user's dataclass; weft's own (data types, say) and modules are leaves."""
    return (
        is_dataclass(tree)
        and not isinstance(tree, type | Enum)
        and not hasattr(tree, "_parameters")
        and not type(tree).__module__.startswith("weft.")
    )


def _strip(tree: Any, leaves: list[Any]) -> _Part:
    if isinstance(tree, dict):
        parts = {key: _strip(value, leaves) for key, value in tree.items()}
        return _mapping_like(tree, parts)
    if isinstance(tree, tuple | list):
        made = [_strip(value, leaves) for value in tree]
        kind = type(tree)
        if hasattr(tree, "_fields"):  # a named tuple takes its fields one by one
            return lambda values: kind(*(part(values) for part in made))
        return lambda values: kind(part(values) for part in made)
    if is_record(tree):
        return _strip_record(tree, leaves)
    leaves.append(tree)
    return next


def _mapping_like(tree: dict[Any, Any], parts: dict[Any, _Part]) -> _Part:
    """How a mapping of the type of ``tree`` is made: a plain dict, or a subclass with what its instance has besides."""
    kind: Any = type(tree)
    if kind is dict:
        return lambda values: {key: part(values) for key, part in parts.items()}
    put: Any = OrderedDict.__setitem__ if issubclass(kind, OrderedDict) else dict.__setitem__
    factory = tree.default_factory if isinstance(tree, defaultdict) else None
    own = getattr(tree, "__dict__", {})
    others = {key: value for key, value in own.items() if key not in tree}
    shown = [key for key in own if key in tree]  # a mapping that shows its entries as attributes
    made_of = list(parts.items())

    def rebuild(values: Iterator[Any]) -> Any:
        made = kind.__new__(kind)  # __init__ of a subclass may want other arguments
        getattr(made, "__dict__", {}).update(others)
        if factory is not None:
            made.default_factory = factory
        for key, part in made_of:
            put(made, key, part(values))
        for key in shown:
            made.__dict__[key] = made[key]
        return made

    return rebuild


def _strip_record(tree: Any, leaves: list[Any]) -> _Part:
    parts = [(field.name, _strip(getattr(tree, field.name), leaves)) for field in fields(tree)]
    kind, names = type(tree), {name for name, _ in parts}
    others = {key: value for key, value in getattr(tree, "__dict__", {}).items() if key not in names}

    def rebuild(values: Iterator[Any]) -> Any:
        made = object.__new__(kind)  # its fields are what it had; __init__ may want others
        getattr(made, "__dict__", {}).update(others)
        for name, part in parts:
            object.__setattr__(made, name, part(values))
        return made

    return rebuild
