"""Trees of elements: plain frozen data that component functions make, and the edits from one tree to another.

Flow templates and metatensor layouts are such trees. An element is a type's name, properties, children and
perhaps a key that names it among its siblings; this module knows nothing of what types mean.
"""

from __future__ import annotations

import functools
import inspect
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Union

from weft.errors import ArgumentError, ArgumentTypeError

Path = tuple[int, ...]
"""Where an element stands: child indices from the root, ``()`` for the root itself."""

MOST_LEVELS = 200
"""How deep a tree may be; bounds every recursion, and what a file can make a reader do."""


class Properties(Mapping[str, Any]):
    """An immutable mapping from names to values; lists in it become tuples, mappings ``Properties``.

    Plain values (None, bool, numbers, strings, and these in tuples and mappings) compare by type and value,
    anything else (a tensor, a function) by identity.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        for name in values or ():
            if not isinstance(name, str):
                raise ArgumentTypeError(f"property name is {name!r}, expected a string")
        self._values = {name: _frozen(value) for name, value in (values or {}).items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Properties):
            return NotImplemented
        return self._values.keys() == other._values.keys() and all(
            same(value, other._values[name]) for name, value in self._values.items()
        )

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Properties, (self._values,))


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, Mapping) and not isinstance(value, Properties):
        return Properties(value)
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two property values are the same: ``1``, ``1.0`` and ``True`` are three, NaN is itself."""
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
    """A node of a tree. ``key`` names it among its siblings, where no two may have the same.

    Raises ``ArgumentTypeError`` or ``ArgumentError``, naming the element, for a part that is not what it should be.

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
        object.__setattr__(self, "props", _frozen(self.props))
        object.__setattr__(self, "children", tuple(self.children))
        seen: dict[str, int] = {}
        for index, child in enumerate(self.children):
            if not isinstance(child, Element):
                raise ArgumentTypeError(f"{self.type}: child {index} is {child!r}, expected an Element")
            if child.key is None:
                continue
            if child.key in seen:
                raise ArgumentError(
                    f"{self.type}: children {seen[child.key]} and {index} have the key {child.key!r}, "
                    "expected a key of its own for each"
                )
            seen[child.key] = index
        levels = 1 + max((child.levels for child in self.children), default=0)
        if levels > MOST_LEVELS:
            raise ArgumentError(f"{self.type}: the tree is {levels} levels deep, expected at most {MOST_LEVELS}")
        object.__setattr__(self, "levels", levels)

    def with_(self, **parts: Any) -> Element:
        """The element with other ``type``, ``props``, ``children`` or ``key``."""
        own = {"type": self.type, "props": self.props, "children": self.children, "key": self.key}
        return Element(**{**own, **parts})

    def at(self, path: Path) -> Element:
        """The element at a path; ``ArgumentError`` names the place where the path leaves the tree."""
        found = self
        for depth, index in enumerate(path):
            if not 0 <= index < len(found.children):
                raise ArgumentError(
                    f"{place(self, path[:depth])}: child {index} was asked for, expected one of {len(found.children)}"
                )
            found = found.children[index]
        return found

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Element]]:
        """Every element with its path, parents first."""
        yield path, self
        for index, child in enumerate(self.children):
            yield from child.walk((*path, index))

    def __repr__(self) -> str:
        parts = [*map(repr, self.children), *(f"{name}={value!r}" for name, value in self.props.items())]
        if self.key is not None:
            parts.append(f"key={self.key!r}")
        return f"{self.type}({', '.join(parts)})"


def place(tree: Element, path: Path) -> str:
    """A path in words, for messages: each element's type, and its key or its index.

    >>> place(element("Sequential", element("Linear"), element("Linear", key="head")), (1,))
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


Child = Union[Element, None, Iterable["Child"]]
"""What component functions take for children: elements, and lists of them; None is left out."""


def element(type: str, *children: Child, key: str | None = None, **props: Any) -> Element:
    """An element of a type, children first.

    >>> element("Sequential", [element("Linear", features=n) for n in (8, 4)], None)
    Sequential(Linear(features=8), Linear(features=4))
    """
    return Element(type, Properties(props), tuple(_flat(type, children)), key)


def _flat(owner: str, children: Iterable[Child]) -> Iterator[Element]:
    for child in children:
        if isinstance(child, Element):
            yield child
        elif isinstance(child, Iterable) and not isinstance(child, str | Mapping):
            yield from _flat(owner, child)
        elif child is not None:
            raise ArgumentTypeError(f"{owner}: child is {child!r}, expected an Element, a list of them, or None")


def constructor(
    type: str, *positional: str, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> Callable[..., Element]:
    """A function that makes elements of one type and knows their properties.

    Its first arguments are the ``positional`` properties, which are required, then children. A missing or
    unknown property is an ``ArgumentTypeError``.

    >>> Operation = constructor("Operation", "name", optional=["input"])
    >>> Operation("tensor/relu", key="act")
    Operation(name='tensor/relu', key='act')
    """
    needed = (*positional, *required)
    known = {*needed, *optional}

    def make(*arguments: Any, key: str | None = None, **props: Any) -> Element:
        given = dict(zip(positional, arguments, strict=False))
        for name in props:
            if name not in known:
                raise ArgumentTypeError(f"{type}: property {name!r} was given, expected {', '.join(sorted(known))}")
            if name in given:
                raise ArgumentTypeError(f"{type}: property {name!r} was given twice, expected it once")
        given.update(props)
        missing = [name for name in needed if name not in given]
        if missing:
            raise ArgumentTypeError(f"{type}: property {missing[0]!r} is missing, expected {', '.join(needed)}")
        return element(type, *arguments[len(positional) :], key=key, **given)

    make.__name__ = make.__qualname__ = type
    make.__doc__ = f"An element of type {type}."
    return make


P = ParamSpec("P")


def component(function: Callable[P, Element]) -> Callable[P, Element]:
    """A user's component: a function that returns an element. Its calls take ``key``, which the element gets.

    >>> @component
    ... def Block(width: int) -> Element:
    ...     return element("Sequential", element("Linear", features=width), element("ReLU"))
    >>> Block(8, key="first")
    Sequential(Linear(features=8), ReLU(), key='first')
    """
    takes_key = "key" in inspect.signature(function).parameters

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Element:
        key: Any = None if takes_key else kwargs.pop("key", None)
        made = function(*args, **kwargs)
        if not isinstance(made, Element):
            raise ArgumentTypeError(f"component {function.__name__} returned {made!r}, expected an Element")
        return made if key is None else made.with_(key=key)

    return make


# JSON ------------------------------------------------------------------------------------------------------


def to_json(tree: Element) -> dict[str, Any]:
    """The tree as plain data for ``json.dumps``; ``ArgumentTypeError`` names the property that has no JSON form.

    >>> to_json(element("Linear", features=10, key="head"))
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
        made["children"] = [_to_json(tree, child, (*path, index)) for index, child in enumerate(node.children)]
    if node.key is not None:
        made["key"] = node.key
    return made


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Properties):
        return {name: _plain(item, f"{where}[{name!r}]") for name, item in value.items()}
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ArgumentTypeError(
        f"{where} is {value!r}, expected what JSON has: null, bool, finite number, string, list, object"
    )


def from_json(data: Any) -> Element:
    """The tree that ``to_json`` gave; ``ArgumentTypeError`` or ``ArgumentError`` names the place of a mistake."""
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
        _plain(_frozen(data.get("props", {})), "props")
        return Element(data.get("type", ""), data.get("props", {}), tuple(made), data.get("key"))
    except (ArgumentError, ArgumentTypeError) as error:
        raise type(error)(f"{inner}: {error}") from None


def _named(data: Any) -> str:
    return str(data.get("type", "?")) if isinstance(data, Mapping) else "?"
