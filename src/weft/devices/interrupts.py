"""Ctrl-C at a safe point: native state and what Python knows of it must not be torn apart by an interrupt."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


def interrupted() -> bool:
    """Return whether a Ctrl-C waits for the end of the ``Uninterrupted`` block around; a long wait in it may stop."""
    block = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return isinstance(block, Uninterrupted) and block._noted is not None


class Uninterrupted:
    """A ``with`` block in which Ctrl-C waits until the end; other threads than the main one never get it.

    Within another such block it does nothing: the outer one holds the interrupt until its own end.

    >>> with Uninterrupted():
    ...     pass  # submit a batch
    """

    __slots__ = ("_noted", "_previous")

    def __enter__(self) -> None:
        self._noted: tuple[int, FrameType | None] | None = None
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous) and getattr(previous, "__func__", None) is not Uninterrupted._note:
                self._previous = previous
                signal.signal(signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            if self._noted is not None:
                self._previous(*self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = (number, frame)
