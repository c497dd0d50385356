"""The open batch: a command encoder with a compute pass, submitted when it is full, old, or flushed.

Batches amortise the encoder and the submission, which together take about 60 microseconds; recording a dispatch takes
2. An upload to memory that the batch already uses is recorded as a copy in the batch, to keep it in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from weft.devices.base import Buffer
from weft.devices.interrupts import Uninterrupted
from weft.devices.observers import Event
from weft.devices.webgpu import loss
from weft.devices.webgpu.memory import COPY_SOURCE, UNIFORM, Block, NativeMemory
from weft.devices.webgpu.native import native
from weft.devices.webgpu.timing import Timestamps
from weft.devices.webgpu.waiting import Waiter
from weft.errors import KernelError

DISPATCHES = 256
"""The most dispatches in a batch."""
SECONDS = 0.002
"""The age at which a batch is submitted when more is recorded: a fast GPU should not wait for the host."""
UPLOADED = 64 << 20
"""The most bytes of pending uploads before a submission: the driver holds a second copy of them."""
IN_FLIGHT = 4
"""The most unfinished submissions; beyond that the host waits, which bounds the memory in use."""
STAGING, UNIFORMS = 1 << 20, 256 << 10
"""The bytes of the blocks for small uploads and for parameters."""


RecordedDispatch = tuple[Any, Any, int, Any, Any, int, Any, int]
"""A dispatch of a replay, all but its bind group: pipeline, data, size, uniform, offset, and the counts x, y, z.

Parameters are ``size`` bytes of immediates at ``data``, or the bind group ``uniform`` at ``offset``, or none. Where x
is 0, the counts lie in the buffer y, z bytes behind its start.
"""


class Recorder:
    """Records work into the open batch. Callers hold the device's lock."""

    def __init__(
        self, memory: NativeMemory, device: Any, queue: Any, uniform_alignment: int, waiter: Waiter
    ) -> None:
        loaded = native()
        self._lib, self._checked, self._ffi, self._error = (
            loaded.lib,
            loaded.checked,
            loaded.ffi,
            loaded.wgpu.GPUError,
        )
        self._device, self._queue, self.waiter = device, queue, waiter
        self._encoder: Any = None
        self._pass: Any = None
        self._encoder_descriptor = self._ffi.new("WGPUCommandEncoderDescriptor *")
        self._pass_descriptor = self._ffi.new("WGPUComputePassDescriptor *")
        self._commands = self._ffi.new("WGPUCommandBuffer[1]")
        self._index = self._ffi.new("WGPUSubmissionIndex[1]")
        self._offset = self._ffi.new("uint32_t[1]")
        self._set_pipeline = self._lib.wgpuComputePassEncoderSetPipeline
        self._set_bind_group = self._lib.wgpuComputePassEncoderSetBindGroup
        self._set_immediates = self._lib.wgpuComputePassEncoderSetImmediates
        self._dispatch = self._lib.wgpuComputePassEncoderDispatchWorkgroups
        self._dispatch_indirect = self._lib.wgpuComputePassEncoderDispatchWorkgroupsIndirect
        self._in_flight: deque[int] = deque()
        self._started = 0.0
        self._names: list[str] = []
        self._uploaded = 0
        self.batch = 0
        self.timing: Timestamps | None = None  # where set, dispatches with an event get a pass of their own
        self.measured: Event | None = None  # the event of the next dispatch
        self.uniforms = Block(memory, UNIFORMS, UNIFORM, uniform_alignment)
        self.staging = Block(memory, STAGING, COPY_SOURCE, 4)

    @property
    def empty(self) -> bool:
        """Whether the open batch has no work."""
        return self._encoder is None

    def encoder(self) -> Any:
        """Return the open encoder, outside of a pass: for copies."""
        with Uninterrupted():
            if self._pass is not None:
                self._end_pass()
            if self._encoder is None:
                self._open()
        return self._encoder

    def dispatch(
        self,
        name: str,
        pipeline: Any,
        group: Any,
        parameters: bytes,
        uniform: Any,
        offset: int,
        count: tuple[int, int, int],
    ) -> None:
        """Record a dispatch; ``uniform`` is the bind group of its parameters at ``offset``, ``None`` for immediates."""
        running = self._pass
        measured = self.measured
        if measured is not None:
            running = self._begin_measured(measured)
        elif running is None:
            running = self._begin_pass()
        # the pipeline is set at each dispatch, so that an interrupt between the calls cannot leave a stale one set
        self._set_pipeline(running, pipeline)
        self._set_bind_group(running, 0, group, 0, self._ffi.NULL)
        if uniform is not None:
            self._offset[0] = offset
            self._set_bind_group(running, 1, uniform, 1, self._offset)
        elif parameters:
            self._set_immediates(running, 0, self._ffi.from_buffer(parameters), len(parameters))
        self._dispatch(running, *count)
        if measured is not None:
            self.measured = None
            self._end_pass()
        names = self._names
        names.append(name)
        if len(names) >= DISPATCHES or (len(names) % 16 == 0 and perf_counter() - self._started > SECONDS):
            self.submit()

    def replay(
        self,
        calls: Sequence[RecordedDispatch],
        groups: Sequence[Any],
        names: Sequence[str],
        used: Sequence[Buffer],
    ) -> None:
        """Record the calls of a replay without interruption, each with its bind group and name.

        ``used`` are the buffers of the calls.
        """
        with Uninterrupted():
            for start in range(0, len(calls), DISPATCHES):
                stop = min(start + DISPATCHES, len(calls))
                if len(self._names) + stop - start > DISPATCHES:
                    self._submit()
                for buffer in used:
                    buffer.batch = self.batch  # type: ignore[attr-defined]
                self._record(calls[start:stop], groups[start:stop])
                self._names.extend(names[start:stop])
                if len(self._names) >= DISPATCHES or perf_counter() - self._started > SECONDS:
                    self._submit()

    def _record(self, calls: Sequence[RecordedDispatch], groups: Sequence[Any]) -> None:
        running = self._begin_pass() if self._pass is None else self._pass
        set_pipeline, set_bind_group, dispatch = self._set_pipeline, self._set_bind_group, self._dispatch
        set_immediates, null, before = self._set_immediates, self._ffi.NULL, None
        for (pipeline, data, size, uniform, offset, x, y, z), group in zip(calls, groups, strict=True):
            if pipeline is not before:
                set_pipeline(running, pipeline)
                before = pipeline
            set_bind_group(running, 0, group, 0, null)
            if size:
                set_immediates(running, 0, data, size)
            elif uniform is not None:
                set_bind_group(running, 1, uniform, 1, offset)
            if x:
                dispatch(running, x, y, z)
            else:
                self._dispatch_indirect(running, y, z)

    def copy(
        self, source: Any, source_offset: int, destination: Any, destination_offset: int, size: int
    ) -> None:
        """Record a copy between two buffers; offsets and size are multiples of 4."""
        self._lib.wgpuCommandEncoderCopyBufferToBuffer(
            self.encoder(), source, source_offset, destination, destination_offset, size
        )

    def clear(self, buffer: Any, size: int) -> None:
        """Record the clearing of a buffer's first ``size`` bytes to zero."""
        self._lib.wgpuCommandEncoderClearBuffer(self.encoder(), buffer, 0, size)

    def write(self, buffer: Any, offset: int, pointer: Any, size: int) -> None:
        """Upload bytes ahead of the open batch: only to memory that the batch does not use, or to an empty batch."""
        try:
            self._checked.wgpuQueueWriteBuffer(self._queue, buffer, offset, pointer, size)
        except self._error as error:
            loss.check(self._device, error)
            raise KernelError(f"the driver rejected an upload of {size:,} bytes:\n{error}") from error
        self._uploaded += size
        if self._uploaded > UPLOADED:
            self.submit()

    def submit(self) -> int:
        """Submit the open batch; return the submission's number. Raises ``KernelError`` where the driver rejects it."""
        with Uninterrupted():
            return self._submit()

    def _submit(self) -> int:
        encoder, names = self._encoder, self._names
        try:
            if self._pass is not None:
                self._end_pass()
            count = 0
            if encoder is not None:
                self._encoder = None
                if self.timing is not None:
                    self.timing.resolve(encoder)
                self._commands[0] = self._checked.wgpuCommandEncoderFinish(encoder, self._ffi.NULL)
                count = 1
            self.uniforms.flush(self._queue)
            self.staging.flush(self._queue)
            number = int(self._checked.wgpuQueueSubmitForIndex(self._queue, count, self._commands))
        except self._error as error:
            self._encoder = None
            loss.check(self._device, error)
            raise KernelError(
                f"the driver rejected a batch of {len(names)} dispatches ({', '.join(dict.fromkeys(names))}):\n"
                f"{str(error).strip()}"
            ) from error
        finally:
            self.batch += 1
            self._names = []
            self._uploaded = 0
        if count:
            self._lib.wgpuCommandBufferRelease(self._commands[0])
            self._lib.wgpuCommandEncoderRelease(encoder)
        if self.timing is not None:
            self.timing.submitted(number)
        self._in_flight.append(number)
        if len(self._in_flight) > IN_FLIGHT:
            self.wait(self._in_flight.popleft())
        return number

    def wait(self, number: int) -> None:
        """Block until a submission is done or Ctrl-C is pressed; other Python threads run meanwhile."""
        with Uninterrupted():
            self.waiter.wait(number)

    def _begin_pass(self) -> Any:
        with Uninterrupted():
            if self._encoder is None:
                self._open()
            self._pass = self._lib.wgpuCommandEncoderBeginComputePass(self._encoder, self._pass_descriptor)
        return self._pass

    def _begin_measured(self, event: Event) -> Any:
        """Begin a pass for a single dispatch, with timestamps at its ends."""
        assert self.timing is not None
        with Uninterrupted():
            if self._pass is not None:
                self._end_pass()
            if self._encoder is None:
                self._open()
            descriptor = self.timing.begin(event)
            self._pass = self._lib.wgpuCommandEncoderBeginComputePass(self._encoder, descriptor)
        return self._pass

    def _open(self) -> None:
        try:
            self._encoder = self._checked.wgpuDeviceCreateCommandEncoder(
                self._device, self._encoder_descriptor
            )
        except self._error as error:
            loss.check(self._device, error)
            raise KernelError(f"the driver gives no command encoder:\n{error}") from error
        self._started = perf_counter()

    def _end_pass(self) -> None:
        running, self._pass = self._pass, None
        try:
            self._checked.wgpuComputePassEncoderEnd(running)
        finally:
            self._lib.wgpuComputePassEncoderRelease(running)
