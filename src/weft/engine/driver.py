"""``Driver``: whose thread steps the scheduler: that of whoever waits for an answer, or one in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from weft.engine.request import Request
from weft.engine.scheduler import Scheduler
from weft.errors import ArgumentError


class Driver:
    """Steps a scheduler while there are requests.

    Whoever iterates over a request steps it, and so answers all others too. Once ``start`` is called, which ``async
    for`` does, a thread in the background does, and iterations wait for it.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._stepping = threading.Lock()
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether no more requests are taken."""
        return self._closed

    def add(self, request: Request) -> None:
        """Hand a request to the scheduler; ``ArgumentError`` after ``close``."""
        with self._arrived:
            if self._closed:
                raise ArgumentError("submit: the engine was closed; load it again")
            self.scheduler.add(request)
            self._arrived.notify()

    def wait(self, request: Request) -> None:
        """Return when the request has something new."""
        if self._thread is not None:
            request.wait()
            return
        with self._stepping:
            if request.pending:
                self.scheduler.step()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no step begin while the caller uses the model itself."""
        with self._stepping:
            yield

    def start(self) -> None:
        """Begin to step in the background."""
        with self._arrived:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="weft-engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End all requests and the thread."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        if self._thread is not None:
            self._thread.join()
        with self._stepping:
            self.scheduler.close()

    def _run(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._closed or not self.scheduler.idle)
                if self._closed:
                    return
            with self._stepping:
                self.scheduler.step()
