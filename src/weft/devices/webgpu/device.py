"""``WebGpuDevice``: the device interface over wgpu-native. Order, locking and life time; the parts do the rest.

One lock is held while something is recorded, none while the host waits for results. Python per dispatch is some
ten microseconds: pipelines and bind groups are found in dictionaries, and four C calls record the work.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from weft.devices.base import Buffer, Device, MemoryStats, Range, Storage
from weft.devices.events import Event, event
from weft.devices.interrupts import Uninterrupted
from weft.devices.pool import Pool
from weft.devices.webgpu import loss, status
from weft.devices.webgpu.adapters import Adapter
from weft.devices.webgpu.groups import BindGroups
from weft.devices.webgpu.memory import COPY_DESTINATION, COPY_SOURCE, STORAGE, NativeMemory, WebGpuBuffer
from weft.devices.webgpu.native import abandon, native, quiet
from weft.devices.webgpu.pipelines import Pipeline, Pipelines
from weft.devices.webgpu.readback import PIECE, Readback, Ticket
from weft.devices.webgpu.recorder import UPLOADED, Recorder
from weft.devices.webgpu.timing import Timestamps
from weft.errors import ArgumentError, DeviceError, DisposedError, KernelError, OutOfMemoryError
from weft.target import KernelSpec

NO_REPORT = ("kernel", "index")


class WebGpuDevice(Device):
    """A device on one adapter, opened with the adapter's own limits and the features that kernels can use."""

    def __init__(self, adapter: Adapter) -> None:
        info = adapter.info
        self.name = info.name
        self.description = f"{info.device} ({info.backend}{', software' if info.software else ''})"
        self.profile = adapter.profile()
        limits = dict(self.profile.limits)
        self.alignment = max(256, limits["min-storage-buffer-offset-alignment"])
        self._closed: DeviceError | None = None
        self._lock = threading.RLock()
        self._wgpu = self._open(adapter)
        handle, queue = self._wgpu._internal, self._wgpu.queue._internal
        self._memory = NativeMemory(handle)
        self._pool = Pool(self, self._memory.create, self._destroy, limits["max-buffer-size"], WebGpuBuffer)
        self._status = self._memory.create(status.SIZE, STORAGE | COPY_SOURCE | COPY_DESTINATION)
        self._recorder = Recorder(self._memory, handle, queue, limits["min-uniform-buffer-offset-alignment"])
        self._pipelines = Pipelines(self._wgpu, self.profile)
        self._groups = BindGroups(self, handle, limits, self._status)
        self._readback = Readback(self.name, handle, self._memory)
        self._reports = status.Reports()
        self._uniforms: dict[int, Any] = {}
        self._dispatches = 0
        self._largest_binding = limits["max-storage-buffer-binding-size"]
        self._counts_limit = limits["max-compute-workgroups-per-dimension"]
        loss.watch(handle, self)
        _opened.add(self)

    def _open(self, adapter: Adapter) -> Any:
        try:
            with quiet():
                return adapter.handle.request_device_sync(
                    required_features=sorted(self.profile.features), required_limits=dict(self.profile.limits)
                )
        except (RuntimeError, native().wgpu.GPUError) as error:
            raise DeviceError(
                f"{self.name}: the driver of {self.description} gives no device: {error}"
            ) from error

    # Memory.

    def allocate(self, size: int) -> Storage:
        """From the pool; the contents are what an earlier storage left, zeros at first."""
        self._begin("allocate")
        if size > self._largest_binding:
            self.oversized = True
        with self._lock:
            return self._pool.allocate(size)

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """One buffer for all: kernels that read some of them and write others bind every one as read_write."""
        self._begin("allocate")
        with self._lock:
            return self._pool.allocate_together(sizes)

    def release(self, buffer: Buffer) -> None:
        """Queue a buffer for the pool; recorded work that uses it comes before whatever uses it next."""
        self._pool.release(buffer)

    def storage_gone(self, size: int) -> None:
        """Queue the news for the pool."""
        self._pool.storage_gone(size)

    def memory_stats(self) -> MemoryStats:
        """Counters of the pool and of dispatches."""
        with self._lock:
            return self._pool.stats(self._dispatches)

    def _destroy(self, buffer: Buffer) -> None:
        """Free a buffer's native memory; called by the pool under the lock."""
        assert isinstance(buffer, WebGpuBuffer)
        self._groups.forget(buffer)
        self._memory.release(buffer.handle)
        buffer.handle = None

    # Data.

    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes in, ordered with dispatches; ``data`` may change as soon as this returns."""
        self._begin("write")
        flat = self._flat(data)
        self._inside("write", storage, offset, len(flat))
        with self._lock:
            start, end = offset, offset + len(flat)
            first, last = -(-start // 4) * 4, end // 4 * 4
            if first < last:
                self._write_words(storage, flat[first - start : last - start], first)
            for word in {start // 4 * 4, last}:
                low, high = max(word, start), min(word + 4, end)
                if low < high and not first <= word < last:
                    self._write_part(storage, word, flat[low - start : high - start], low - word)

    def _write_part(self, storage: Storage, word: int, data: memoryview, at: int) -> None:
        """Write a part of one word. Where the word holds other bytes too, those are read first: that waits."""
        if at == 0 and word + len(data) == storage.size:
            current = bytearray(4)  # the rest of the storage's last word is nobody's
        else:
            current = self._fetch(storage.buffer, storage.offset + word, 4)
        current[at : at + len(data)] = data
        self._write_words(storage, memoryview(current), word)

    def _write_words(self, storage: Storage, data: memoryview, offset: int) -> None:
        """Write whole words: ahead of the batch where it does not use the buffer, else as a copy within it."""
        buffer, target, size = storage.buffer, storage.offset + offset, len(data)
        assert isinstance(buffer, WebGpuBuffer)
        if buffer.batch == self._recorder.batch:
            place = self._recorder.staging.place(data)
            if place is not None:
                self._recorder.copy(self._recorder.staging.handle, place, buffer.handle, target, size)
                return
            self._recorder.submit()
        pointer = native().ffi.from_buffer(data)
        for start in range(0, size, UPLOADED):
            self._recorder.write(buffer.handle, target + start, pointer + start, min(UPLOADED, size - start))

    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """Submit, wait, and copy out; the lock is not held while waiting."""
        self._begin("read")
        self._inside("read", storage, offset, size)
        start = (storage.offset + offset) // 4 * 4
        skipped = storage.offset + offset - start
        words = -(-(skipped + size) // 4) * 4
        data = self._fetch(storage.buffer, start, words, check=True)
        if self.observers:
            self.settle()
        return data if skipped == 0 and words == size else data[skipped : skipped + size]

    def synchronize(self) -> None:
        """Submit and wait, by reading the status word back."""
        self._begin("read")
        self._fetch(None, 0, 0, check=True)
        if self.observers:
            self.settle()

    def _fetch(self, buffer: Buffer | None, start: int, size: int, check: bool = False) -> bytearray:
        """Wait for all work so far and give whole words of a buffer; ``check`` raises what kernels reported.

        Large data comes in pieces, one being copied on the host while the device fills the next.
        """
        result = bytearray(size)
        under_way: deque[tuple[Ticket, int, int, int]] = deque()
        with Uninterrupted():
            try:
                for at in range(0, max(size, 1), PIECE):
                    word = status.SIZE if check and at == 0 else 0
                    length = min(PIECE, size - at)
                    under_way.append((self._ask(buffer, start + at, length, word), word, at, length))
                    if len(under_way) > 1:
                        self._finish(result, *under_way.popleft())
                while under_way:
                    self._finish(result, *under_way.popleft())
            finally:
                with self._lock:
                    for ticket, *_ in under_way:
                        self._readback.close(ticket)
        return result

    def _finish(self, result: bytearray, ticket: Ticket, word: int, at: int, length: int) -> None:
        """Wait for a piece and put it where it belongs."""
        try:
            self._readback.wait(ticket)
            if word:
                self._reports.check(self._readback.view(ticket, 0, word))
            result[at : at + length] = self._readback.view(ticket, word, length)
        finally:
            with self._lock:
                self._readback.close(ticket)

    def _ask(self, buffer: Buffer | None, start: int, size: int, word: int) -> Ticket:
        """Record the copies of a read and submit them; the status word, where wanted, is cleared in the same batch."""
        recorder = self._recorder
        with self._lock:
            try:
                ticket = self._readback.open(word + size)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"{self.name}: no memory to read {size:,} bytes back: {error}"
                ) from error
            if word:
                recorder.copy(self._status, 0, ticket.handle, 0, word)
                if self._reports.pending:
                    recorder.clear(self._status, word)
                    self._reports.pending = False
            if size and buffer is not None:
                recorder.copy(buffer.handle, start, ticket.handle, word, size)
            self._readback.map(ticket, recorder.submit())
            return ticket

    def copy(self, source: Storage, destination: Storage) -> None:
        """Record a copy; through a scratch buffer where both lie in one."""
        self._begin("copy")
        size = source.size
        for storage in (source, destination):
            self._inside("copy", storage, 0, size)
        if size == 0 or source is destination:
            return
        with self._lock:
            start, target = source.buffer, destination.buffer
            words = size // 4 * 4 if destination.size > size else -(-size // 4) * 4
            if start is target:  # WebGPU copies only between two buffers
                between = self._pool.take(words)
                self._copy_words(start, source.offset, between, 0, words)
                self._copy_words(between, 0, target, destination.offset, words)
                self._pool.release(between)
            else:
                self._copy_words(start, source.offset, target, destination.offset, words)
            if words < size:
                tail = self._fetch(start, source.offset + words, 4)
                self._write_part(destination, words, memoryview(tail)[: size - words], 0)

    def _copy_words(self, source: Buffer, start: int, target: Buffer, at: int, size: int) -> None:
        if size:  # marked first: after an interrupt between the two, a mark too many does no harm
            source.batch = target.batch = self._recorder.batch  # type: ignore[attr-defined]
            self._recorder.copy(source.handle, start, target.handle, at, size)

    # Kernels.

    def register_kernel(self, spec: KernelSpec) -> None:
        """Compile now what the first dispatch would compile."""
        self._usable()
        with self._lock:
            self._pipelines.get(spec)

    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Record a dispatch; nothing is recorded where a count is 0. Errors come before anything is recorded."""
        self._begin("dispatch")
        with self._lock:
            pipeline = self._pipelines.get(spec)
            if pipeline.layout.reports:
                packed = pipeline.pack(*parameters, self._reports.number(report or NO_REPORT))
            else:
                packed = pipeline.pack(*parameters)
            counts = pipeline.counts(parameters)
            if max(counts) > self._counts_limit or min(counts) <= 0:
                if min(counts) == 0:
                    return
                raise self._count_error(spec, counts)
            recorder = self._recorder
            uniform, offset = None, 0
            if pipeline.uniform_size:
                uniform, offset = self._uniform(pipeline, packed)
            group = self._groups.get(pipeline, ranges, recorder.batch)
            if pipeline.layout.reports:
                self._reports.pending = True
            self._dispatches += 1
            told = None
            if self.observers:
                told = self._observed(spec, ranges, counts)
            recorder.dispatch(pipeline.name, pipeline.handle, group, packed, uniform, offset, counts)
            if told is not None:
                self._tell(told)

    def _observed(self, spec: KernelSpec, ranges: Sequence[Range], counts: tuple[int, int, int]) -> Event:
        """The event of the dispatch that comes next; timed by the GPU where it can, and somebody wants it."""
        told = event(self.name, spec, ranges, counts)
        if any(observer.timed for observer in self.observers):
            if "timestamp-query" not in self.profile.features:
                self._recorder.wait(self._recorder.submit())  # what came before is not this dispatch's time
                told.start = perf_counter_ns()
                return told
            if self._recorder.timing is None:
                self._recorder.timing = Timestamps(
                    self._wgpu._internal,
                    self._wgpu.queue._internal,
                    self._memory,
                    self._readback,
                    self._measured,
                )
            self._recorder.measured = told
        return told

    def _tell(self, told: Event) -> None:
        timed = any(observer.timed for observer in self.observers)
        for observer in self.observers:
            observer.dispatched(told)
        if timed and "timestamp-query" not in self.profile.features:
            self._recorder.wait(self._recorder.submit())
            told.duration = perf_counter_ns() - told.start
            self._measured(told)

    def _measured(self, told: Event) -> None:
        for observer in self.observers:
            if observer.timed:
                observer.measured(told)

    def settle(self) -> None:
        """Submit, wait, and give the events so far their times."""
        with self._lock:
            if self._recorder.timing is not None and self._closed is None:
                self._recorder.submit()
                self._recorder.timing.collect()

    def _uniform(self, pipeline: Pipeline, packed: bytes) -> tuple[Any, int]:
        """The bind group of parameters and the slot that this dispatch owns in it."""
        offset = self._recorder.uniforms.place(packed)
        if offset is None:
            self._recorder.submit()
            offset = self._recorder.uniforms.place(packed)
            if offset is None:
                raise KernelError(
                    f"kernel {pipeline.name}: {len(packed):,} bytes of parameters do not fit a batch"
                )
        size = pipeline.uniform_size
        if size not in self._uniforms:
            loaded = native()
            entry = loaded.ffi.new(
                "WGPUBindGroupEntry *", {"buffer": self._recorder.uniforms.handle, "size": size}
            )
            descriptor = loaded.ffi.new(
                "WGPUBindGroupDescriptor *",
                {"layout": self._pipelines.uniform_layout()._internal, "entryCount": 1, "entries": entry},
            )
            self._uniforms[size] = loaded.checked.wgpuDeviceCreateBindGroup(self._wgpu._internal, descriptor)
        return self._uniforms[size], offset

    def _count_error(self, spec: KernelSpec, counts: tuple[int, int, int]) -> KernelError:
        return KernelError(
            f"kernel {spec.name}: workgroup_count {spec.workgroup_count} gives {counts}, expected 0 to "
            f"{self._counts_limit:,} in each dimension; fold the x dimension into y, or split the work"
        )

    # Life time and checks.

    def dispose(self) -> None:
        """Wait for submitted work and free everything; a second call does nothing."""
        with self._lock:
            if self._closed is not None:
                return
            self._recorder.wait(self._recorder.submit())
            self._closed = DisposedError(
                f"device {self.name} was disposed; open it anew: weft.devices.open({self.name!r})"
            )
            self._pool.trim()
            self._groups.clear()
            if self._recorder.timing is not None:
                self._recorder.timing.dispose()
            self._readback.dispose()
            self._wgpu.destroy()

    def lose(self) -> DeviceError:
        """Close a device that its driver has lost; gives the error that says so."""
        self._closed = DeviceError(
            f"device {self.name} was lost: its driver was reset, or it was removed, and what was on it is gone; "
            f"open it anew with weft.devices.open({self.name!r}) and load your tensors again"
        )
        return DeviceError(str(self._closed))

    @property
    def disposed(self) -> bool:
        """Whether the device can no longer be used."""
        return self._closed is not None

    def _usable(self) -> None:
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))

    def _begin(self, call: str) -> None:
        if self._closed is not None:
            self._usable()
        if self.before_call is not None:
            self.before_call(call)

    def _flat(self, data: memoryview) -> memoryview:
        view = memoryview(data)
        if not view.c_contiguous:
            raise ArgumentError("write: data is a strided view, expected contiguous bytes; copy it first")
        return view.cast("B") if view.nbytes else memoryview(b"")

    def _inside(self, call: str, storage: Storage, offset: int, size: int) -> None:
        if storage.device is not self:
            raise DeviceError(f"{call}: the storage is on {storage.device.name}, expected one on {self.name}")
        if offset < 0 or size < 0 or offset + size > storage.size:
            raise ArgumentError(
                f"{call}: bytes {offset} to {offset + size} were asked for, expected a range within the "
                f"storage's {storage.size}"
            )
        storage.buffer  # noqa: B018  raises DisposedError


_opened: weakref.WeakSet[WebGpuDevice] = weakref.WeakSet()


def _after_fork() -> None:
    """A forked child shares the parent's driver state and may not touch it, not even to free it."""
    for device in _opened:
        device._closed = DeviceError(
            f"device {device.name} was opened before this process was forked and cannot be used in the child; "
            f"use threads, or start processes with multiprocessing's 'spawn' method"
        )
    if len(_opened):
        abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
