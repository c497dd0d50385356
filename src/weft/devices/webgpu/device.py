"""``WebGpuDevice``: the device interface over wgpu-native. It owns order, locking and life time; its parts do the rest.

The device's lock is held while work is recorded, and not while the host waits for results. A dispatch costs about ten
microseconds of Python: two dictionary lookups for the pipeline and the bind group, and four C calls.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from weft.devices.base import Buffer, DispatchArguments, MemoryStats, Range, Storage
from weft.devices.events import make_event
from weft.devices.observers import Event
from weft.devices.pool import Pool
from weft.devices.webgpu import loss, status, tuned
from weft.devices.webgpu.adapters import Adapter
from weft.devices.webgpu.groups import CAPACITY, BindGroups, Group
from weft.devices.webgpu.memory import COPY_DESTINATION, COPY_SOURCE, STORAGE, NativeMemory, WebGpuBuffer
from weft.devices.webgpu.native import abandon, native, quiet
from weft.devices.webgpu.pipelines import Pipeline, Pipelines
from weft.devices.webgpu.readback import Readback
from weft.devices.webgpu.recorder import UNIFORMS, Recorder
from weft.devices.webgpu.replay import WebGpuReplay
from weft.devices.webgpu.timing import Timestamps
from weft.devices.webgpu.transfers import Transfers
from weft.devices.webgpu.waiting import Waiter
from weft.errors import DeviceError, DisposedError, KernelError
from weft.plan import Plan
from weft.target import Choices, KernelSpec

NO_REPORT = ("kernel", "index")
AT_ONCE = CAPACITY // 2
"""The most dispatches of a ``dispatch_kernels``: with more, the cache could evict a bind group before its use."""


class WebGpuDevice(Transfers):
    """A device on one adapter, opened with the adapter's own limits and the features that kernels can use."""

    def __init__(self, adapter: Adapter) -> None:
        info = adapter.info
        self.name = info.name
        self.description = f"{info.device} ({info.backend}{', software' if info.software else ''})"
        self._info = info
        self.profile = replace(adapter.profile(), choices=tuned.load(info))
        limits = dict(self.profile.limits)
        self.alignment = max(256, limits["min-storage-buffer-offset-alignment"])
        self._closed: DeviceError | None = None
        self.lock = threading.RLock()
        self._wgpu = self._open(adapter)
        handle, queue = self._wgpu._internal, self._wgpu.queue._internal
        self.memory = NativeMemory(handle)
        self._pool = Pool(self, self.memory.create, self._destroy, limits["max-buffer-size"], WebGpuBuffer)
        self._status = self.memory.create(status.SIZE, STORAGE | COPY_SOURCE | COPY_DESTINATION)
        self._waiter = Waiter(handle, self.profile.software)
        alignment = limits["min-uniform-buffer-offset-alignment"]
        self.recorder = Recorder(self.memory, handle, queue, alignment, self._waiter)
        self.pipelines = Pipelines(self._wgpu, self.profile)
        self.groups = BindGroups(self, handle, limits, self._status)
        self._readback = Readback(self.name, handle, self.memory, self._waiter)
        self.reports = status.Reports()
        self._abandoned = []
        self._uniforms: dict[int, Any] = {}
        self._dispatches = 0
        self.largest_binding = limits["max-storage-buffer-binding-size"]
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
        """Return a storage from the pool; its contents are those of an earlier storage, or zeros."""
        self._begin("allocate")
        with self.lock:
            return self._pool.allocate(size)

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Return storages in one buffer; kernels that read some of them and write others bind all as read_write."""
        self._begin("allocate")
        with self.lock:
            return self._pool.allocate_together(sizes)

    def release(self, buffer: Buffer) -> None:
        """Queue a buffer for the pool; recorded work on it runs before any later work that reuses it."""
        self._pool.release(buffer)

    def storage_disposed(self, size: int) -> None:
        """Queue the size of a disposed storage for the pool's counters."""
        self._pool.storage_disposed(size)

    def memory_stats(self) -> MemoryStats:
        """Return the counters of the pool and of dispatches."""
        with self.lock:
            return self._pool.stats(self._dispatches)

    def _destroy(self, buffer: Buffer) -> None:
        """Free a buffer's native memory; called by the pool under the lock."""
        assert isinstance(buffer, WebGpuBuffer)
        self.groups.forget(buffer)
        self.memory.release(buffer.handle)
        buffer.handle = None

    # Kernels.

    def register_kernel(self, spec: KernelSpec) -> None:
        """Compile a kernel now instead of at its first dispatch."""
        self.check_usable()
        with self.lock:
            self.pipelines.get(spec)

    def register_kernels(self, specs: Iterable[KernelSpec]) -> None:
        """Compile kernels in parallel."""
        self.check_usable()
        with self.lock:
            self.pipelines.get_all(specs)

    def prepare(self, plan: Plan) -> WebGpuReplay:
        """Return a replay of the plan; its native objects are made now, and runs only record them."""
        self.check_usable()
        with self.lock:
            return WebGpuReplay(self, plan)

    def dispatched(self, count: int) -> None:
        """Count the dispatches that a replay recorded."""
        self._dispatches += count

    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Record a dispatch, unless a workgroup count is 0. Errors are raised before anything is recorded."""
        self._begin("dispatch")
        with self.lock:
            self._record(spec, ranges, *self._ready(spec, ranges, parameters, report))

    def dispatch_kernels(self, calls: Sequence[DispatchArguments]) -> None:
        """Record dispatches in order; all are compiled, packed and bound before the first one is recorded."""
        if len(calls) > AT_ONCE:
            raise KernelError(f"{len(calls):,} dispatches are given at once, expected at most {AT_ONCE:,}")
        with self.lock:
            ready = []
            for call in calls:
                self._begin("dispatch")
                ready.append(self._ready(*call))
            for (spec, ranges, *_), prepared in zip(calls, ready, strict=True):
                self._record(spec, ranges, *prepared)

    def _ready(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None,
    ) -> tuple[Pipeline, bytes, tuple[int, int, int], Group | None]:
        """Do the part of a dispatch that can fail: compile the kernel, pack its parameters, bind its ranges."""
        pipeline = self.pipelines.get(spec)
        if pipeline.layout.reports:
            packed = pipeline.pack(*parameters, self.reports.number(report or NO_REPORT))
        else:
            packed = pipeline.pack(*parameters)
        counts = self.counts(spec, pipeline, parameters)
        if min(counts) == 0:
            return pipeline, packed, counts, None
        if pipeline.uniform_size > UNIFORMS:
            raise KernelError(
                f"kernel {pipeline.name}: {len(packed):,} bytes of parameters do not fit a batch"
            )
        return pipeline, packed, counts, self.groups.get(pipeline, ranges)

    def _record(
        self, spec: KernelSpec, ranges: Sequence[Range], pipeline: Pipeline, packed: bytes,
        counts: tuple[int, int, int], group: Group | None,
    ) -> None:  # fmt: skip
        if group is None:
            return
        recorder = self.recorder
        uniform, offset = None, 0
        if pipeline.uniform_size:
            uniform, offset = self._uniform(pipeline, packed)
        handle, buffers = group
        for buffer in buffers:
            buffer.batch = recorder.batch
        if pipeline.layout.reports:
            self.reports.pending = True
        self._dispatches += 1
        event = None
        if self.observers:
            event = self._begin_event(spec, ranges, counts)
        recorder.dispatch(pipeline.name, pipeline.handle, handle, packed, uniform, offset, counts)
        if event is not None:
            self._end_event(event)

    def _begin_event(self, spec: KernelSpec, ranges: Sequence[Range], counts: tuple[int, int, int]) -> Event:
        """Return the event of the next dispatch, with GPU timestamps where available and an observer asks for times."""
        event = make_event(self.name, spec, ranges, counts)
        if any(observer.timed for observer in self.observers):
            if "timestamp-query" not in self.profile.features:
                # the time of this dispatch must not include earlier work
                self.recorder.wait(self.recorder.submit())
                event.start = perf_counter_ns()
                return event
            if self.recorder.timing is None:
                self.recorder.timing = Timestamps(
                    self._wgpu._internal,
                    self._wgpu.queue._internal,
                    self.memory,
                    self._readback,
                    self._measured,
                )
            self.recorder.measured = event
        return event

    def _end_event(self, event: Event) -> None:
        timed = any(observer.timed for observer in self.observers)
        for observer in self.observers:
            observer.dispatched(event)
        if timed and "timestamp-query" not in self.profile.features:
            self.recorder.wait(self.recorder.submit())
            event.duration = perf_counter_ns() - event.start
            self._measured(event)

    def _measured(self, event: Event) -> None:
        for observer in self.observers:
            if observer.timed:
                observer.measured(event)

    def settle(self) -> None:
        """Submit, wait, and set the durations of the events so far."""
        with self.lock:
            if self.recorder.timing is not None and self._closed is None:
                self.recorder.submit()
                self.recorder.timing.collect()

    def _uniform(self, pipeline: Pipeline, packed: bytes) -> tuple[Any, int]:
        """Return the bind group of parameters, and the offset of the slot in it that this dispatch owns."""
        offset = self.recorder.uniforms.place(packed)
        if offset is None:
            self.recorder.submit()
            offset = self.recorder.uniforms.place(packed)
            assert offset is not None, "``_ready`` checked that the parameters fit an empty block"
        size = pipeline.uniform_size
        if size not in self._uniforms:
            self._uniforms[size] = self.uniform_group(self.recorder.uniforms.handle, size)
        return self._uniforms[size], offset

    def uniform_group(self, buffer: Any, size: int) -> Any:
        """Return a bind group of ``size`` bytes of parameters, at a dynamic offset that each dispatch passes."""
        loaded = native()
        entry = loaded.ffi.new("WGPUBindGroupEntry *", {"buffer": buffer, "size": size})
        descriptor = loaded.ffi.new(
            "WGPUBindGroupDescriptor *",
            {"layout": self.pipelines.uniform_layout()._internal, "entryCount": 1, "entries": entry},
        )
        return loaded.checked.wgpuDeviceCreateBindGroup(self._wgpu._internal, descriptor)

    def counts(
        self, spec: KernelSpec, pipeline: Pipeline, parameters: Sequence[int | float]
    ) -> tuple[int, int, int]:
        """Return the workgroup counts of a dispatch; raises ``KernelError`` for counts beyond the device's limits."""
        counts = pipeline.counts(parameters)
        if min(counts) < 0 or (max(counts) > self._counts_limit and min(counts) > 0):
            raise KernelError(
                f"kernel {spec.name}: workgroup_count {spec.workgroup_count} gives {counts}, expected 0 to "
                f"{self._counts_limit:,} in each dimension; fold the x dimension into y, or split the work"
            )
        return counts

    def choose(self, choices: Choices) -> Path | None:
        """Generate kernels by measured choices, now and in later processes; return the file that keeps them."""
        self.profile = replace(self.profile, choices=choices)
        return tuned.save(self._info, choices)

    # Life time and checks.

    def dispose(self) -> None:
        """Wait for submitted work and free everything; a second call does nothing."""
        with self.lock:
            if self._closed is not None:
                return
            self.recorder.wait(self.recorder.submit())
            self._closed = DisposedError(
                f"device {self.name} was disposed; open it anew: weft.devices.open({self.name!r})"
            )
            self._pool.trim()
            self.groups.clear()
            if self.recorder.timing is not None:
                self.recorder.timing.dispose()
            self._readback.dispose()
            self._waiter.close()
            self._wgpu.destroy()

    def lose(self) -> DeviceError:
        """Close a device that its driver has lost; return the error that says so."""
        self._closed = DeviceError(
            f"device {self.name} was lost: its driver was reset, or it was removed, and what was on it is gone; "
            f"open it anew with weft.devices.open({self.name!r}) and load your tensors again"
        )
        return DeviceError(str(self._closed))

    @property
    def has_abandoned_work(self) -> bool:
        """Whether work of an interrupted read is still running."""
        return any(ticket.state is None for ticket, _ in self._abandoned)

    @property
    def disposed(self) -> bool:
        """Whether the device can no longer be used."""
        return self._closed is not None

    def check_usable(self) -> None:
        """Raise the error of a closed device."""
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))


_opened: weakref.WeakSet[WebGpuDevice] = weakref.WeakSet()


def _after_fork() -> None:
    """Close all devices in a forked child, which must not use the parent's driver state, not even to free it."""
    for device in _opened:
        device._closed = DeviceError(
            f"device {device.name} was opened before this process was forked and cannot be used in the child; "
            f"use threads, or start processes with multiprocessing's 'spawn' method"
        )
    if len(_opened):
        abandon()


def _at_exit() -> None:
    """Restore the default action of Ctrl-C where a kernel still runs, since the driver waits for it at exit."""
    waited_for = [device.name for device in _opened if device.has_abandoned_work]
    if waited_for and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stderr.write(
            f"weft: {', '.join(waited_for)} is still running a kernel, which the driver waits for; "
            f"Ctrl-C ends the process now\n"
        )
        sys.stderr.flush()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
