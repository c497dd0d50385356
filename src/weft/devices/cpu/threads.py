"""Persistent worker threads that enter compiled code, which runs without the interpreter's lock.

One job at a time is split; a second thread that comes meanwhile does its own work alone. What a piece of work
computes does not depend on who does it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from weft.errors import ArgumentError

Piece = Callable[[int, int], None]


def default_count() -> int:
    """The processors that this process may use, or ``WEFT_THREADS``."""
    text = os.environ.get("WEFT_THREADS")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentError(f"WEFT_THREADS is {text!r}, expected a positive number")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """``count`` threads, the calling one included; the others start with the first large job."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._busy = threading.Lock()
        self._queues: list[SimpleQueue[tuple[Piece, int, int] | None]] = []
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self, piece: Piece, items: int, pieces: int) -> None:
        """``piece(lo, hi)`` for ranges that cover ``items``, at most ``pieces`` of them at a time."""
        pieces = min(pieces, self.count, items)
        if pieces <= 1 or not self._busy.acquire(blocking=False):
            piece(0, items)
            return
        try:
            self._split(piece, items, pieces)
        finally:
            self._busy.release()

    def _split(self, piece: Piece, items: int, pieces: int) -> None:
        while len(self._queues) < pieces - 1:
            self._start()
        bounds = [_rounded(items * number // pieces, items) for number in range(pieces + 1)]
        for number in range(1, pieces):
            self._queues[number - 1].put((piece, bounds[number], bounds[number + 1]))
        failure: BaseException | None = None
        try:
            piece(0, bounds[1])
        finally:
            for _ in range(pieces - 1):
                failure = self._wait() or failure
        if failure is not None:
            raise failure

    def _wait(self) -> BaseException | None:
        """The outcome of a piece; an interrupt is delivered only once no thread writes to the job's memory."""
        interrupt: BaseException | None = None
        while True:
            try:
                outcome = self._done.get()
            except KeyboardInterrupt as error:
                interrupt = error
                continue
            return interrupt or outcome

    def _start(self) -> None:
        queue: SimpleQueue[tuple[Piece, int, int] | None] = SimpleQueue()
        thread = threading.Thread(
            target=self._serve, args=(queue,), name=f"weft-cpu-{len(self._queues) + 1}", daemon=True
        )
        thread.start()
        self._queues.append(queue)

    def _serve(self, queue: SimpleQueue[tuple[Piece, int, int] | None]) -> None:
        while True:
            job = queue.get()
            if job is None:
                return
            piece, low, high = job
            try:
                piece(low, high)
            except BaseException as error:  # handed to the thread that waits
                self._done.put(error)
            else:
                self._done.put(None)
            del job, piece

    def stop(self) -> None:
        """Let the threads end."""
        with self._busy:
            for queue in self._queues:
                queue.put(None)
            self._queues.clear()


def _rounded(bound: int, items: int) -> int:
    """A boundary between pieces; large ones at multiples of 64 items, so that pieces share no cache line."""
    return bound if bound == items or items < 1024 else bound // 64 * 64
