"""Host memory as the pool hands it out: aligned bytes, and bytes that somebody else owns."""

from __future__ import annotations

from dataclasses import dataclass
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
    skipped = -whole.ctypes.data % ALIGNMENT
    return Memory(whole.ctypes.data + skipped, whole[skipped : skipped + size])


def over(array: numpy.ndarray[Any, Any]) -> Memory:
    """The memory of a contiguous array."""
    import numpy

    return Memory(array.ctypes.data, array.reshape(-1).view(numpy.uint8))
