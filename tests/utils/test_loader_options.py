"""PyTorch's options of ``DataLoader`` beyond order and batches, datasets without a length, and endless samplers."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch.utils.data

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, WorkerTimeoutError
from weft.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    default_convert,
    get_worker_info,
)


class Five(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class Squares(Dataset):
    def __getitem__(self, index: int) -> int:
        return index * index


class Slow(Squares):
    def __getitem__(self, index: int) -> int:
        time.sleep(0.3 if index == 2 else 0)
        return index


def test_streams_without_a_length() -> None:
    loader = DataLoader(Five(), 2)
    assert [batch.tolist() for batch in list(loader)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in tuple(DataLoader(Five(), 2, num_workers=1))] == [[0, 1], [2, 3], [4]]
    for whole in (loader, Five(), Dataset()):
        with pytest.raises(TypeError):
            len(whole)
    with pytest.raises(ArgumentTypeError, match="Five"):
        len(loader)
    assert list(DataLoader(Five(), batch_size=None)) == [0, 1, 2, 3, 4]


def test_progress_bars_of_streams() -> None:
    tqdm = pytest.importorskip("tqdm")
    assert len(list(tqdm.tqdm(DataLoader(Five(), 2), disable=True))) == 3


def test_datasets_without_a_length_take_a_sampler() -> None:
    assert [int(batch) for batch in DataLoader(Squares(), sampler=[3, 1])] == [9, 1]
    with pytest.raises(ArgumentTypeError, match="__len__"):
        DataLoader(Squares())


def test_random_draws_with_replacement_are_made_as_they_go() -> None:
    sampler = RandomSampler(range(10), replacement=True, num_samples=10**10)
    order = iter(sampler)
    drawn = [next(order) for _ in range(1000)]
    assert set(drawn) == set(range(10))
    assert len(sampler) == 10**10
    few = [list(RandomSampler(range(7), True, 50, wf.Generator("cpu").manual_seed(3))) for _ in range(2)]
    assert few[0] == few[1]
    assert len(few[0]) == 50
    assert list(RandomSampler([], replacement=True, num_samples=5)) == []


@pytest.mark.parametrize("streamed", [False, True])
def test_threads_are_prepared(streamed: bool) -> None:
    seen: list[tuple[int, str]] = []

    def prepare(number: int) -> None:
        info = get_worker_info()
        assert info is not None
        assert info.id == number
        seen.append((number, threading.current_thread().name))

    class Own(Dataset):
        def __getitem__(self, index: int) -> int:
            time.sleep(0.01)
            return index

    data, order = (Five(), None) if streamed else (Own(), [0, 1, 2, 3])
    for persistent, rounds in ((False, 2), (True, 1)):
        seen.clear()
        loader = DataLoader(
            data,
            batch_size=1,
            sampler=order,
            num_workers=2,
            worker_init_fn=prepare,
            persistent_workers=persistent,
        )
        for _ in range(2):
            assert len(list(loader)) == (10 if streamed else 4)
        assert sorted(number for number, _ in seen) == sorted([0, 1] * rounds)


def test_what_preparing_a_thread_raises_arrives() -> None:
    def prepare(number: int) -> None:
        raise ZeroDivisionError("in the thread")

    for data in (range(3), Five()):
        with pytest.raises(ZeroDivisionError, match="in the thread"):
            list(DataLoader(data, num_workers=1, worker_init_fn=prepare))


def test_persistent_threads_after_an_early_end() -> None:
    loader = DataLoader(range(20), batch_size=2, num_workers=2, persistent_workers=True)
    for batch in loader:
        assert batch.tolist() == [0, 1]
        break
    assert [batch.tolist() for batch in loader][-1] == [18, 19]


def test_a_batch_that_takes_too_long() -> None:
    with pytest.raises(WorkerTimeoutError, match="timeout"):
        list(DataLoader(Slow(), sampler=[0, 1, 2], num_workers=1, timeout=0.05))
    assert len(list(DataLoader(Slow(), sampler=[0, 1, 2], num_workers=1, timeout=30))) == 3


def test_options_that_change_nothing() -> None:
    options: dict[str, Any] = {"pin_memory": True, "pin_memory_device": "cuda", "in_order": False,
                               "multiprocessing_context": "spawn", "generator": wf.Generator("cpu")}  # fmt: skip
    loader = DataLoader(range(4), 2, num_workers=2, prefetch_factor=3, **options)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"persistent_workers": True}, "persistent_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"num_workers": -1}, "num_workers"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        DataLoader(range(4), **options)
    with pytest.raises(ValueError):  # noqa: PT011  (PyTorch's message is its own)
        torch.utils.data.DataLoader(range(4), **options)  # type: ignore[arg-type]


def test_samples_without_batches_are_converted_as_in_pytorch() -> None:
    samples = [{"x": np.ones(2, "float32"), "n": 3, "s": "a"}, (1, np.arange(2)), [1.5, "b"]]
    for sample in samples:
        ours, theirs = default_convert(sample), torch.utils.data.default_convert(sample)
        assert plain(ours) == plain(theirs)
        assert plain(next(iter(DataLoader([sample], batch_size=None)))) == plain(theirs)


def plain(value: Any) -> Any:
    if isinstance(value, wf.Tensor | torch.Tensor):
        return "tensor", str(value.dtype).rpartition(".")[2], value.tolist()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("how", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_go_on_alike(how: Any) -> None:
    generator = wf.Generator("cpu").manual_seed(5)
    loader = DataLoader(
        range(8), 2, shuffle=True, generator=generator, num_workers=2, persistent_workers=True
    )
    list(loader)
    other = how(loader)
    assert [batch.tolist() for batch in other] == [batch.tolist() for batch in loader]
    assert len(list(how(SubsetRandomSampler([1, 2], generator)))) == 2
