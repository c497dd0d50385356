"""Trees of arguments and results: tuples, lists and dicts with tensors and other leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rebuild = Callable[[list[Any]], Any]


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


def _strip(tree: Any, leaves: list[Any]) -> Callable[[Any], Any]:
    if isinstance(tree, dict):
        parts = {key: _strip(value, leaves) for key, value in tree.items()}
        return lambda values: {key: part(values) for key, part in parts.items()}
    if isinstance(tree, tuple | list):
        made = [_strip(value, leaves) for value in tree]
        kind = type(tree)
        if hasattr(tree, "_fields"):  # a named tuple takes its fields one by one
            return lambda values: kind(*(part(values) for part in made))
        return lambda values: kind(part(values) for part in made)
    leaves.append(tree)
    return next
