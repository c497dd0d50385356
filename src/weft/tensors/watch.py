"""What a trace is told of the Python objects that the traced function uses, so that it knows when they change.

A graph holds what a function did with tensors; which tensors these were, in which mode a module was, which options
an optimizer had, is Python. Whoever owns such facts tells the watcher of the context, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from weft.devices.base import Storage
from weft.errors import UnsupportedError
from weft.ops import interpreter_stack


class Watcher(Protocol):
    """Takes notes during a trace."""

    def made(self, storage: Storage) -> None:
        """A storage was filled from the host: within the trace, a constant."""

    def detached(self, source: Any, made: Any) -> None:
        """A tensor got a second handle, without history."""

    def entered(self, module: Any) -> None:
        """A module is called."""

    def read(self, module: Any, table: str, name: str) -> None:
        """An entry of one of a module's tables was looked up."""

    def depends(self, owner: Any) -> None:
        """What is computed depends on all that ``owner.revision`` counts the changes of, or tells by equality."""

    def looked(self, owner: Any, name: str, value: Any) -> None:
        """An attribute of an object was read, where its class tells."""

    def changing(self, owner: Any, name: str) -> None:
        """An attribute of an object is about to be written or deleted, where its class tells."""

    def afterwards(self, call: Callable[[], None]) -> None:
        """Python is behind what the traced program does: ``call`` is made after each run of it."""


class Retrace(BaseException):
    """Raised in a trace by who had to change the state that it is traced from: it starts again."""


watcher: ContextVar[Watcher | None] = ContextVar("weft_watcher", default=None)


def tracing() -> bool:
    """Whether operations are recorded, or only typed, instead of run."""
    return not interpreter_stack()[0].executes


def refuse_tracing(where: str, instead: str) -> None:
    """``UnsupportedError`` in a traced function, where what ``where`` does would happen once and not at each call."""
    if tracing():
        raise UnsupportedError(
            f"{where}: is called while a function is traced, expected a call outside of it; {instead}"
        )
