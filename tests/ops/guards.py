"""A device whose storages lie between guard bytes, so that accesses of a kernel outside of its storages are seen.

Every storage that is allocated within ``Guards`` has ``WIDTH`` bytes of ones before and behind it: NaN in every floating
point type, -1 in the others. Its own bytes are ones at first. A write outside of a storage changes guard bytes; a read
outside of it, or of bytes that were not written, changes results.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from weft.devices.base import Device, Storage

WIDTH = 1024
"""Guard bytes on each side: a multiple of every device's alignment."""


class Guards:
    """A context in which the device allocates between guard bytes; ``check`` asserts that they have not changed."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held: list[tuple[Storage, int]] = []

    def __enter__(self) -> Guards:
        device: Any = self._device
        device.direct = False  # else prepared calls allocate without ``allocate``
        self._allocate = device.allocate
        device.allocate = self._guarded
        device.allocate_together = lambda sizes: [self._guarded(size) for size in sizes]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._device.allocate, self._device.allocate_together  # type: ignore[attr-defined]
        self._device._update_direct()

    def _guarded(self, size: int) -> Storage:
        whole = self._allocate(-(-size // 4) * 4 + 2 * WIDTH)
        self._device.write(whole, memoryview(b"\xff" * whole.size))
        pool = self._device._pool  # type: ignore[attr-defined]
        with pool._lock:
            pool._count(size, 1)
        self._held.append((whole, -(-size // 4) * 4))  # a storage owns the whole of its last word
        return Storage(self._device, whole.buffer, whole.offset + WIDTH, size)

    def check(self, what: str) -> None:
        """Assert that no guard byte of any storage has changed."""
        self._device.synchronize()
        for whole, size in self._held:
            before = bytes(self._device.read(whole, 0, WIDTH))
            behind = bytes(self._device.read(whole, WIDTH + size, whole.size - WIDTH - size))
            for where, found in (("before", before), ("behind", behind)):
                changed = [at for at, byte in enumerate(found) if byte != 0xFF]
                assert not changed, (
                    f"{what}: bytes {changed[:8]} {where} a storage of {size} bytes were written"
                )
        assert self._held, f"{what}: nothing was allocated"
