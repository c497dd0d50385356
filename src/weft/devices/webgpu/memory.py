"""Native buffers for the pool, and ``Block``: a staging area for small uploads."""

from __future__ import annotations

from typing import Any

from weft.devices.base import Buffer, Device
from weft.devices.webgpu import loss
from weft.devices.webgpu.native import native

STORAGE, COPY_SOURCE, COPY_DESTINATION, UNIFORM, MAP_READ = 0x80, 0x4, 0x8, 0x40, 0x1
"""WebGPU's buffer usage flags."""


class WebGpuBuffer(Buffer):
    """A buffer with the number of the last batch that uses it, and the keys of the bind groups that bind it."""

    __slots__ = ("batch", "groups")

    def __init__(self, device: Device, handle: Any, size: int) -> None:
        super().__init__(device, handle, size)
        self.batch = -1
        self.groups: set[Any] = set()


class NativeMemory:
    """Creates and releases native buffers of a wgpu device."""

    def __init__(self, handle: Any) -> None:
        loaded = native()
        self._device = handle
        self._create = loaded.checked.wgpuDeviceCreateBuffer
        self._release = loaded.lib.wgpuBufferRelease
        self._error = loaded.wgpu.GPUError
        self._descriptor = loaded.ffi.new("WGPUBufferDescriptor *")

    def create(self, size: int, usage: int = STORAGE | COPY_SOURCE | COPY_DESTINATION) -> Any:
        """Create a native buffer; raises ``MemoryError`` with the library's message where there is no memory."""
        self._descriptor.size = size
        self._descriptor.usage = usage
        try:
            return self._create(self._device, self._descriptor)
        except self._error as error:
            loss.check(self._device, error)
            raise MemoryError(str(error).strip().splitlines()[0]) from error

    def release(self, handle: Any) -> None:
        """Release a handle; the driver frees the memory after all recorded work that uses it."""
        self._release(handle)


class Block:
    """Host bytes placed one after another during a batch and copied to a device buffer when it is submitted.

    The queue keeps submissions in order, so the next batch may start at the first byte again.
    """

    def __init__(self, memory: NativeMemory, capacity: int, usage: int, alignment: int) -> None:
        self.handle = memory.create(capacity, usage | COPY_DESTINATION)
        self.capacity = capacity
        self.used = 0
        self._host = bytearray(capacity)
        self._alignment = alignment
        self._pointer = native().ffi.from_buffer(self._host)

    def place(self, data: bytes | memoryview) -> int | None:
        """Copy ``data`` into the block; return its offset, or ``None`` where the block has not enough room left."""
        start = self.used
        size = len(data)
        end = start + -(-size // self._alignment) * self._alignment
        if end > self.capacity:
            return None
        self._host[start : start + size] = data
        self.used = end
        return start

    def flush(self, queue: Any) -> None:
        """Upload the placed bytes ahead of the batch, and empty the block."""
        if self.used:
            used, self.used = self.used, 0
            native().checked.wgpuQueueWriteBuffer(queue, self.handle, 0, self._pointer, used)
