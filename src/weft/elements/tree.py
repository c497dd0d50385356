"""``Element`` and its ``Properties``: immutable and comparable; ``place`` names an element for messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError

Path = tuple[int, ...]
"""The position of an element: child indices from the root, ``()`` for the root itself."""

MOST_LEVELS = 200
"""The greatest depth of a tree; it bounds recursion, also for untrusted files."""


class Properties(Mapping[str, Any]):
    """An immutable mapping from names to values; lists become tuples, and mappings ``Properties``.

    Plain values (None, bool, numbers, strings, and tuples and mappings of them) compare by type and value; other
    values (a tensor, a function) compare by identity.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None, level: int = 0) -> None:
        for name in values or ():
            if not isinstance(name, str):
                raise ArgumentTypeError(f"property name is {name!r}, expected a string")
        self._values = {name: _frozen(value, level + 1) for name, value in (values or {}).items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Properties):
            return Properties(other) == self if isinstance(other, Mapping) else NotImplemented
        return self._values.keys() == other._values.keys() and all(
            same(value, other._values[name]) for name, value in self._values.items()
        )

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Properties, (self._values,))


def _frozen(value: Any, level: int = 0) -> Any:
    if level > MOST_LEVELS:
        raise ArgumentError(f"a property is nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, level + 1) for item in value)
    if isinstance(value, Mapping) and not isinstance(value, Properties):
        return Properties(value, level)
    return value


def same(a: Any, b: Any) -> bool:
    """Return whether two property values are the same: ``1``, ``1.0`` and ``True`` differ, and NaN equals NaN.

    >>> same(1, 1.0), same((1, "a"), (1, "a"))
    (False, True)
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)
    return isinstance(a, str | int | Element | Properties) and bool(a == b)


@dataclass(frozen=True, repr=False)
class Element:
    """A node of a tree. ``key`` identifies it among its siblings, whose keys must differ.

    Raises:
        ArgumentTypeError: For a part of a wrong type; the message names the element.
        ArgumentError: For children with equal keys, or a tree that is too deep.

    >>> Element("Linear", {"features": 10}, key="head")
    Linear(features=10, key='head')
    """

    type: str
    props: Mapping[str, Any] = field(default_factory=Properties)
    children: tuple[Element, ...] = ()
    key: str | None = None
    levels: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type:
            raise ArgumentTypeError(f"element type is {self.type!r}, expected a name")
        if self.key is not None and not isinstance(self.key, str):
            raise ArgumentTypeError(f"{self.type}: key is {self.key!r}, expected a string or None")
        if not isinstance(self.props, Mapping):
            raise ArgumentTypeError(f"{self.type}: props is {self.props!r}, expected a mapping")
        given = self.props
        object.__setattr__(self, "props", given if isinstance(given, Properties) else Properties(given))
        object.__setattr__(self, "children", tuple(self.children))
        self._check_children()
        levels = 1 + max((child.levels for child in self.children), default=0)
        if levels > MOST_LEVELS:
            raise ArgumentError(
                f"{self.type}: the tree is {levels} levels deep, expected at most {MOST_LEVELS}"
            )
        object.__setattr__(self, "levels", levels)

    def _check_children(self) -> None:
        seen: dict[str, int] = {}
        for index, child in enumerate(self.children):
            if not isinstance(child, Element):
                raise ArgumentTypeError(f"{self.type}: child {index} is {child!r}, expected an Element")
            if child.key is None:
                continue
            if child.key in seen:
                raise ArgumentError(
                    f"{self.type}: children {seen[child.key]} and {index} have the key {child.key!r}, "
                    "expected different keys"
                )
            seen[child.key] = index

    def with_(self, **parts: Any) -> Element:
        """Return the element with another ``type``, ``props``, ``children`` or ``key``."""
        fields = {"type": self.type, "props": self.props, "children": self.children, "key": self.key}
        return Element(**{**fields, **parts})

    def at(self, path: Path) -> Element:
        """Return the element at a path; raises ``ArgumentError`` with the place where the path leaves the tree."""
        found = self
        for depth, index in enumerate(path):
            if not 0 <= index < len(found.children):
                raise ArgumentError(
                    f"{place(self, path[:depth])}: child {index} was asked for, expected one of {len(found.children)}"
                )
            found = found.children[index]
        return found

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Element]]:
        """Yield every element with its path, parents first."""
        yield path, self
        for index, child in enumerate(self.children):
            yield from child.walk((*path, index))

    def __repr__(self) -> str:
        parts = [*map(repr, self.children), *(f"{name}={value!r}" for name, value in self.props.items())]
        if self.key is not None:
            parts.append(f"key={self.key!r}")
        return f"{self.type}({', '.join(parts)})"


def place(tree: Element, path: Path) -> str:
    """Return a readable form of a path, for messages: each element's type, and its key or its index.

    >>> place(Element("Sequential", {}, (Element("Linear"), Element("Linear", key="head"))), (1,))
    "Sequential/Linear['head']"
    """
    words, found = [tree.type], tree
    for index in path:
        if not 0 <= index < len(found.children):
            words.append(f"[{index}]")
            break
        found = found.children[index]
        words.append(f"{found.type}[{index if found.key is None else repr(found.key)}]")
    return "/".join(words)
