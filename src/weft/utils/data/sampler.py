"""Samplers: the order in which a ``DataLoader`` takes samples. Random samplers use weft's generators on the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy

from weft.errors import ArgumentError, mistake
from weft.ops.registry.arguments import integer
from weft.ops.registry.lazy_fronts import Checked
from weft.random import Generator, randint, randperm
from weft.random.generator import order_generator

DRAWN = 32
"""The number of indices that are drawn at once with replacement, as in PyTorch: a pass may exceed memory."""


def permutation(count: int, generator: Generator | None) -> list[int]:
    """Return 0 to ``count`` - 1 in random order, which depends on the seed only and not on the device."""
    source = generator or order_generator()
    order: list[int] = randperm(count, generator=source, device=source.device).tolist()
    return order


class Sampler(Checked):
    """The base class of samplers: a subclass defines ``__iter__`` over indices, and ``__len__`` if it is known."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(
            f"{type(self).__name__}: __iter__ is not defined, expected the subclass to define it"
        )


class SequentialSampler(Sampler):
    """All indices in order."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """``num_samples`` indices, by default all, in a new random order at each pass; independent with ``replacement``."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        if num_samples is not None and integer("RandomSampler", "num_samples", num_samples) <= 0:
            raise ArgumentError(mistake("RandomSampler", "num_samples", num_samples, "at least 1"))
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """The number of indices of a pass."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        count = len(self.data_source)
        left = self.num_samples if count else 0
        if self.replacement:
            source = self.generator or order_generator()
            while left > 0:
                part = min(left, DRAWN)
                yield from randint(count, (part,), generator=source, device=source.device).tolist()
                left -= part
            return
        while left > 0:
            order = permutation(count, self.generator)[:left]
            left -= len(order)
            yield from order

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in a new random order at each pass."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return (self.indices[place] for place in permutation(len(self.indices), self.generator))

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """``num_samples`` indices drawn with probabilities proportional to ``weights``, with or without replacement.

    As ``torch.utils.data.WeightedRandomSampler``. Without replacement an index is drawn at most once, in the order of
    exponential races (Efraimidis and Spirakis 2006), and ``num_samples`` may be at most the number of weights above 0.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        self.weights = numpy.asarray([float(weight) for weight in weights])
        if self.weights.ndim != 1 or not numpy.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ArgumentError(
                mistake("WeightedRandomSampler", "weights", list(weights), "numbers of 0 or more")
            )
        most = int((self.weights > 0).sum())
        if not most:
            raise ArgumentError(
                mistake("WeightedRandomSampler", "weights", list(weights), "at least one above 0")
            )
        self.num_samples = integer("WeightedRandomSampler", "num_samples", num_samples)
        if self.num_samples <= 0 or (not replacement and self.num_samples > most):
            bound = "at least 1" if replacement else f"from 1 to {most}, without replacement"
            raise ArgumentError(mistake("WeightedRandomSampler", "num_samples", num_samples, bound))
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = self.generator or order_generator()
        count = self.num_samples if self.replacement else len(self.weights)
        # 48 bits, because a float32 draw is too coarse for long lists of weights
        words = randint(1 << 24, (2, count), generator=source, device=source.device).tolist()
        drawn = (numpy.asarray(words[0]) * 2.0**24 + numpy.asarray(words[1]) + 0.5) / 2.0**48
        if self.replacement:
            sums = numpy.cumsum(self.weights)
            last = int(numpy.flatnonzero(self.weights)[-1])
            places = numpy.searchsorted(sums, drawn * sums[-1], side="right").clip(max=last)
            return iter(places.tolist())
        with numpy.errstate(divide="ignore"):
            arrival = -numpy.log(drawn) / self.weights
        order: list[int] = numpy.argsort(arrival, kind="stable")[: self.num_samples].tolist()
        return iter(order)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices of another sampler; the last may be shorter, unless ``drop_last``.

    >>> list(BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if integer("BatchSampler", "batch_size", batch_size) < 1:
            raise ArgumentError(mistake("BatchSampler", "batch_size", batch_size, "at least 1"))
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (1 if rest and not self.drop_last else 0)
