"""Persistent worker threads of a device: they stay in compiled code (``team``), without the interpreter's lock.

One job at a time is split; a second thread that comes meanwhile does its own work alone. What a piece of work
computes does not depend on who does it.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from weft.devices.cpu.team import Team
from weft.errors import ArgumentError


def default_count() -> int:
    """The processors that this process may use, or ``WEFT_THREADS``."""
    text = os.environ.get("WEFT_THREADS")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentError(f"WEFT_THREADS is {text!r}, expected a positive number")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CHUNKS = 4
"""Ranges for each thread of a large job: a thread that comes late, or is held up, leaves its share to the others."""

_PATIENCE = 1.0  # seconds to wait for the end of a thread, which may still be at work


class Workers:
    """``count`` threads, the calling one included; the others start with the first large job."""

    def __init__(self, count: int) -> None:
        self.count = self.most = count
        self._lock = threading.Lock()
        self._team: Team | None = None
        self._threads: list[threading.Thread] = []
        self._end: weakref.finalize[Any, Workers] | None = None
        self._stopped = False

    def limit(self, count: int) -> None:
        """Split jobs from now on among ``count`` threads, or ``most`` where that is fewer."""
        self.count = max(1, min(count, self.most))

    def run(self, entry: Any, buffers: bytes, parameters: bytes, items: int, pieces: int) -> None:
        """``entry(buffers, parameters, low, high)`` for ranges that cover ``items``, at most ``pieces`` of them.

        ``entry`` is a ``ctypes`` function, which threads call at the same time and which raises nothing.
        """
        pieces = min(pieces, items)
        if self.count <= 1 or pieces <= 1 or self._stopped:
            entry(buffers, parameters, 0, items)
            return
        helpers = min(pieces, self.count) - 1
        team = self._team
        if team is None or len(self._threads) < helpers:
            team = self._started(helpers)
        team.spread(entry, buffers, parameters, items, min(pieces, CHUNKS * self.count), helpers)

    def team(self, helpers: int) -> Team | None:
        """The meeting place of the threads, for compiled code that hands out its own jobs; ``None`` without threads."""
        return None if self.count <= 1 or self._stopped else self._started(helpers)

    def _started(self, helpers: int) -> Team:
        """The team, with at least as many threads."""
        with self._lock:
            if self._team is None:
                self._team = Team(self.most)
                self._end = weakref.finalize(self, _ended, self._team, self._threads)
            while len(self._threads) < helpers:
                place = len(self._threads) + 1
                thread = threading.Thread(
                    target=self._team.serve, args=(place,), name=f"weft-cpu-{place}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
            return self._team

    def stop(self) -> None:
        """Let the threads end; what comes after is done by who asks for it."""
        self._stopped = True
        with self._lock:
            if self._end is not None:
                self._end()

    def forget(self) -> None:
        """In a forked child, which has no such threads: leave them, and what they may have locked, alone."""
        self._stopped = True
        if self._end is not None:
            self._end.detach()


def _ended(team: Team, threads: list[threading.Thread]) -> None:
    """At ``stop``, at the end of the process, or once nobody has the workers any more."""
    team.stop()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)
