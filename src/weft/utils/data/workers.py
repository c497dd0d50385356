"""What a worker knows of itself, and how the workers of an iterable dataset take turns."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from weft.random import initial_seed

_local = threading.local()


@dataclass(frozen=True)
class WorkerInfo:
    """A worker's number ``id`` of ``num_workers``, a ``seed`` of its own, and the dataset, which all threads share."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """What the ``DataLoader``'s worker that runs this is; ``None`` outside of one."""
    return getattr(_local, "info", None)


def start_pool(count: int, total: int, dataset: Any, first: int = 0) -> ThreadPoolExecutor:
    """``count`` threads that know that they are workers ``first`` and on of ``total``."""
    numbers = itertools.count(first)

    def begin() -> None:
        number = next(numbers)
        _local.info = WorkerInfo(number, total, initial_seed() + number, dataset)

    return ThreadPoolExecutor(count, thread_name_prefix="weft-data", initializer=begin)


_END = object()


def take_turns(dataset: Any, batches: Callable[[], Iterator[Any]], count: int, ahead: int) -> Iterator[Any]:
    """Batches of ``count`` workers in turn, each from an iterator of its own, ``ahead`` of them prepared by each.

    A worker whose iterator has ended is left out from then on.
    """
    pools = [start_pool(1, count, dataset, first=number) for number in range(count)]
    context = copy_context()  # default device and grad mode hold in threads too

    def first() -> Iterator[Any]:
        return iter(batches())

    try:
        sources = [pool.submit(context.copy().run, first) for pool in pools]

        def ask(number: int) -> Future[Any]:
            return pools[number].submit(context.copy().run, lambda: next(sources[number].result(), _END))

        turns = deque((number, deque(ask(number) for _ in range(ahead))) for number in range(count))
        while turns:
            number, waiting = turns[0]
            batch = waiting.popleft().result()
            if batch is _END:
                turns.popleft()
                continue
            waiting.append(ask(number))
            turns.rotate(-1)
            yield batch
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
