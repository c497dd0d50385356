"""Worker threads of a ``DataLoader``: their information, their pools, and the round-robin over streams."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from weft.errors import WorkerTimeoutError
from weft.random import initial_seed

_local = threading.local()


@dataclass(frozen=True)
class WorkerInfo:
    """A worker's number ``id`` among ``num_workers``, its ``seed``, and the dataset, which all threads share."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """Return the ``WorkerInfo`` of the current worker thread, None outside of a worker.

    As ``torch.utils.data.get_worker_info``.

    >>> get_worker_info() is None
    True
    """
    return getattr(_local, "info", None)


class Pool:
    """A pool of ``count`` worker threads with numbers from ``first`` of ``total``; each calls ``prepare`` first."""

    def __init__(
        self, count: int, total: int, dataset: Any, first: int, prepare: Callable[[int], Any] | None
    ) -> None:
        numbers = itertools.count(first)

        def begin() -> None:
            number = next(numbers)
            _local.info = WorkerInfo(number, total, initial_seed() + number, dataset)
            _local.mistake = None
            if prepare is not None:
                try:
                    prepare(number)
                except BaseException as error:
                    _local.mistake = error  # raised in the place of the thread's first batch

        self._threads = ThreadPoolExecutor(count, thread_name_prefix="weft-data", initializer=begin)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call the function in a thread."""
        return self._threads.submit(_call, function, arguments)

    def shutdown(self) -> None:
        """Start no further calls; the threads end after their current calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if _local.mistake is not None:
        raise _local.mistake
    return function(*arguments)


def result_of(future: Future[Any], timeout: float) -> Any:
    """Return the result of a thread; with a ``timeout`` above 0 raise ``WorkerTimeoutError`` after so many seconds."""
    if not timeout:
        return future.result()
    if not wait([future], timeout).done:
        raise WorkerTimeoutError(
            f"DataLoader: a batch took more than timeout={timeout} seconds; look at the dataset, or give more time"
        )
    return future.result()


_END = object()


def take_turns(pools: Sequence[Pool], batches: Callable[[], Iterator[Any]], loader: Any) -> Iterator[Any]:
    """Iterate over the batches of workers round-robin; each worker has an iterator and prefetches from it.

    A worker whose iterator has ended is skipped from then on.
    """
    context = copy_context()  # default device and grad mode hold in the threads
    pending: list[Future[Any]] = []

    def open_stream() -> Iterator[Any]:
        return iter(batches())

    try:
        sources = [pool.submit(context.copy().run, open_stream) for pool in pools]

        def ask(number: int) -> Future[Any]:
            pending.append(
                pools[number].submit(context.copy().run, lambda: next(sources[number].result(), _END))
            )
            return pending[-1]

        ahead = range(loader.prefetch_factor)
        turns = deque((number, deque(ask(number) for _ in ahead)) for number in range(len(pools)))
        while turns:
            number, waiting = turns[0]
            batch = result_of(waiting.popleft(), loader.timeout)
            if batch is _END:
                turns.popleft()
                continue
            pending[:] = [future for future in pending if not future.done()]
            waiting.append(ask(number))
            turns.rotate(-1)
            yield batch
    finally:
        for future in pending:
            future.cancel()
        if not loader.persistent_workers:
            for pool in pools:
                pool.shutdown()
