"""Datasets, samplers and ``DataLoader``, with PyTorch's names. Workers are threads: nothing here forks."""

from weft.utils.data.collate import default_collate
from weft.utils.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from weft.utils.data.loader import DataLoader
from weft.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "default_collate",
    "random_split",
]
