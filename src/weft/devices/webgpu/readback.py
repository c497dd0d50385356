"""Reading device memory back: mappable buffers, kept by size class, and waiting until they are mapped."""

from __future__ import annotations

from time import sleep
from typing import Any

from weft.devices.pool import size_class
from weft.devices.webgpu import loss
from weft.devices.webgpu.memory import COPY_DESTINATION, MAP_READ, NativeMemory
from weft.devices.webgpu.native import native
from weft.devices.webgpu.waiting import Waiter
from weft.errors import DeviceError

KEPT = 64 << 20
"""Bytes of mappable buffers that are kept for later reads."""


PIECE = (16 << 20) - 256
"""The bytes of a piece of a large read; together with the status word a piece fills a size class."""


class Abandoned(Exception):
    """An interrupt arrived before the bytes of a read; caught by the caller that started the read."""


class Ticket:
    """A pending read: the mappable buffer, the submission that fills it, and the result of the mapping."""

    __slots__ = ("handle", "problem", "size", "state", "submission", "userdata")

    def __init__(self, handle: Any, size: int) -> None:
        self.handle = handle
        self.size = size
        self.submission = 0
        self.state: int | None = None
        self.problem = ""
        self.userdata: Any = None


class Readback:
    """The mappable buffers of a device. ``open`` and ``close`` need the device's lock; ``wait`` is called without."""

    def __init__(self, name: str, device: Any, memory: NativeMemory, waiter: Waiter) -> None:
        loaded = native()
        self._name, self._device, self._memory, self._waiter = name, device, memory, waiter
        self._lib, self._checked, self._ffi = loaded.lib, loaded.checked, loaded.ffi
        self._free: dict[int, list[Any]] = {}
        self._kept = 0
        # the callback gets only a pointer, so this set keeps tickets alive until the callback has run
        self._pending: set[Ticket] = set()
        self._callback = self._ffi.callback(
            "void(WGPUMapAsyncStatus, WGPUStringView, void *, void *)", self._mapped
        )

    def open(self, size: int) -> Ticket:
        """Return a ticket with a mappable buffer of at least ``size`` bytes; raises ``MemoryError``."""
        wanted = size_class(size)
        free = self._free.get(wanted)
        if free:
            self._kept -= wanted
            return Ticket(free.pop(), wanted)
        return Ticket(self._memory.create(wanted, MAP_READ | COPY_DESTINATION), wanted)

    def map(self, ticket: Ticket, submission: int) -> None:
        """Request the mapping of the buffer after ``submission``."""
        ticket.submission = submission
        ticket.userdata = self._ffi.new_handle(ticket)
        self._pending.add(ticket)
        info = self._ffi.new("WGPUBufferMapCallbackInfo *")
        info.mode = self._lib.WGPUCallbackMode_AllowProcessEvents
        info.callback = self._callback
        info.userdata1 = ticket.userdata
        try:
            self._checked.wgpuBufferMapAsync(
                ticket.handle, self._lib.WGPUMapMode_Read, 0, ticket.size, info[0]
            )
        except native().wgpu.GPUError as error:
            self._pending.discard(ticket)
            loss.check(self._device, error)
            raise DeviceError(f"{self._name}: the bytes could not be read: {error}") from error

    def wait(self, ticket: Ticket) -> None:
        """Block until the buffer is mapped; other Python threads run meanwhile.

        Raises ``Abandoned`` where Ctrl-C arrives first; a later ``wait`` for the same ticket is possible.
        """
        while ticket.state is None:
            if not self._waiter.wait(ticket.submission, lambda: ticket.state is not None):
                raise Abandoned
            if ticket.state is None:
                sleep(0)  # the callback is about to run in another thread's poll
        if ticket.state != self._lib.WGPUMapAsyncStatus_Success:
            loss.check(self._device, ticket.problem)
            raise DeviceError(
                f"{self._name}: the bytes could not be read ({ticket.problem}); the device may be lost"
            )

    def view(self, ticket: Ticket, start: int, size: int) -> Any:
        """Return the mapped bytes from ``start`` on, valid until ``close``."""
        pointer = self._lib.wgpuBufferGetConstMappedRange(ticket.handle, 0, ticket.size)
        return self._ffi.buffer(self._ffi.cast("char *", pointer) + start, size)

    def close(self, ticket: Ticket) -> None:
        """Unmap the buffer and keep it for the next read, or free it."""
        self._lib.wgpuBufferUnmap(ticket.handle)
        if ticket.state == self._lib.WGPUMapAsyncStatus_Success and self._kept + ticket.size <= KEPT:
            self._free.setdefault(ticket.size, []).append(ticket.handle)
            self._kept += ticket.size
        else:
            self._memory.release(ticket.handle)

    def dispose(self) -> None:
        """Free all buffers."""
        for handles in self._free.values():
            for handle in handles:
                self._memory.release(handle)
        self._free.clear()
        self._kept = 0

    def _mapped(self, status: int, message: Any, userdata: Any, _unused: Any) -> None:
        ticket: Ticket = self._ffi.from_handle(userdata)
        if message.data != self._ffi.NULL and message.length:
            ticket.problem = self._ffi.buffer(message.data, message.length)[:].decode(errors="replace")
        ticket.state = status
        self._pending.discard(ticket)
