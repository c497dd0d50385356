"""``Workers``: the thread pool of a ``cpu`` device. Its threads stay in compiled code, without the interpreter lock.

The pool runs one job at a time; a second caller runs its own job alone meanwhile. The result of a work item does not
depend on the thread that computes it.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from weft.devices.cpu.team import Team
from weft.errors import ArgumentError


def default_count() -> int:
    """Return ``WEFT_THREADS``, or the number of processors that this process may use."""
    text = os.environ.get("WEFT_THREADS")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentError(f"WEFT_THREADS is {text!r}, expected a positive number")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CHUNKS = 4
"""Ranges for each thread of a large job, so that others can take over the share of a thread that is delayed."""

_PATIENCE = 1.0  # seconds to wait for the end of a thread, which may still run a job


class Workers:
    """A pool of ``count`` threads, the caller included; the other threads start with the first large job."""

    def __init__(self, count: int) -> None:
        self.count = self.most = count
        self._lock = threading.Lock()
        self._team: Team | None = None
        self._threads: list[threading.Thread] = []
        self._end: weakref.finalize[Any, Workers] | None = None
        self._stopped = False

    def limit(self, count: int) -> None:
        """Distribute later jobs over ``count`` threads, at most ``most``."""
        self.count = max(1, min(count, self.most))

    def run(self, entry: Any, buffers: bytes, parameters: bytes, items: int, pieces: int) -> None:
        """Call ``entry(buffers, parameters, low, high)`` for at most ``pieces`` ranges that together cover ``items``.

        ``entry`` is a thread-safe ``ctypes`` function that raises nothing.
        """
        pieces = min(pieces, items)
        if self.count <= 1 or pieces <= 1 or self._stopped:
            entry(buffers, parameters, 0, items)
            return
        helpers = min(pieces, self.count) - 1
        team = self._team
        if team is None or len(self._threads) < helpers:
            team = self._start(helpers)
        team.spread(entry, buffers, parameters, items, min(pieces, CHUNKS * self.count), helpers)

    def team(self, helpers: int) -> Team | None:
        """Return the team, for compiled code that starts its own jobs; ``None`` where there is a single thread."""
        return None if self.count <= 1 or self._stopped else self._start(helpers)

    def _start(self, helpers: int) -> Team:
        """Return the team, with at least ``helpers`` serving threads."""
        with self._lock:
            if self._team is None:
                self._team = Team(self.most)
                self._end = weakref.finalize(self, _finish, self._team, self._threads)
            while len(self._threads) < helpers:
                place = len(self._threads) + 1
                thread = threading.Thread(
                    target=self._team.serve, args=(place,), name=f"weft-cpu-{place}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
            return self._team

    def stop(self) -> None:
        """End the threads; later jobs run on their callers' threads."""
        self._stopped = True
        with self._lock:
            if self._end is not None:
                self._end()

    def forget(self) -> None:
        """Abandon the threads in a forked child, which does not have them, and the locks that they may hold."""
        self._stopped = True
        if self._end is not None:
            self._end.detach()


def _finish(team: Team, threads: list[threading.Thread]) -> None:
    """End the threads of a pool: at ``stop``, at the end of the process, or when the ``Workers`` are garbage."""
    team.stop()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)
