"""Persistent worker threads that enter compiled code, which runs without the interpreter's lock.

One job at a time is split; a second thread that comes meanwhile does its own work alone. What a piece of work
computes does not depend on who does it.
"""

from __future__ import annotations

import itertools
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


CHUNKS = 4
"""Ranges for each thread of a large job: a thread that comes late, or is held up, leaves its share to the others."""


class _Job:
    """Ranges that threads take one after another; each thread that joins the caller gives ``done`` an outcome."""

    def __init__(self, piece: Piece, items: int, ranges: int) -> None:
        self.piece = piece
        self.bounds = [_rounded(items * number // ranges, items) for number in range(ranges + 1)]
        self.next = itertools.count()  # each number goes to one thread
        self.joined: list[None] = []
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def take(self) -> tuple[int, int] | None:
        """A range that nobody has taken yet."""
        number = next(self.next)
        return (self.bounds[number], self.bounds[number + 1]) if number < len(self.bounds) - 1 else None


class Workers:
    """``count`` threads, the calling one included; the others start with the first large job."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._busy = threading.Lock()
        self._queues: list[SimpleQueue[_Job | None]] = []

    def run(self, piece: Piece, items: int, pieces: int) -> None:
        """``piece(lo, hi)`` for ranges that cover ``items``, at most ``pieces`` of them."""
        pieces = min(pieces, items)
        if self.count <= 1 or pieces <= 1 or not self._busy.acquire(blocking=False):
            piece(0, items)
            return
        try:
            self._split(_Job(piece, items, min(pieces, CHUNKS * self.count)), min(pieces, self.count))
        finally:
            self._busy.release()

    def _split(self, job: _Job, threads: int) -> None:
        while len(self._queues) < threads - 1:
            self._start()
        for queue in self._queues[: threads - 1]:
            queue.put(job)
        failure: BaseException | None = None
        try:
            while (taken := job.take()) is not None:
                job.piece(*taken)
        finally:
            while job.take() is not None:
                pass  # after an error nobody begins another range
            for _ in range(len(job.joined)):  # who joins from now on finds nothing to do
                failure = self._wait(job) or failure
        if failure is not None:
            raise failure

    def _wait(self, job: _Job) -> BaseException | None:
        """The outcome of a thread; an interrupt is delivered only once no thread writes to the job's memory."""
        interrupt: BaseException | None = None
        while True:
            try:
                outcome = job.done.get()
            except KeyboardInterrupt as error:
                interrupt = error
                continue
            return interrupt or outcome

    def _start(self) -> None:
        queue: SimpleQueue[_Job | None] = SimpleQueue()
        thread = threading.Thread(
            target=self._serve, args=(queue,), name=f"weft-cpu-{len(self._queues) + 1}", daemon=True
        )
        thread.start()
        self._queues.append(queue)

    def _serve(self, queue: SimpleQueue[_Job | None]) -> None:
        while (job := queue.get()) is not None:
            job.joined.append(None)  # before the first range: the caller waits for whom it finds here
            try:
                while (taken := job.take()) is not None:
                    job.piece(*taken)
            except BaseException as error:  # handed to the thread that waits
                job.done.put(error)
            else:
                job.done.put(None)
            del job

    def stop(self) -> None:
        """Let the threads end."""
        with self._busy:
            for queue in self._queues:
                queue.put(None)
            self._queues.clear()


def _rounded(bound: int, items: int) -> int:
    """A boundary between pieces; large ones at multiples of 64 items, so that pieces share no cache line."""
    return bound if bound == items or items < 1024 else bound // 64 * 64
