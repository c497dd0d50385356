"""Datasets, samplers and ``DataLoader``: order, batches, threads, exceptions; compared with PyTorch where possible."""

from __future__ import annotations

import threading
import time
from collections import namedtuple
from typing import Any

import hypothesis.strategies as st
import numpy
import pytest
import torch
import torch.utils.data
from hypothesis import assume, given

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, UnsupportedError
from weft.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    random_split,
)


class Squares(Dataset):
    """A dataset that builds each sample in the calling thread."""

    def __init__(self, count: int, broken: int | None = None, slow: bool = False) -> None:
        self.count, self.broken, self.slow = count, broken, slow
        self.threads: set[str] = set()
        self.taken: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, int]:
        self.threads.add(threading.current_thread().name)
        self.taken.append(index)
        if index == self.broken:
            raise KeyError(f"no sample {index}")
        if self.slow and index % 3 == 0:
            time.sleep(0.01)  # so that later batches are ready before earlier ones
        return index, index * index


def digits(device: str) -> TensorDataset:
    return TensorDataset(
        wf.arange(40.0, device=device).reshape(10, 2, 2),
        wf.arange(10, device=device),
        wf.arange(10, device=device) > 4,
    )


@given(st.integers(0, 12), st.integers(1, 5), st.booleans())
def test_batches_are_pytorchs(count: int, size: int, drop: bool) -> None:
    data = Squares(count)
    ours = DataLoader(data, size, drop_last=drop)
    theirs = torch.utils.data.DataLoader(data, size, drop_last=drop)
    assert len(ours) == len(theirs)
    assert [[part.tolist() for part in batch] for batch in ours] == [
        [p.tolist() for p in batch] for batch in theirs
    ]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_are_threads_and_keep_the_order(workers: int) -> None:
    data = Squares(25, slow=True)
    loader = DataLoader(data, 2, num_workers=workers)
    for _ in range(2):
        assert [i for first, _ in loader for i in first.tolist()] == list(range(25))
    names = {name for name in data.threads if name.startswith("weft-data")}
    assert bool(names) == bool(workers)


def test_workers_look_only_so_far_ahead() -> None:
    data = Squares(100)
    iterator = iter(DataLoader(data, 1, num_workers=2, prefetch_factor=3))
    next(iterator)
    time.sleep(0.05)
    assert len(data.taken) <= 1 + 2 * 3
    iterator.close()
    time.sleep(0.02)
    taken = len(data.taken)
    time.sleep(0.05)
    assert len(data.taken) == taken


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_dataset_raises_is_raised_at_its_place(workers: int) -> None:
    seen = []
    with pytest.raises(KeyError, match="no sample 5"):
        for first, _ in DataLoader(Squares(10, broken=5), 2, num_workers=workers):
            seen.append(first.tolist())
    assert seen == [[0, 1], [2, 3]]


def test_an_interrupt_ends_the_workers() -> None:
    data = Squares(1000, slow=True)
    with pytest.raises(KeyboardInterrupt):
        for first, _ in DataLoader(data, 1, num_workers=2):
            if first.item() == 4:
                raise KeyboardInterrupt
    time.sleep(0.05)
    taken = len(data.taken)
    time.sleep(0.05)
    assert len(data.taken) == taken < 20


def test_threads_have_the_callers_context(device: Device) -> None:
    seen: list[tuple[str, bool]] = []

    class Asks(Squares):
        def __getitem__(self, index: int) -> tuple[int, int]:
            seen.append((str(wf.get_default_device()), wf.is_grad_enabled()))
            return super().__getitem__(index)

    with wf.devices.using(device.name), wf.no_grad():
        batches = list(DataLoader(Asks(4), 2, num_workers=2))
    assert set(seen) == {(device.name, False)}
    assert batches[0][0].device == device.name


@pytest.mark.parametrize("workers", [0, 2])
def test_a_seed_gives_one_order_on_every_device(workers: int, device: Device) -> None:
    def order(name: str) -> list[list[int]]:
        wf.manual_seed(3)
        wf.rand(100, device=name)  # draws on the model's device do not affect the order
        loader = DataLoader(digits(name), 4, shuffle=True, num_workers=workers)
        return [batch[1].tolist() for _ in range(2) for batch in loader]

    here = order(device.name)
    wf.rand(7, device="cpu")
    assert here == order("cpu")
    assert sorted(i for batch in here[:3] for i in batch) == list(range(10))
    assert here[:3] != here[3:]
    with_own = [
        [
            b[1].tolist()
            for b in DataLoader(
                digits(device.name), 4, shuffle=True, generator=wf.Generator(name).manual_seed(1)
            )
        ]
        for name in (device.name, "cpu")
    ]
    assert with_own[0] == with_own[1]


def test_tensor_datasets_gather_whole_batches(device: Device) -> None:
    data = digits(device.name)
    rows = [3, 9, 0, 3, -1]
    gathered = data.collated(rows)
    one_by_one = default_collate([data[row] for row in rows])
    for fast, slow in zip(gathered, one_by_one, strict=True):
        assert fast.dtype is slow.dtype
        assert fast.device == device.name
        numpy.testing.assert_array_equal(fast.numpy(), slow.numpy())
    loader = DataLoader(Subset(data, [5, 6, 7]), batch_sampler=[[2, 0], [1]])
    next(iter(loader))
    before = device.memory_stats().dispatches
    assert [batch[1].tolist() for batch in loader] == [[7, 5], [6]]
    assert device.memory_stats().dispatches - before == 2 * 3
    with pytest.raises(IndexOutOfRangeError, match=r"TensorDataset: index is 10, expected in \[-10, 9\]"):
        data.collated([0, 10])
    with pytest.raises(IndexOutOfRangeError, match=r"Subset: index is 3, expected in \[-3, 2\]"):
        Subset(data, [5, 6, 7])[3]


def test_gradients_reach_a_dataset_through_its_batches(device: Device) -> None:
    table = wf.nn.Parameter(wf.arange(8.0, device=device.name).reshape(4, 2))
    (batch,) = next(iter(DataLoader(TensorDataset(table), batch_sampler=[[1, 1, 3]])))
    (batch * batch).sum().backward()
    assert table.grad.tolist() == [[0, 0], [8, 12], [0, 0], [12, 14]]


def test_samples_without_batches_and_other_collations() -> None:
    assert list(DataLoader(Squares(3), batch_size=None)) == [[0, 0], [1, 1], [2, 4]]  # lists, as in PyTorch
    assert list(DataLoader(Squares(3), 2, collate_fn=list)) == [[(0, 0), (1, 1)], [(2, 4)]]
    assert list(DataLoader(Squares(4), sampler=[3, 1], batch_size=2, collate_fn=list)) == [[(3, 9), (1, 1)]]

    class Together(Squares):
        def __getitems__(self, indices: list[int]) -> list[tuple[int, int]]:
            return [(index, -index) for index in indices]

    assert list(DataLoader(Together(2), 2, collate_fn=list)) == [[(0, 0), (1, -1)]]


Point = namedtuple("Point", "x y")


def test_collation_is_pytorchs() -> None:
    samples: list[Any] = [
        {"a": 1.5, "b": [numpy.float32(1), "x"], "c": Point(True, numpy.ones(2, "float32"))},
        {"a": 2.5, "b": [numpy.float32(2), "y"], "c": Point(False, numpy.zeros(2, "float32"))},
    ]
    ours, theirs = default_collate(samples), torch.utils.data.default_collate(samples)
    assert ours["a"].tolist() == theirs["a"].tolist()
    assert [ours["b"][0].tolist(), ours["b"][1]] == [theirs["b"][0].tolist(), list(theirs["b"][1])]
    assert isinstance(ours["c"], Point)
    assert ours["c"].x.dtype is wf.bool
    numpy.testing.assert_array_equal(ours["c"].y.numpy(), theirs["c"].y.numpy())
    stacked = default_collate([wf.ones(2), wf.zeros(2)])
    assert stacked.tolist() == [[1, 1], [0, 0]]


def test_samplers() -> None:
    wf.manual_seed(0)
    assert list(SequentialSampler(range(3))) == [0, 1, 2]
    assert sorted(RandomSampler(range(5))) == [0, 1, 2, 3, 4]
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=50))
    assert len(drawn) == 50
    assert set(drawn) == {0, 1, 2}
    longer = list(RandomSampler(range(3), num_samples=7))
    assert sorted(longer[:3]) == sorted(longer[3:6]) == [0, 1, 2]
    assert len(longer) == 7
    assert sorted(SubsetRandomSampler([7, 8, 9])) == [7, 8, 9]
    assert len(BatchSampler(range(7), 3, True)) == len(list(BatchSampler(range(7), 3, True))) == 2


@pytest.mark.filterwarnings("ignore:Length of split")
@given(st.integers(1, 30), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_random_split_cuts_as_pytorch_does(count: int, weights: list[int]) -> None:
    fractions = [weight / sum(weights) for weight in weights]
    assume(sum(fractions) <= 1)  # PyTorch takes a sum that rounding puts above 1 for no fractions
    parts = random_split(range(count), fractions, generator=wf.Generator("cpu").manual_seed(0))
    expected = torch.utils.data.random_split(range(count), fractions)
    assert [len(part) for part in parts] == [len(part) for part in expected]
    assert sorted(index for part in parts for index in part.indices) == list(range(count))


def test_concatenation() -> None:
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset)
    assert [both[index][0] for index in range(-5, 5)] == [0, 1, 2, 0, 1] * 2
    with pytest.raises(IndexOutOfRangeError, match=r"ConcatDataset: index is 5, expected in \[-5, 4\]"):
        both[5]


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: DataLoader(3), ArgumentTypeError, "dataset is a int, expected one with __getitem__"),
        (lambda: DataLoader([1], 0), ArgumentError, "batch_size is 0, expected at least 1, or None"),
        (lambda: DataLoader([1], num_workers=-1), ArgumentError, "num_workers is -1, expected 0 or more"),
        (
            lambda: DataLoader([1], prefetch_factor=2),
            ArgumentError,
            "prefetch_factor is 2, expected at least 1, with",
        ),
        (
            lambda: DataLoader([1], sampler=[0], shuffle=True),
            ArgumentError,
            "shuffle is True, expected False with a sampler",
        ),
        (
            lambda: DataLoader([1], batch_sampler=[[0]], shuffle=True),
            ArgumentError,
            "batch_sampler is given with",
        ),
        (
            lambda: DataLoader([1], batch_size=None, drop_last=True),
            ArgumentError,
            "drop_last is True, expected False",
        ),
        (
            lambda: TensorDataset(wf.ones(2), wf.ones(3)),
            ArgumentError,
            r"of lengths \[2, 3\], expected of one length",
        ),
        (lambda: TensorDataset(wf.tensor(1.0)), ArgumentTypeError, "expected tensors of 1 dimension or more"),
        (lambda: random_split(range(3), [1, 1]), ArgumentError, "2 in all, expected the dataset's length, 3"),
        (
            lambda: random_split(range(3), [0.5, 0.2]),
            ArgumentError,
            "whole numbers, or fractions that add up to 1",
        ),
        (lambda: RandomSampler([1], num_samples=0), ArgumentError, "num_samples is 0, expected at least 1"),
        (lambda: default_collate([]), ArgumentError, "batch is empty"),
        (
            lambda: default_collate([object()]),
            ArgumentTypeError,
            "a sample is a object, expected tensors, arrays",
        ),
        (
            lambda: default_collate([[1], [1, 2]]),
            ArgumentError,
            r"of lengths \[1, 2\], expected of one length",
        ),
        (lambda: default_collate([numpy.ones(1), numpy.ones(2)]), ArgumentError, "expected of one shape"),
        (lambda: Dataset()[0], UnsupportedError, "__getitem__ is not defined"),
    ],
)
def test_mistakes_are_named(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [([1, 2], wf.int64), ([1, 2.5], wf.float32), ([True, False], wf.bool), ([True, 2], wf.int64)],
)
def test_numbers_are_collated_together(numbers: list[Any], dtype: Any) -> None:
    made = wf.utils.data.default_collate(numbers)
    assert made.dtype is dtype
    assert made.tolist() == numbers
