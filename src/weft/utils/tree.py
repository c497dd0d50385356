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
    """Return the leaves in order, and a function that rebuilds the tree with new leaves.

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
    """Return what ``flatten`` returns, except that None is not a leaf and stays in its position.

    >>> leaves, rebuild = flatten_some((1, None))
    >>> leaves, rebuild([4])
    ([1], (4, None))
    """
    leaves, rebuild = flatten(tree)
    is_leaf = [leaf is not None for leaf in leaves]

    def filled(values: list[Any]) -> Any:
        source = iter(values)
        return rebuild([next(source) if present else None for present in is_leaf])

    return [leaf for leaf in leaves if leaf is not None], filled


def paths(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the leaves in the order of ``flatten``, each with the Python expression that reaches it.

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
        inside = [(f"{name}.{field.name}", getattr(tree, field.name)) for field in fields(tree)]
    else:
        yield name, tree
        return
    for path, value in inside:
        yield from paths(value, path)


def is_record(tree: Any) -> bool:
    """Return whether a value is an instance of a user's dataclass; weft's dataclasses and modules are leaves."""
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
        items = [_strip(value, leaves) for value in tree]
        kind = type(tree)
        if hasattr(tree, "_fields"):  # a named tuple takes its fields as separate arguments
            return lambda values: kind(*(item(values) for item in items))
        return lambda values: kind(item(values) for item in items)
    if is_record(tree):
        return _strip_record(tree, leaves)
    leaves.append(tree)
    return next


def _mapping_like(tree: dict[Any, Any], parts: dict[Any, _Part]) -> _Part:
    """Return a function that builds a mapping of the type of ``tree``, with the further attributes of a subclass."""
    kind: Any = type(tree)
    if kind is dict:
        return lambda values: {key: part(values) for key, part in parts.items()}
    put: Any = OrderedDict.__setitem__ if issubclass(kind, OrderedDict) else dict.__setitem__
    factory = tree.default_factory if isinstance(tree, defaultdict) else None
    attributes = getattr(tree, "__dict__", {})
    others = {key: value for key, value in attributes.items() if key not in tree}
    shown = [key for key in attributes if key in tree]  # a mapping that shows its entries as attributes
    entries = list(parts.items())

    def rebuild(values: Iterator[Any]) -> Any:
        mapping = kind.__new__(kind)  # __init__ of a subclass may take other arguments
        getattr(mapping, "__dict__", {}).update(others)
        if factory is not None:
            mapping.default_factory = factory
        for key, part in entries:
            put(mapping, key, part(values))
        for key in shown:
            mapping.__dict__[key] = mapping[key]
        return mapping

    return rebuild


def _strip_record(tree: Any, leaves: list[Any]) -> _Part:
    parts = [(field.name, _strip(getattr(tree, field.name), leaves)) for field in fields(tree)]
    kind, names = type(tree), {name for name, _ in parts}
    others = {key: value for key, value in getattr(tree, "__dict__", {}).items() if key not in names}

    def rebuild(values: Iterator[Any]) -> Any:
        record = object.__new__(kind)  # the fields are set below; __init__ may take other arguments
        getattr(record, "__dict__", {}).update(others)
        for name, part in parts:
            object.__setattr__(record, name, part(values))
        return record

    return rebuild
