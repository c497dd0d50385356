"""Fronts of constructors and of a module's functions, each generated at its first call.

The fronts of ``signatures`` are generated source text, which takes time to compile. Functions of the table have fronts
from the start. The front of a layer, an optimizer or an initialisation is generated when a program first calls it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FunctionType
from typing import Any, ClassVar, TypeVar

from weft.errors import ArgumentTypeError, WeftError
from weft.ops.registry.signatures import Front, checked

F = TypeVar("F", bound=Callable[..., Any])

HOME = "weft"
"""The package whose classes get fronts; classes of users get none."""


@dataclass(frozen=True)
class MethodFront(Front):
    """The front of a method or a constructor; errors name the class of the object."""

    uncounted: ClassVar[int] = 1

    def call(self, values: tuple[Any, ...], more: tuple[Any, ...], other: dict[str, Any]) -> Any:
        """Call the body with the arguments in normal form."""
        own = type(values[0]).__name__
        name = own if self.name == "__init__" else f"{own}.{self.name}"
        return Front.call(replace(self, name=name), values, more, other)


def _has_keywords(function: Callable[..., Any]) -> bool:
    """Return whether a function takes any keyword; no front can be generated for it."""
    code: CodeType = inspect.unwrap(function).__code__
    return bool(code.co_flags & inspect.CO_VARKEYWORDS)


def lazily_checked(function: F, *, neutral: tuple[str, ...] = ()) -> F:
    """Return the function behind a front that is generated at the first call.

    >>> def halved(value: "float") -> "float":
    ...     return value / 2
    >>> lazily_checked(halved)(value=3)
    1.5
    """
    made: list[Any] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not made:
            made.append(checked(function, neutral=neutral))
        return made[0](*args, **kwargs)

    return call  # type: ignore[return-value]


def check_functions(home: dict[str, Any]) -> None:
    """Put a front before each public function that a module defines; called at the module's end with ``globals()``."""
    for name, value in list(home.items()):
        own = isinstance(value, FunctionType) and value.__module__ == home["__name__"]
        if own and not name.startswith("_") and not hasattr(value, "front") and not _has_keywords(value):
            home[name] = lazily_checked(value)


def check_method(cls: type, name: str) -> None:
    """Put a front before a method of a class; it is generated, and replaces the method, at the first call."""
    body = cls.__dict__[name]

    @functools.wraps(body)
    def first(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = front_of(cls, name)
        return made(self, *args, **kwargs)

    first.unchecked = body  # type: ignore[attr-defined]
    setattr(cls, name, first)


def front_of(cls: type, name: str = "__init__") -> Any:
    """Return the method of a class with its front, which is generated where this has not happened yet."""
    for owner in cls.__mro__:
        found = owner.__dict__.get(name)
        if found is None:
            continue
        body = getattr(found, "unchecked", None)
        if body is None:
            return found
        made = checked(body, kind=MethodFront)
        setattr(owner, name, made)
        return made
    raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")


MISFITS = (TypeError, ValueError, AttributeError, OverflowError, IndexError)
"""Errors that Python raises in a function's body for arguments of wrong types or values."""


def refuse_misfits(
    where: str, body: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> None:
    """Raise a ``WeftError`` where a method of weft was given arguments that its signature does not take.

    Methods that are called too often for a front call it after they failed. The first of ``arguments`` is the object.
    """
    if body.__module__.partition(".")[0] != HOME or _has_keywords(body):
        return
    given = inspect.signature(body)
    _, *others = given.parameters.values()

    def taken(*args: Any, **kwargs: Any) -> None:
        """Accept the arguments; its front raises where the method does not take one of them."""

    try:
        checked(taken, name=where, signature=given.replace(parameters=others))(*arguments[1:], **keywords)
    except WeftError:
        raise
    except TypeError as error:
        raise ArgumentTypeError(f"{where}: {error}") from None


class Checked:
    """A base class that puts a front before the constructors of its subclasses in weft.

    The constructor of a user's subclass has no front; the arguments that it passes to ``super().__init__`` are checked.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        body = cls.__dict__.get("__init__")
        if cls.__module__.partition(".")[0] != HOME or not isinstance(body, FunctionType):
            return
        if not _has_keywords(body):
            check_method(cls, "__init__")
