"""``WebGpuDevice``: the device interface over wgpu-native. Order, locking and life time; the parts do the rest.

One lock is held while something is recorded, none while the host waits for results. Python per dispatch is some
ten microseconds: pipelines and bind groups are found in dictionaries, and four C calls record the work.
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
from weft.devices.events import event
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
"""Dispatches that are prepared together, at most: no group of theirs is dropped meanwhile."""


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
        """From the pool; the contents are what an earlier storage left, zeros at first."""
        self._begin("allocate")
        with self.lock:
            return self._pool.allocate(size)

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """One buffer for all: kernels that read some of them and write others bind every one as read_write."""
        self._begin("allocate")
        with self.lock:
            return self._pool.allocate_together(sizes)

    def release(self, buffer: Buffer) -> None:
        """Queue a buffer for the pool; recorded work that uses it comes before whatever uses it next."""
        self._pool.release(buffer)

    def storage_gone(self, size: int) -> None:
        """Queue the news for the pool."""
        self._pool.storage_gone(size)

    def memory_stats(self) -> MemoryStats:
        """Counters of the pool and of dispatches."""
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
        """Compile now what the first dispatch would compile."""
        self.check_usable()
        with self.lock:
            self.pipelines.get(spec)

    def register_kernels(self, specs: Iterable[KernelSpec]) -> None:
        """Compile kernels side by side."""
        self.check_usable()
        with self.lock:
            self.pipelines.get_all(specs)

    def prepare(self, plan: Plan) -> WebGpuReplay:
        """A plan whose run records native handles that were made once."""
        self.check_usable()
        with self.lock:
            return WebGpuReplay(self, plan)

    def dispatched(self, count: int) -> None:
        """Account for dispatches that a replay recorded."""
        self._dispatches += count

    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Record a dispatch; nothing is recorded where a count is 0. Errors come before anything is recorded."""
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
            for (spec, ranges, *_), one in zip(calls, ready, strict=True):
                self._record(spec, ranges, *one)

    def _ready(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None,
    ) -> tuple[Pipeline, bytes, tuple[int, int, int], Group | None]:
        """The kernel compiled, its arguments packed and its ranges bound: what can fail of a dispatch."""
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
        told = None
        if self.observers:
            told = self._observed(spec, ranges, counts)
        recorder.dispatch(pipeline.name, pipeline.handle, handle, packed, uniform, offset, counts)
        if told is not None:
            self._tell(told)

    def _observed(self, spec: KernelSpec, ranges: Sequence[Range], counts: tuple[int, int, int]) -> Event:
        """The event of the dispatch that comes next; timed by the GPU where it can, and somebody wants it."""
        told = event(self.name, spec, ranges, counts)
        if any(observer.timed for observer in self.observers):
            if "timestamp-query" not in self.profile.features:
                self.recorder.wait(self.recorder.submit())  # what came before is not this dispatch's time
                told.start = perf_counter_ns()
                return told
            if self.recorder.timing is None:
                self.recorder.timing = Timestamps(
                    self._wgpu._internal,
                    self._wgpu.queue._internal,
                    self.memory,
                    self._readback,
                    self._measured,
                )
            self.recorder.measured = told
        return told

    def _tell(self, told: Event) -> None:
        timed = any(observer.timed for observer in self.observers)
        for observer in self.observers:
            observer.dispatched(told)
        if timed and "timestamp-query" not in self.profile.features:
            self.recorder.wait(self.recorder.submit())
            told.duration = perf_counter_ns() - told.start
            self._measured(told)

    def _measured(self, told: Event) -> None:
        for observer in self.observers:
            if observer.timed:
                observer.measured(told)

    def settle(self) -> None:
        """Submit, wait, and give the events so far their times."""
        with self.lock:
            if self.recorder.timing is not None and self._closed is None:
                self.recorder.submit()
                self.recorder.timing.collect()

    def _uniform(self, pipeline: Pipeline, packed: bytes) -> tuple[Any, int]:
        """The bind group of parameters and the slot that this dispatch owns in it."""
        offset = self.recorder.uniforms.place(packed)
        if offset is None:
            self.recorder.submit()
            offset = self.recorder.uniforms.place(packed)
            assert offset is not None, "its size was asked about before"
        size = pipeline.uniform_size
        if size not in self._uniforms:
            self._uniforms[size] = self.uniform_group(self.recorder.uniforms.handle, size)
        return self._uniforms[size], offset

    def uniform_group(self, buffer: Any, size: int) -> Any:
        """A bind group of ``size`` bytes of parameters, at an offset that each dispatch gives."""
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
        """The workgroup counts of a dispatch; ``KernelError`` for those that the device does not take."""
        counts = pipeline.counts(parameters)
        if min(counts) < 0 or (max(counts) > self._counts_limit and min(counts) > 0):
            raise KernelError(
                f"kernel {spec.name}: workgroup_count {spec.workgroup_count} gives {counts}, expected 0 to "
                f"{self._counts_limit:,} in each dimension; fold the x dimension into y, or split the work"
            )
        return counts

    def choose(self, choices: Choices) -> Path | None:
        """Have kernels made as measurements say, now and in later processes; gives the file that keeps it."""
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
        """Close a device that its driver has lost; gives the error that says so."""
        self._closed = DeviceError(
            f"device {self.name} was lost: its driver was reset, or it was removed, and what was on it is gone; "
            f"open it anew with weft.devices.open({self.name!r}) and load your tensors again"
        )
        return DeviceError(str(self._closed))

    @property
    def is_behind(self) -> bool:
        """Whether work is still running that an interrupted read waited for."""
        return any(ticket.state is None for ticket, _ in self._abandoned)

    @property
    def disposed(self) -> bool:
        """Whether the device can no longer be used."""
        return self._closed is not None

    def check_usable(self) -> None:
        """Raise what closed the device, where something has."""
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))


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


def _at_exit() -> None:
    """Where an interrupted read's kernel still runs, let another Ctrl-C end the process in the driver's wait."""
    waited_for = [device.name for device in _opened if device.is_behind]
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
