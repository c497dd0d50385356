"""Signals at a safe point: native state and what Python knows of it must not be torn apart by a signal's handler.

``Uninterrupted`` holds handlers back until the end of a block. ``keep_interrupts`` sees to it that Ctrl-C is not lost
where it falls into one of weft's destructors, in which Python prints exceptions and forgets them.
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
    """Return whether a Ctrl-C waits for the end of the ``Uninterrupted`` block around; a long wait in it may stop."""
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
"""The signals whose handlers are held back: those that programs handle in Python."""

_handler = _signal.getsignal  # ``signal.getsignal`` makes an enum of what it gives


class Uninterrupted:
    """A ``with`` block in which signal handlers wait until the end; they run in the main thread, and only it waits.

    Within another such block it does nothing: the outer block holds the signals until its own end. What a handler
    raises leaves the outer block as it is; all handlers run.

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
        handler = next(handler for own, handler in self._previous if own == number)
        self._noted = [
            noted for noted in self._noted if noted[1] != number
        ]  # as the system joins equal signals
        self._noted.append((handler, number, frame))


def _call_all(noted: list[tuple[Handler, int, FrameType | None]]) -> None:
    """Call handlers in the order of their signals, each whatever the others raise."""
    handler, number, frame = noted[0]
    try:
        handler(number, frame)
    finally:
        if len(noted) > 1:
            _call_all(noted[1:])


def keep_interrupts() -> None:
    """Raise a Ctrl-C that falls into a destructor of weft's again behind it; called when a device is opened."""
    if sys.unraisablehook is not _unraisable:
        global _hook_before
        _hook_before = sys.unraisablehook
        sys.unraisablehook = _unraisable


_hook_before: Callable[[sys.UnraisableHookArgs], Any] = sys.__unraisablehook__


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    owner = found.object
    own = (getattr(owner, "__module__", None) or "").startswith("weft.") or isinstance(
        owner, weakref.finalize
    )
    if own and isinstance(found.exc_value, KeyboardInterrupt):
        _thread.start_new_thread(_raise_behind, (threading.main_thread().ident or 0,))
    else:
        _hook_before(found)


def _raise_behind(thread: int) -> None:
    """Raise ``KeyboardInterrupt`` in a thread as soon as it is in no destructor any more."""
    for _ in range(10_000):
        time.sleep(1e-3)
        frame = sys._current_frames().get(thread)
        while frame is not None and frame.f_code.co_name not in ("__del__", "_unraisable", "_callback"):
            frame = frame.f_back
        if frame is None:
            break
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
