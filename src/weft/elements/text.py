"""Conversion of element trees with plain values to JSON data and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.elements.tree import MOST_LEVELS, Element, Path, Properties, place
from weft.errors import ArgumentError, ArgumentTypeError


def to_json(tree: Element) -> dict[str, Any]:
    """Return the tree as plain data for ``json.dumps``; raises ``ArgumentTypeError`` for a property without JSON form.

    >>> to_json(Element("Linear", {"features": 10}, key="head"))
    {'type': 'Linear', 'props': {'features': 10}, 'key': 'head'}
    """
    return _to_json(tree, tree, ())


def _to_json(tree: Element, node: Element, path: Path) -> dict[str, Any]:
    made: dict[str, Any] = {"type": node.type}
    if node.props:
        made["props"] = {
            name: _plain(value, f"{place(tree, path)}: {name}") for name, value in node.props.items()
        }
    if node.children:
        made["children"] = [
            _to_json(tree, child, (*path, index)) for index, child in enumerate(node.children)
        ]
    if node.key is not None:
        made["key"] = node.key
    return made


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Properties):
        return {name: _plain(item, f"{where}[{name!r}]") for name, item in value.items()}
    if (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    raise ArgumentTypeError(
        f"{where} is {value!r}, expected a value of JSON: null, bool, finite number, string, list, object"
    )


def from_json(data: Any) -> Element:
    """Return the tree of the data of ``to_json``.

    Raises:
        ArgumentTypeError: For a value of another type than expected, with its place in the tree.
        ArgumentError: For an unknown field, or a tree that is too deep.

    >>> from_json({"type": "Linear", "props": {"features": 10}})
    Linear(features=10)
    """
    return _from_json(data, "root", 1)


_FIELDS = {"type", "props", "children", "key"}


def _from_json(data: Any, where: str, level: int) -> Element:
    if level > MOST_LEVELS:
        raise ArgumentError(f"{where}: the tree is deeper than {MOST_LEVELS} levels")
    if not isinstance(data, Mapping):
        raise ArgumentTypeError(f"{where} is {data!r}, expected an object with a type")
    unknown = sorted(str(name) for name in data if name not in _FIELDS)
    if unknown:
        raise ArgumentError(f"{where}: field {unknown[0]!r} was given, expected {', '.join(sorted(_FIELDS))}")
    children = data.get("children", [])
    if not isinstance(children, list | tuple):
        raise ArgumentTypeError(f"{where}: children is {children!r}, expected a list")
    name = data.get("type")
    inner = where if level > 1 else str(name)
    made = [_from_json(child, f"{inner}/{_named(child)}[{i}]", level + 1) for i, child in enumerate(children)]
    try:
        node = Element(data.get("type", ""), data.get("props", {}), tuple(made), data.get("key"))
        _plain(node.props, "props")
        return node
    except (ArgumentError, ArgumentTypeError) as error:
        raise type(error)(f"{inner}: {error}") from None


def _named(data: Any) -> str:
    return str(data.get("type", "?")) if isinstance(data, Mapping) else "?"
