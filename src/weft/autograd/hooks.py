"""Hooks on tensors: functions that are called with a gradient in the backward pass, and may replace it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from weft.errors import ArgumentTypeError, ShapeError, mistake

Hook = Callable[[Any], Any]

_numbers = itertools.count()


class RemovableHandle:
    """The handle of a registered hook: ``remove()`` unregisters the hook; as a context, at its end."""

    def __init__(self, table: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self.id = next(_numbers)
        self._table = table
        others = dict(table) if prepend else {}
        if prepend:
            table.clear()
        table[self.id] = hook
        table.update(others)

    def remove(self) -> None:
        """Unregister the hook; a second call does nothing."""
        self._table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class LeafHooks:
    """The hooks of a leaf: ``before`` on the gradient, ``after`` once the gradient was added to ``.grad``."""

    __slots__ = ("after", "before")

    def __init__(self) -> None:
        self.before: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}


def checked(where: str, hook: Any) -> Hook:
    """Return the hook; ``ArgumentTypeError`` where it is no function."""
    if not callable(hook):
        raise ArgumentTypeError(mistake(where, "hook", f"a {type(hook).__name__}", "a function"))
    function: Hook = hook
    return function


def run_hooks(hooks: dict[int, Hook], value: Any) -> Any:
    """Return the gradient after all hooks; ``ShapeError`` for a replacement of another shape."""
    for hook in list(hooks.values()):
        result = hook(value)
        if result is None:
            continue
        if not isinstance(result, type(value)):
            raise ArgumentTypeError(
                mistake(
                    "register_hook", "what the hook gives", f"a {type(result).__name__}", "a tensor or None"
                )
            )
        if (result.shape, result.dtype) != (value.shape, value.dtype):
            raise ShapeError(
                mistake("register_hook", "what the hook gives", f"{result.dtype.name}{list(result.shape)}",
                        f"{value.dtype.name}{list(value.shape)}, as the gradient")
            )  # fmt: skip
        value = result
    return value
