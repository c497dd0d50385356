"""Datasets: samples by index (``Dataset``) or as a stream (``IterableDataset``)."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, UnsupportedError, mistake
from weft.ops import FUNCTIONS
from weft.ops.registry.lazy_fronts import Checked, lazily_checked
from weft.random import Generator
from weft.tensors.tensor import Tensor, tensor
from weft.utils.data.sampler import permutation


class Dataset(Checked):
    """The base class of datasets with samples by index: a subclass defines ``__getitem__`` and usually ``__len__``.

    A subclass that can build a batch faster than sample by sample also defines ``collated(indices)``, which returns the
    result of ``default_collate``, or, as in PyTorch, ``__getitems__(indices)``, which returns the samples.

    >>> import weft as wf
    >>> class Squares(wf.utils.data.Dataset):
    ...     def __getitem__(self, index):
    ...         return index**2
    ...     def __len__(self):
    ...         return 4
    >>> [batch.tolist() for batch in wf.utils.data.DataLoader(Squares(), batch_size=2)]
    [[0, 1], [4, 9]]
    """

    def __getitem__(self, index: int) -> Any:
        raise UnsupportedError(
            f"{type(self).__name__}: __getitem__ is not defined, expected the subclass to define it"
        )

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


def checked(where: str, index: int, count: int) -> int:
    """Return an index, which may count from the end, as a position; raise ``IndexOutOfRangeError`` outside."""
    if not -count <= index < count:
        raise IndexOutOfRangeError(mistake(where, "index", index, f"in [{-count}, {count - 1}]"))
    return index % count


class TensorDataset(Dataset):
    """The rows of tensors of equal length: sample i is the i-th row of each tensor; a batch is one gather of each.

    >>> import weft as wf
    >>> data = TensorDataset(wf.arange(6.0).reshape(3, 2), wf.tensor([7, 8, 9]))
    >>> data[1]
    (tensor([2., 3.]), tensor(8))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors or not all(isinstance(tensor, Tensor) and tensor.ndim for tensor in tensors):
            raise ArgumentTypeError(
                mistake(
                    "TensorDataset",
                    "tensors",
                    [type(tensor).__name__ for tensor in tensors],
                    "tensors of 1 dimension or more",
                )
            )
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) > 1:
            raise ArgumentError(mistake("TensorDataset", "tensors", f"of lengths {lengths}", "of one length"))
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def collated(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the rows at ``indices`` of each tensor, gathered on its device."""
        rows = [checked("TensorDataset", index, len(self)) for index in indices]
        places: dict[str, Tensor] = {}
        for source in self.tensors:
            if str(source.device) not in places:
                places[str(source.device)] = tensor(rows, device=str(source.device))
        select = FUNCTIONS["index_select"].function
        return [select(source, 0, places[str(source.device)]) for source in self.tensors]


class Subset(Dataset):
    """The samples of a dataset at some indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[checked("Subset", index, len(self))]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getattr__(self, name: str) -> Any:
        """Provide ``collated`` if the dataset has it."""
        if name == "collated" and hasattr(self.__dict__.get("dataset"), "collated"):
            return lambda indices: self.dataset.collated(
                [self.indices[checked("Subset", i, len(self))] for i in indices]
            )
        raise AttributeError(f"'Subset' object has no attribute {name!r}")


class ConcatDataset(Dataset):
    """The concatenation of datasets.

    >>> list(ConcatDataset([[1, 2], [3]]))
    [1, 2, 3]
    """

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError(mistake("ConcatDataset", "datasets", "empty", "at least one dataset"))
        for position, dataset in enumerate(self.datasets):
            if not hasattr(dataset, "__len__"):
                given = f"a {type(dataset).__name__}"
                raise ArgumentTypeError(
                    mistake("ConcatDataset", f"datasets[{position}]", given, "a dataset with a length")
                )
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        place = checked("ConcatDataset", index, len(self))
        which = bisect.bisect_right(self.cumulative_sizes, place)
        return self.datasets[which][place - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class IterableDataset(Dataset):
    """The base class of datasets that are streams of samples: a subclass defines ``__iter__``.

    A stream cannot be shuffled and needs no length. Each worker iterates over the whole stream, unless ``__iter__``
    selects the worker's part by ``get_worker_info()``.
    """

    def __iter__(self) -> Iterator[Any]:
        raise UnsupportedError(
            f"{type(self).__name__}: __iter__ is not defined, expected the subclass to define it"
        )

    def __add__(self, other: Any) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """The concatenation of iterable datasets."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for position, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise ArgumentTypeError(
                    mistake("ChainDataset", f"datasets[{position}]", f"a {type(dataset).__name__}",
                            "an IterableDataset", "use ConcatDataset for others")
                )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


@lazily_checked
def random_split(
    dataset: Sized, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Split a dataset into random parts of the given lengths, or of fractions that add up to 1.

    As in PyTorch, fractions are rounded down, and the remaining samples are distributed round-robin. Raises
    ``ArgumentError`` for lengths that do not add up to the dataset's length.

    >>> import weft as wf
    >>> parts = random_split(list(range(10)), [0.75, 0.25], generator=wf.Generator("cpu").manual_seed(0))
    >>> [len(part) for part in parts], sorted([*parts[0], *parts[1]])
    ([8, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    count = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9 and all(0 <= part <= 1 for part in lengths):
        sizes = [math.floor(count * part) for part in lengths]
        for extra in range(count - sum(sizes)):
            sizes[extra % len(sizes)] += 1
    elif all(isinstance(part, int) and part >= 0 for part in lengths):
        sizes = [int(part) for part in lengths]
    else:
        raise ArgumentError(
            mistake("random_split", "lengths", list(lengths), "whole numbers, or fractions that add up to 1")
        )
    if sum(sizes) != count:
        raise ArgumentError(
            mistake("random_split", "lengths", f"{sum(sizes)} in all", f"the dataset's length, {count}")
        )
    order = permutation(count, generator)
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
