"""Functions that make elements: of any type, of a type with declared properties, and user components."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec

from weft.elements.tree import Element, Properties
from weft.errors import ArgumentTypeError

Child = Element | None | Iterable["Child"]
"""A child argument of a component function: an element, a (nested) list of elements, or None for no child."""


def element(type: str, *children: Child, key: str | None = None, **props: Any) -> Element:
    """Return an element of a type. The arguments are its children; keyword arguments are its properties.

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
            raise ArgumentTypeError(
                f"{owner}: child is {child!r}, expected an Element, a list of them, or None"
            )


def constructor(
    type: str, *positional: str, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> Callable[..., Element]:
    """Return a function that makes elements of a type with declared properties.

    The function's first arguments are the ``positional`` properties, which are required; children follow. It raises
    ``ArgumentTypeError`` for a missing or unknown property.

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
                raise ArgumentTypeError(
                    f"{type}: property {name!r} was given, expected {', '.join(sorted(known))}"
                )
            if name in given:
                raise ArgumentTypeError(f"{type}: property {name!r} was given twice, expected it once")
        given.update(props)
        missing = [name for name in needed if name not in given]
        if missing:
            raise ArgumentTypeError(
                f"{type}: property {missing[0]!r} is missing, expected {', '.join(needed)}"
            )
        return element(type, *arguments[len(positional) :], key=key, **given)

    make.__name__ = make.__qualname__ = type
    make.__doc__ = f"An element of type {type}."
    return make


P = ParamSpec("P")


def component(function: Callable[P, Element]) -> Callable[P, Element]:
    """Decorate a user component, a function that returns an element: calls accept ``key``, the element's key.

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
