"""Versions: of weft itself, and ``None`` for the libraries that PyTorch may be built with and weft does not use."""

from __future__ import annotations

import itertools
import re
from typing import Any

from weft import __version__

__all__ = ["TorchVersion", "__version__", "cuda", "git_version", "hip", "torch", "xpu"]


class TorchVersion(str):
    """A version string that compares by its numbers with other versions, as strings or tuples (as PyTorch's class).

    >>> torch >= "2.4", torch < (2, 4), torch == "2.13.0"
    (True, False, False)
    """

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        key, other_key = _keys(self, other)
        return key < other_key

    def __gt__(self, other: Any) -> bool:
        key, other_key = _keys(self, other)
        return key > other_key

    def __le__(self, other: Any) -> bool:
        key, other_key = _keys(self, other)
        return key <= other_key

    def __ge__(self, other: Any) -> bool:
        key, other_key = _keys(self, other)
        return key >= other_key


Key = tuple[tuple[int, ...], str]
"""The key by which versions compare: the release numbers, and the local part."""


def _keys(version: str, other: Any) -> tuple[Key, Key]:
    """Return the keys of two versions, padded to the same number of numbers; a tuple has no local part."""
    numbers, other_numbers = _release(version), _release(other)
    length = max(len(numbers), len(other_numbers))
    local = other.partition("+")[2] if isinstance(other, str) else version.partition("+")[2]
    first = (numbers + (0,) * (length - len(numbers)), version.partition("+")[2])
    return first, (other_numbers + (0,) * (length - len(other_numbers)), local)


def _release(version: Any) -> tuple[int, ...]:
    """Return the leading numbers of a version, up to its local part or the first part that is no number."""
    parts = version.partition("+")[0].split(".") if isinstance(version, str) else version
    found = [re.match("[0-9]+", str(part)) for part in parts]
    return tuple(int(part[0]) for part in itertools.takewhile(bool, found) if part is not None)


torch = TorchVersion(f"2.13.0+weft.{__version__}")
"""The version of PyTorch whose names and semantics weft follows; ``install_as_torch`` reports it."""

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version: str | None = None
