"""``DataLoader``: iterates over a dataset in batches, optionally prepared ahead by threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops.registry.arguments import integer
from weft.ops.registry.lazy_fronts import Checked
from weft.random import Generator
from weft.utils.data.collate import default_collate, default_convert
from weft.utils.data.dataset import IterableDataset
from weft.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from weft.utils.data.workers import Pool, result_of, take_turns


class DataLoader(Checked):
    """Iterates over a dataset in batches, as ``torch.utils.data.DataLoader``.

    ``dataset`` has ``__getitem__`` and ``__len__``. The order comes from ``shuffle`` with ``generator`` (by default
    seeded by ``manual_seed``, with the same order on every device), a ``sampler``, or a ``batch_sampler``. With
    ``batch_size`` None the loader returns single samples. ``collate_fn`` builds a batch from a list of samples; with
    the default function a dataset with a ``collated(indices)`` method, such as ``TensorDataset``, builds its batches.

    ``num_workers`` threads each prepare up to ``prefetch_factor`` batches ahead. Batches come in order; an error of the
    dataset is raised in the place of its batch. Random numbers that a dataset draws in threads have no fixed order.
    ``worker_init_fn(number)`` is called in each thread when it starts: at each iteration, or once with
    ``persistent_workers``. With a ``timeout`` above 0, a batch that takes more seconds raises ``WorkerTimeoutError``.
    ``pin_memory``, ``pin_memory_device``, ``multiprocessing_context`` and ``in_order`` are accepted without effect:
    uploads are staged anyway, workers are threads, and batches always come in order.

    >>> import weft as wf
    >>> loader = DataLoader(wf.utils.data.TensorDataset(wf.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        streamed = isinstance(dataset, IterableDataset)
        if streamed and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                mistake("DataLoader", "shuffle, sampler or batch_sampler", "given", "none with an IterableDataset",
                        "a stream has its own order")
            )  # fmt: skip
        needed = ["__iter__"] if streamed else ["__getitem__"]
        if not streamed and sampler is None and batch_sampler is None:
            needed.append("__len__")
        if not all(hasattr(dataset, name) for name in needed):
            raise ArgumentTypeError(
                mistake(
                    "DataLoader", "dataset", f"a {type(dataset).__name__}", f"one with {' and '.join(needed)}"
                )
            )
        _check_workers(num_workers, prefetch_factor, persistent_workers, timeout)
        _check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor or 2
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.persistent_workers = persistent_workers
        self._persistent: list[Pool] = []
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = batch_size if batch_sampler is None else None
        self._streamed = streamed
        if streamed:
            self.sampler: Iterable[int] | None = None
            self.batch_sampler: Iterable[list[int]] | None = None
            self.collate_fn = collate_fn or (default_collate if batch_size is not None else default_convert)
            return
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.collate_fn = collate_fn or (default_collate if batch_sampler is not None else default_convert)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles: all except the threads."""
        return {**self.__dict__, "_persistent": []}

    def _pools(self, pools: int, threads: int) -> list[Pool]:
        """Return the thread pools of an iteration: new pools, or the persistent ones."""
        if self._persistent:
            return self._persistent
        created = [
            Pool(threads, self.num_workers, self.dataset, number, self.worker_init_fn)
            for number in range(pools)
        ]
        if self.persistent_workers:
            self._persistent = created
        return created

    def __len__(self) -> int:
        if self._streamed:
            if not hasattr(self.dataset, "__len__"):
                raise ArgumentTypeError(
                    f"len: the DataLoader's dataset {type(self.dataset).__name__} is a stream without a length"
                )
            whole, rest = divmod(len(self.dataset), self.batch_size or 1)
            return whole + (1 if rest and not self.drop_last else 0)
        return len(self._order)  # type: ignore[arg-type]

    @property
    def _order(self) -> Iterable[Any]:
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return order  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        if self._streamed and self.num_workers:
            return take_turns(self._pools(self.num_workers, 1), self._stream, self)
        if self._streamed:
            return self._stream()
        if self.num_workers == 0:
            return map(self._fetch, self._order)
        return self._prefetched()

    def _stream(self) -> Iterator[Any]:
        """Iterate over the batches, or samples, of a stream."""
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, samples)
            return
        while batch := list(itertools.islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def _fetch(self, indices: Any) -> Any:
        """Return a batch, or a sample if batching is off."""
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[indices])
        if self.collate_fn is default_collate and hasattr(self.dataset, "collated"):
            return self.dataset.collated(indices)
        if hasattr(self.dataset, "__getitems__"):
            return self.collate_fn(self.dataset.__getitems__(indices))
        return self.collate_fn([self.dataset[index] for index in indices])

    def _prefetched(self) -> Iterator[Any]:
        """Iterate over batches that threads prepare, in order; ``break`` or Ctrl-C cancels pending batches."""
        order = iter(self._order)
        waiting: deque[Future[Any]] = deque()
        (workers,) = self._pools(1, self.num_workers)

        def ask() -> None:
            for indices in order:
                # in a copy of the caller's context, so that default device and grad mode hold in the thread
                waiting.append(workers.submit(copy_context().run, self._fetch, indices))
                return

        try:
            for _ in range(self.num_workers * self.prefetch_factor):
                ask()
            while waiting:
                batch = result_of(waiting.popleft(), self.timeout)
                ask()
                yield batch
        finally:
            for future in waiting:
                future.cancel()
            if not self.persistent_workers:
                workers.shutdown()


def _check_workers(num_workers: Any, prefetch_factor: Any, persistent_workers: Any, timeout: Any) -> None:
    """Raise ``ArgumentError`` for options of threads that do not fit each other."""
    if integer("DataLoader", "num_workers", num_workers) < 0:
        raise ArgumentError(mistake("DataLoader", "num_workers", num_workers, "0 or more"))
    if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
        raise ArgumentError(
            mistake("DataLoader", "prefetch_factor", prefetch_factor, "at least 1, with num_workers above 0")
        )
    if persistent_workers and num_workers == 0:
        raise ArgumentError(mistake("DataLoader", "persistent_workers", True, "False without num_workers"))
    if not timeout >= 0:
        raise ArgumentError(mistake("DataLoader", "timeout", timeout, "0 or more seconds"))


def _check_order(batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    """Raise ``ArgumentError`` if more than one argument determines the order or the batches."""
    if batch_size is not None and integer("DataLoader", "batch_size", batch_size) < 1:
        raise ArgumentError(mistake("DataLoader", "batch_size", batch_size, "at least 1, or None"))
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ArgumentError(
            mistake(
                "DataLoader",
                "batch_sampler",
                "given with batch_size, shuffle, sampler or drop_last",
                "given alone",
            )
        )
    if sampler is not None and shuffle:
        raise ArgumentError(
            mistake("DataLoader", "shuffle", True, "False with a sampler, which decides the order")
        )
    if batch_size is None and drop_last:
        raise ArgumentError(mistake("DataLoader", "drop_last", True, "False without batches"))
