"""Versions: weft's own, and those of libraries that PyTorch may be built with and weft does not use (``None``)."""

from __future__ import annotations

import itertools
import re
from typing import Any

from weft import __version__

__all__ = ["TorchVersion", "__version__", "cuda", "git_version", "hip", "torch", "xpu"]


class TorchVersion(str):
    """A version as text that compares by its numbers with other versions, as text or tuples (PyTorch's has that too).

    >>> torch >= "2.4", torch < (2, 4), torch == "2.13.0"
    (True, False, False)
    """

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        own, others = _keys(self, other)
        return own < others

    def __gt__(self, other: Any) -> bool:
        own, others = _keys(self, other)
        return own > others

    def __le__(self, other: Any) -> bool:
        own, others = _keys(self, other)
        return own <= others

    def __ge__(self, other: Any) -> bool:
        own, others = _keys(self, other)
        return own >= others


Key = tuple[tuple[int, ...], str]
"""What versions compare by: their numbers, and their local part."""


def _keys(version: str, other: Any) -> tuple[Key, Key]:
    """The keys of both, with as many numbers; a tuple has as many as it says, and no local part."""
    own, others = _release(version), _release(other)
    length = max(len(own), len(others))
    local = other.partition("+")[2] if isinstance(other, str) else version.partition("+")[2]
    first = (own + (0,) * (length - len(own)), version.partition("+")[2])
    return first, (others + (0,) * (length - len(others)), local)


def _release(version: Any) -> tuple[int, ...]:
    """The numbers at the front of a version, up to its local part or the first that is none."""
    parts = version.partition("+")[0].split(".") if isinstance(version, str) else version
    found = [re.match("[0-9]+", str(part)) for part in parts]
    return tuple(int(part[0]) for part in itertools.takewhile(bool, found) if part is not None)


torch = TorchVersion(f"2.13.0+weft.{__version__}")
"""The version of PyTorch whose names and meanings weft follows: what ``install_as_torch`` gives as its version."""

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version: str | None = None
