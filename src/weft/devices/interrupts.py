"""Deferred signals: a signal handler's exception must not separate native state from the Python state that tracks it.

``Uninterrupted`` defers handlers to the end of a block. ``keep_interrupts`` raises a Ctrl-C again that arrives in one
of weft's destructors, where Python prints exceptions and drops them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import ctypes
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

Handler = Callable[[int, "FrameType | None"], Any]


def interrupted() -> bool:
    """Return whether a Ctrl-C is deferred by the surrounding ``Uninterrupted`` block, so that a long wait may stop."""
    block = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return isinstance(block, Uninterrupted) and any(number == signal.SIGINT for _, number, _ in block._noted)


_NAMES = (
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGQUIT",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPROF",
    "SIGUSR1",
    "SIGUSR2",
    "SIGBREAK",
)
SIGNALS = tuple(int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name))
"""The signals whose handlers are deferred: those that programs handle in Python."""

_handler = _signal.getsignal  # ``signal.getsignal`` is slower: it converts its result to an enum


class Uninterrupted:
    """A ``with`` block that defers signal handlers to its end. Python runs handlers in the main thread alone.

    A nested block does nothing: the outer block defers the signals until its own end. All deferred handlers run, and
    an exception of a handler leaves the outer block.

    >>> with Uninterrupted():
    ...     pass  # submit a batch
    """

    __slots__ = ("_noted", "_previous")

    def __enter__(self) -> None:
        self._noted: list[tuple[Handler, int, FrameType | None]] = []
        self._previous: list[tuple[int, Handler]] = []
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = _handler(number)
                if callable(handler) and getattr(handler, "__func__", None) is not Uninterrupted._note:
                    self._previous.append((number, handler))
                    signal.signal(number, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)
        if self._noted:
            _call_all(self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        handler = next(handler for signal_, handler in self._previous if signal_ == number)
        others = [
            noted for noted in self._noted if noted[1] != number
        ]  # the system merges equal signals, too
        self._noted = [*others, (handler, number, frame)]


def _call_all(noted: list[tuple[Handler, int, FrameType | None]]) -> None:
    """Call all handlers in the order of their signals, even where some raise."""
    handler, number, frame = noted[0]
    try:
        handler(number, frame)
    finally:
        if len(noted) > 1:
            _call_all(noted[1:])


def keep_interrupts() -> None:
    """Install a hook that raises a Ctrl-C again that arrives in a destructor of weft. Opening a device calls this."""
    if sys.unraisablehook is not _unraisable:
        global _hook_before
        _hook_before = sys.unraisablehook
        sys.unraisablehook = _unraisable


_hook_before: Callable[[sys.UnraisableHookArgs], Any] = sys.__unraisablehook__


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    owner = unraisable.object
    of_weft = (getattr(owner, "__module__", None) or "").startswith("weft.")
    if (of_weft or isinstance(owner, weakref.finalize)) and isinstance(
        unraisable.exc_value, KeyboardInterrupt
    ):
        _thread.start_new_thread(_raise_later, (threading.main_thread().ident or 0,))
    else:
        _hook_before(unraisable)


def _raise_later(thread: int) -> None:
    """Raise ``KeyboardInterrupt`` in a thread as soon as it has left all destructors."""
    for _ in range(10_000):
        time.sleep(1e-3)
        frame = sys._current_frames().get(thread)
        while frame is not None and frame.f_code.co_name not in ("__del__", "_unraisable", "_callback"):
            frame = frame.f_back
        if frame is None:
            break
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
