"""Host memory as the pool hands it out: aligned bytes, and bytes that somebody else owns."""

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
"""Bytes: a cache line, and the widest register there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The bytes of a buffer, which they keep alive, and the address of the first."""

    address: int
    bytes: Bytes


class Adopted(Buffer):
    """A buffer over memory that the device did not allocate and will not reuse."""

    __slots__ = ()


def allocate(size: int) -> Memory:
    """``size`` bytes at a multiple of ``ALIGNMENT``, not cleared."""
    import numpy

    whole = numpy.empty(size + ALIGNMENT, numpy.uint8)
    start: int = whole.__array_interface__["data"][0]
    skipped = -start % ALIGNMENT
    return Memory(start + skipped, whole[skipped : skipped + size])


CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux tells of the first processor's caches."""


def own_cache(caches: Path = CACHES) -> int:
    """The bytes of the last cache before the memory that are this process's share; 32 MiB where nothing is known.

    A cache that many processors share belongs to the processors that the process may use by their number.
    """
    share = 0
    for folder in caches.glob("index*"):
        with suppress(OSError):
            text = (folder / "size").read_text().strip()
            if text[:-1].isdecimal() and text[-1] in _UNITS:
                sharing = _processors((folder / "shared_cpu_list").read_text())
                own = len(sharing & os.sched_getaffinity(0)) if sharing else 1
                size = int(text[:-1]) * _UNITS[text[-1]]
                share = max(share, size * max(own, 1) // max(len(sharing), 1))
    return share or 32 << 20


def _processors(text: str) -> set[int]:
    """The numbers in a list of ranges as Linux writes it: ``0-3,8``."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def over(array: numpy.ndarray[Any, Any]) -> Memory:
    """The memory of a contiguous array."""
    import numpy

    return Memory(array.__array_interface__["data"][0], array.reshape(-1).view(numpy.uint8))
