"""Host memory as the pool hands it out: aligned bytes, and bytes that somebody else owns."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def last_cache() -> int:
    """The bytes of the last cache before the memory, as Linux tells; 32 MiB where that is not known."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with suppress(OSError):
            text = path.read_text().strip()
            if text[:-1].isdecimal() and text[-1] in _UNITS:
                sizes.append(int(text[:-1]) * _UNITS[text[-1]])
    return max(sizes, default=32 << 20)


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def over(array: numpy.ndarray[Any, Any]) -> Memory:
    """The memory of a contiguous array."""
    import numpy

    return Memory(array.__array_interface__["data"][0], array.reshape(-1).view(numpy.uint8))
