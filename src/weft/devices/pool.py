"""``Pool``: the memory pool that devices share. It keeps freed buffers by size class and counts memory in use.

A device gives the pool two functions, which create and free native memory, and forwards its memory calls. Finalisers
may run on any thread and in the middle of the pool's own code, so ``release`` only appends to a queue (which is
atomic); the next call that takes the lock empties the queue.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from weft.devices import base
from weft.devices.base import Buffer, Device, MemoryStats, Storage
from weft.errors import ArgumentError, ArgumentTypeError, OutOfMemoryError

SMALLEST = 256
"""The smallest allocation, in bytes; a storage of size 0 takes as much."""

ADDRESSES = 2**62
"""The largest size that a storage can have, in bytes."""

KEPT = 256 << 20
"""Freed bytes that a pool may always keep for reuse, however little the program has used at its peak."""


@lru_cache(maxsize=4096)
def size_class(size: int) -> int:
    """Return the bytes to allocate for a request: eight classes per octave, so that at most an eighth is wasted.

    >>> [size_class(size) for size in (0, 256, 257, 5000, 1 << 20, (1 << 20) + 1)]
    [256, 256, 512, 5120, 1048576, 1179648]
    """
    if size <= SMALLEST:
        return SMALLEST
    step = max(SMALLEST, 1 << ((size - 1).bit_length() - 4))
    return -(-size // step) * step


def _smallest_size(size: int) -> int:
    return max(SMALLEST, -(-size // SMALLEST) * SMALLEST)


def memory_limit() -> int | None:
    """Return the bytes that ``WEFT_MEMORY_LIMIT`` allows each device, ``None`` where it is not set."""
    text = os.environ.get("WEFT_MEMORY_LIMIT")
    if not text:
        return None
    try:
        limit = int(text)
    except ValueError:
        limit = -1
    if limit < 0:
        raise ArgumentError(f"WEFT_MEMORY_LIMIT is {text!r}, expected a number of bytes")
    return limit


class Pool:
    """Free lists of buffers by size class, and the counters of ``MemoryStats``.

    Of freed memory at most ``KEPT`` bytes, or the peak of memory in use, stays for reuse.

    Args:
        device: The device, whose storages the pool makes.
        create: Returns a native handle for a number of bytes, or raises ``MemoryError``.
        destroy: Frees the native memory of a buffer.
        largest: The largest buffer that the device can make, in bytes; ``None`` without a limit.
        buffer_type: The device's class of buffers.
    """

    def __init__(
        self,
        device: Device,
        create: Callable[[int], Any],
        destroy: Callable[[Buffer], None],
        largest: int | None = None,
        buffer_type: type[Buffer] = Buffer,
    ) -> None:
        self._device = device
        self._create = create
        self._destroy = destroy
        self._largest = None if largest is None else largest // SMALLEST * SMALLEST
        self._buffer_type = buffer_type
        self._lock = threading.RLock()
        self._free: dict[int, list[Buffer]] = {}
        self._returned: deque[Buffer | int] = deque()
        self._in_use = self._peak = self._storages = self._allocations = 0
        self._pooled = 0  # bytes in the free lists
        self._native = 0  # bytes of all buffers, in use or free
        self.limit = memory_limit()

    def allocate(self, size: int) -> Storage:
        """Return a storage of ``size`` bytes in a buffer of its own.

        Raises ``OutOfMemoryError`` where a second try, after freeing unused memory, fails too.
        """
        if type(size) is not int or not 0 <= size <= ADDRESSES:
            self._check(size)
        buffer = self._reuse_last(size)
        if buffer is None:
            with self._lock:
                buffer = self._take(size)
                self._count(size, 1)
        storage = object.__new__(Storage)  # what Storage.__init__ does, without its checks
        storage.device = self._device
        storage._buffer = buffer
        storage.offset = storage.version = 0
        storage.address = buffer.address
        storage.size = buffer.used = size
        buffer.references = 1
        if base.allocation_hook is not None:
            base.allocation_hook(storage)
        return storage

    def _reuse_last(self, size: int) -> Buffer | None:
        """Return the buffer that was released last, if its storage had this size: then no counter changes."""
        returned = self._returned
        if returned:
            try:
                item = returned.pop()
            except IndexError:  # another thread took it
                return None
            if not isinstance(item, int) and item.used == size:
                return item
            returned.append(item)
        return None

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Return storages that share one buffer, in order, each at a multiple of the device's alignment."""
        alignment = self._device.alignment
        offsets, total = [], 0
        for size in sizes:
            self._check(size)
            offsets.append(total)
            total += -(-size // alignment) * alignment
        with self._lock:
            buffer = self._take(total if len(sizes) > 1 else sum(sizes))
            made = [
                Storage(self._device, buffer, offset, size)
                for offset, size in zip(offsets, sizes, strict=True)
            ]
            self._count(sum(sizes), len(sizes))
        return made

    def adopt(self, buffer: Buffer) -> Storage:
        """Return a storage over all of a buffer that the pool did not make and must not get by ``release``."""
        with self._lock:
            self._collect()
            self._count(buffer.size, 1)
        return Storage(self._device, buffer, 0, buffer.size)

    def _check(self, size: int) -> None:
        """Raise for a value that is no size, before any counter changes."""
        if type(size) is not int:
            raise ArgumentTypeError(f"allocate: size is a {type(size).__name__}, expected an int")
        if size < 0:
            raise ArgumentError(f"allocate: size is {size} bytes, expected 0 or more")
        if size > ADDRESSES:
            raise self._out_of_memory(size, "no device can address so many bytes")

    def _count(self, size: int, storages: int) -> None:
        """Count new storages."""
        self._storages += storages
        self._in_use += size
        if self._in_use > self._peak:
            self._peak = self._in_use

    def take(self, size: int) -> Buffer:
        """Return a scratch buffer of at least ``size`` bytes, without a storage; ``release`` takes it back."""
        self._check(size)
        with self._lock:
            return self._take(size)

    def release(self, buffer: Buffer) -> None:
        """Take back a buffer whose storages were counted by ``storage_disposed``; safe in finalisers."""
        buffer.used = -1
        self._returned.append(buffer)

    def storage_disposed(self, size: int) -> None:
        """Count a disposed storage; safe in finalisers."""
        self._returned.append(size)

    def trim(self) -> int:
        """Free all memory kept for reuse; return the number of bytes."""
        with self._lock:
            self._collect()
            freed = self._pooled
            for buffers in self._free.values():
                while buffers:
                    self._discard(buffers)
            return freed

    def stats(self, dispatches: int) -> MemoryStats:
        """Return the counters now."""
        with self._lock:
            self._collect()
            return MemoryStats(
                in_use=self._in_use, peak=self._peak, pooled=self._pooled, storages=self._storages,
                allocations=self._allocations, dispatches=dispatches, limit=self.limit,
            )  # fmt: skip

    def _take(self, size: int) -> Buffer:
        wanted = size_class(size)
        if self._returned:
            self._collect()
        if self._largest is not None and size <= self._largest:
            wanted = min(wanted, self._largest)
        buffers = self._free.get(wanted)
        if buffers:
            buffer = buffers.pop()
            self._pooled -= buffer.size
            return buffer
        return self._make(wanted, size)

    def _make(self, wanted: int, size: int) -> Buffer:
        if self._largest is not None and wanted > self._largest:
            raise self._out_of_memory(size, f"the largest buffer of this device is {self._largest:,} bytes")
        if self._exceeds_limit(wanted):
            self._reclaim()
            wanted = _smallest_size(size)  # near the limit, without rounding up to a size class
            if self._exceeds_limit(wanted):
                raise self._out_of_memory(size, f"WEFT_MEMORY_LIMIT allows {self.limit:,} bytes")
        try:
            handle = self._create(wanted)
        except MemoryError:
            self._reclaim()
            wanted = _smallest_size(size)
            try:
                handle = self._create(wanted)
            except MemoryError as error:
                raise self._out_of_memory(size, f"the device has no more ({error})") from error
        self._native += wanted
        self._allocations += 1
        made = self._buffer_type(self._device, handle, wanted)
        made.queue = self._returned
        return made

    def _exceeds_limit(self, wanted: int) -> bool:
        return self.limit is not None and self._native + wanted > self.limit

    def _reclaim(self) -> None:
        """Free unused memory: tensors in unreachable cycles, then the free lists."""
        gc.collect()
        self.trim()

    def _out_of_memory(self, size: int, reason: str) -> OutOfMemoryError:
        return OutOfMemoryError(
            f"{self._device.name}: {size:,} bytes were asked for, {self._in_use:,} bytes are in use by "
            f"{self._storages:,} tensors, and {reason}; use smaller batches, or drop tensors that are not needed"
        )

    def _collect(self) -> None:
        """Empty the queue of released buffers and of the sizes of disposed storages."""
        returned = self._returned
        while returned:
            item = returned.popleft()
            if isinstance(item, int):
                self._in_use -= item
                self._storages -= 1
                continue
            if item.used >= 0:
                self._in_use -= item.used
                self._storages -= 1
                item.used = -1
            self._keep(item)

    def _keep(self, buffer: Buffer) -> None:
        """Keep a buffer for reuse; the size classes that were released longest ago make room for it."""
        most = max(KEPT, self._peak)
        if buffer.size > most:
            self._native -= buffer.size
            self._destroy(buffer)
            return
        buffers = self._free.pop(buffer.size, [])  # the dictionary is in the order of the last release
        while self._pooled + buffer.size > most:
            self._discard(next((kept for kept in self._free.values() if kept), buffers))
        buffers.append(buffer)
        self._free[buffer.size] = buffers
        self._pooled += buffer.size

    def _discard(self, buffers: list[Buffer]) -> None:
        buffer = buffers.pop()
        self._pooled -= buffer.size
        self._native -= buffer.size
        self._destroy(buffer)
