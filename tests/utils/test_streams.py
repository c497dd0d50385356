"""Iterable datasets, their workers, and weighted sampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError
from weft.utils.data import (
    ChainDataset,
    DataLoader,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)


class Numbers(IterableDataset):
    """0 to ``count`` - 1; each worker yields its part."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        return iter(range(self.count) if info is None else range(info.id, self.count, info.num_workers))

    def __len__(self) -> int:
        return self.count


class TorchNumbers(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[int]:
        return iter(range(7))


@pytest.mark.parametrize(
    "options", [{"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}, {}]
)
def test_streams_are_batched_as_pytorch_does(options: dict[str, Any]) -> None:
    loader = DataLoader(Numbers(7), **options)
    expected = [numpy.asarray(b).tolist() for b in torch.utils.data.DataLoader(TorchNumbers(), **options)]
    assert [numpy.asarray(batch).tolist() for batch in loader] == expected
    assert len(loader) == len(expected)


def test_workers_take_turns_and_know_their_part() -> None:
    for _ in range(3):
        found = [batch.tolist() for batch in DataLoader(Numbers(11), batch_size=2, num_workers=3)]
        assert found == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8]]
    assert get_worker_info() is None


def test_workers_of_indexed_datasets_have_numbers_too() -> None:
    class Ids(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            info = get_worker_info()
            assert info is not None
            return info.id, info.num_workers, info.seed - wf.random.initial_seed()

        collated = None

    loader = DataLoader(Ids(wf.arange(20)), batch_size=None, num_workers=2)
    assert {tuple(sample) for sample in loader} <= {(0, 2, 0), (1, 2, 1)}


def test_what_a_stream_raises_arrives_in_its_place() -> None:
    class Broken(Numbers):
        def __iter__(self) -> Iterator[int]:
            yield 1
            raise KeyError("broken")

    loader = iter(DataLoader(Broken(3), batch_size=1, num_workers=1))
    assert next(loader).tolist() == [1]
    with pytest.raises(KeyError, match="broken"):
        next(loader)


def test_chains() -> None:
    chain = Numbers(3) + Numbers(2)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 2, 0, 1]
    assert len(chain) == 5
    with pytest.raises(ArgumentTypeError, match=r"datasets\[0\] is a list"):
        ChainDataset([[1, 2]])
    with pytest.raises(ArgumentError, match="none with an IterableDataset"):
        DataLoader(Numbers(3), shuffle=True)


def test_weighted_samples_have_their_frequencies() -> None:
    weights = [0.0, 1.0, 3.0, 0.0, 6.0, 0.0]
    sampler = WeightedRandomSampler(weights, 20000, generator=wf.Generator("cpu").manual_seed(3))
    counts = numpy.bincount(list(sampler), minlength=6) / 20000
    numpy.testing.assert_allclose(counts, numpy.array(weights) / 10, atol=0.012)
    assert list(sampler) != list(sampler)
    assert len(sampler) == 20000


def test_weighted_samples_without_replacement() -> None:
    sampler = WeightedRandomSampler(
        [1, 0, 2, 7], 3, replacement=False, generator=wf.Generator("cpu").manual_seed(0)
    )
    drawn = numpy.array([list(sampler) for _ in range(600)])
    assert (numpy.sort(drawn, 1) == [0, 2, 3]).all()
    assert (drawn[:, 0] == 3).mean() == pytest.approx(0.7, abs=0.06)
    with pytest.raises(ArgumentError, match="num_samples is 4, expected from 1 to 3, without replacement"):
        WeightedRandomSampler([1, 0, 2, 7], 4, replacement=False)
    with pytest.raises(ArgumentError, match="weights is"):
        WeightedRandomSampler([1, -1], 1)
