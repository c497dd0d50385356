"""Durations of dispatches by the GPU's clock: timestamps around passes, read back when the batch is done.

Timestamps are written at the ends of passes, so each timed dispatch has a pass of its own.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from weft.devices.observers import Event
from weft.devices.webgpu.memory import COPY_SOURCE, NativeMemory
from weft.devices.webgpu.native import native
from weft.devices.webgpu.readback import Readback, Ticket

EVENTS = 256
"""The most timed dispatches of a batch: no less than the recorder's ``DISPATCHES``."""
_RESOLVE = 0x200  # WebGPU's usage flag of buffers that receive query results


class Timestamps:
    """The query set of a device, and the events that wait for their durations. Callers hold the device's lock."""

    def __init__(
        self, device: Any, queue: Any, memory: NativeMemory, readback: Readback, done: Callable[[Event], None]
    ) -> None:
        loaded = native()
        self._lib, self._ffi = loaded.lib, loaded.ffi
        self._memory, self._readback, self._done = memory, readback, done
        descriptor = self._ffi.new("WGPUQuerySetDescriptor *")
        descriptor.type, descriptor.count = self._lib.WGPUQueryType_Timestamp, 2 * EVENTS
        self._set = loaded.checked.wgpuDeviceCreateQuerySet(device, descriptor)
        self._buffer = memory.create(16 * EVENTS, _RESOLVE | COPY_SOURCE)
        self._period = float(self._lib.wgpuQueueGetTimestampPeriod(queue))
        self._writes = self._ffi.new("WGPUPassTimestampWrites *")
        self._writes.querySet = self._set
        self._descriptor = self._ffi.new("WGPUComputePassDescriptor *")
        self._descriptor.timestampWrites = self._writes
        self._batch: list[Event] = []
        self._ticket: Ticket | None = None
        self._pending: deque[tuple[Ticket, list[Event]]] = deque()

    def begin(self, event: Event) -> Any:
        """Return the descriptor of a pass that measures an event."""
        self._writes.beginningOfPassWriteIndex = 2 * len(self._batch)
        self._writes.endOfPassWriteIndex = 2 * len(self._batch) + 1
        self._batch.append(event)
        return self._descriptor

    def resolve(self, encoder: Any) -> None:
        """Record the copies of the batch's timestamps to a mappable buffer."""
        if self._batch:
            size = 16 * len(self._batch)
            self._ticket = self._readback.open(size)
            self._lib.wgpuCommandEncoderResolveQuerySet(
                encoder, self._set, 0, 2 * len(self._batch), self._buffer, 0
            )
            self._lib.wgpuCommandEncoderCopyBufferToBuffer(
                encoder, self._buffer, 0, self._ticket.handle, 0, size
            )

    def submitted(self, number: int) -> None:
        """Request the timestamps of the batch that was just submitted."""
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._readback.map(ticket, number)
            self._pending.append((ticket, self._batch))
        self._batch = []

    def collect(self) -> None:
        """Wait for the submitted batches, and set the durations of their events."""
        while self._pending:
            ticket, events = self._pending.popleft()
            try:
                self._readback.wait(ticket)
                data = bytes(self._readback.view(ticket, 0, 16 * len(events)))
            finally:
                self._readback.close(ticket)
            for event, (begin, end) in zip(events, struct.iter_unpack("<QQ", data), strict=True):
                event.device_start = round(begin * self._period)
                event.duration = max(0, round((end - begin) * self._period))
                event.clock = "timestamps"
                self._done(event)

    def dispose(self) -> None:
        """Free the query set and its buffer."""
        self._lib.wgpuQuerySetRelease(self._set)
        self._memory.release(self._buffer)
