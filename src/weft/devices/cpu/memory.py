"""Host memory of the pool: aligned allocations, and adopted memory with another owner."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weft.devices.base import Buffer

if TYPE_CHECKING:
    import numpy

    Bytes = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]

ALIGNMENT = 64
"""The alignment in bytes: a cache line, and the widest vector register."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The bytes of a buffer as an array that keeps them alive, and the address of the first byte."""

    address: int
    bytes: Bytes


class Adopted(Buffer):
    """A buffer over memory that the device did not allocate and does not reuse."""

    __slots__ = ()


def allocate(size: int) -> Memory:
    """Allocate ``size`` bytes at a multiple of ``ALIGNMENT``, not cleared."""
    import numpy

    whole = numpy.empty(size + ALIGNMENT, numpy.uint8)
    start: int = whole.__array_interface__["data"][0]
    skipped = -start % ALIGNMENT
    return Memory(start + skipped, whole[skipped : skipped + size])


CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
"""The directory in which Linux describes the first processor's caches."""


def cache_share(caches: Path = CACHES) -> int:
    """Return this process's share of the last-level cache, in bytes; 32 MiB where the size is not known.

    The share is the cache's size times the fraction of its processors that the process may use.
    """
    share = 0
    for folder in caches.glob("index*"):
        with suppress(OSError):
            text = (folder / "size").read_text().strip()
            if text[:-1].isdecimal() and text[-1] in _UNITS:
                sharing = _processors((folder / "shared_cpu_list").read_text())
                usable = len(sharing & os.sched_getaffinity(0)) if sharing else 1
                size = int(text[:-1]) * _UNITS[text[-1]]
                share = max(share, size * max(usable, 1) // max(len(sharing), 1))
    return share or 32 << 20


def _processors(text: str) -> set[int]:
    """Return the numbers of a list of ranges in Linux's format: ``0-3,8``."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def of_array(array: numpy.ndarray[Any, Any]) -> Memory:
    """Return the memory of a contiguous array."""
    import numpy

    return Memory(array.__array_interface__["data"][0], array.reshape(-1).view(numpy.uint8))
