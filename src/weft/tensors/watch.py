"""``Watcher``: how a trace learns which Python state the traced function depends on, to know when that changes.

A graph holds the operations on tensors. Which tensors a function used, the mode of a module and the options of an
optimizer are Python state. The objects that own such state report each use to the watcher of the context, if any.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from weft.devices.base import Storage
from weft.errors import UnsupportedError
from weft.ops import interpreter_stack


class Watcher(Protocol):
    """The observer of Python state during a trace."""

    def made(self, storage: Storage) -> None:
        """Note a storage that was filled from the host, which is a constant of the trace."""

    def detached(self, source: Any, made: Any) -> None:
        """Note that ``made`` is ``source`` detached."""

    def entered(self, module: Any) -> None:
        """Note the call of a module."""

    def read(self, module: Any, table: str, name: str) -> None:
        """Note that an entry of a table of a module was read."""

    def depends(self, owner: Any) -> None:
        """Note that the result depends on the state whose changes ``owner.revision`` counts, or whose value it is."""

    def looked(self, owner: Any, name: str, value: Any) -> None:
        """Note that an attribute of an object was read, for classes that report it."""

    def changing(self, owner: Any, name: str) -> None:
        """Note that an attribute of an object is about to be written or deleted, for classes that report it."""

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call ``call`` after each run of the traced program, to update Python state."""


class Retrace(BaseException):
    """Raised in a trace after a change of the state that the trace started from, to restart it."""


watcher: ContextVar[Watcher | None] = ContextVar("weft_watcher", default=None)


def tracing() -> bool:
    """Return whether operations are recorded, or only typed, and not run."""
    return not interpreter_stack()[0].executes


def refuse_tracing(where: str, instead: str) -> None:
    """Raise ``UnsupportedError`` in a traced function, where the effect of ``where`` would not repeat at each call."""
    if tracing():
        raise UnsupportedError(
            f"{where}: is called while a function is traced, expected a call outside of it; {instead}"
        )
