"""``CpuDevice``: storages in host memory, and kernels compiled by LLVM that run on one thread or on all threads.

Device calls are synchronous: a call has finished when it returns, and a dispatch itself raises the index that its
kernel finds out of range.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from weft.devices.base import Buffer as DeviceBuffer
from weft.devices.base import DispatchArguments, Launch, MemoryStats, Range, Storage
from weft.devices.cpu import blas, memory
from weft.devices.cpu.kernels import Compiled, Kernels
from weft.devices.cpu.launching import launch
from weft.devices.cpu.opened import Opened
from weft.devices.cpu.replay import CpuReplay
from weft.devices.cpu.threads import Workers, default_count
from weft.devices.events import make_event
from weft.devices.pool import Pool
from weft.errors import ArgumentError, DeviceError, DisposedError, IndexOutOfRangeError, ReadOnlyError
from weft.plan import Plan
from weft.target import CPU, KernelSpec, TargetProfile

if TYPE_CHECKING:
    import numpy


class CpuDevice(Opened):
    """The processor of this machine.

    Args:
        threads: The number of threads for large kernels (default: ``WEFT_THREADS``, or one for each processor).

    >>> device = CpuDevice()
    >>> storage = device.allocate(4)
    >>> device.write(storage, memoryview(b"weft"))
    >>> device.read(storage, 1, 3)
    bytearray(b'eft')
    """

    def __init__(self, threads: int | None = None) -> None:
        self.name = "cpu"
        self.workers = Workers(default_count() if threads is None else threads)
        found = blas.find()
        features = CPU.features | ({"blas"} if found is not None else set())
        self.profile = TargetProfile(CPU.dialect, frozenset(features), CPU.limits)
        products = f"{found.path.name}" if found is not None else "no BLAS: matrix products are generated"
        self.description = f"{platform.machine()}, {self.workers.count} threads, {products}"
        self._pool = Pool(self, memory.allocate, lambda buffer: None)
        self.kernels = Kernels()
        self.lock = threading.RLock()
        self._dispatches = 0
        self._launched = ctypes.c_int64()  # the number of dispatches by launches
        _opened.add(self)

    # Memory.

    def allocate(self, size: int) -> Storage:
        """Return a storage of ``size`` bytes; raises ``OutOfMemoryError`` where there is not enough memory."""
        if self._unusable is not None or self.before_call is not None:
            self._enter("allocate")
        return self._pool.allocate(size)

    def allocator(self) -> Callable[[int], Storage]:
        """Return the pool's own ``allocate``."""
        return self._pool.allocate

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Return storages that share one buffer."""
        self._enter("allocate")
        return self._pool.allocate_together(sizes)

    def release(self, buffer: DeviceBuffer) -> None:
        """Keep the memory for reuse; adopted memory belongs to its owner and is not kept."""
        if not isinstance(buffer, memory.Adopted):
            self._pool.release(buffer)

    def storage_disposed(self, size: int) -> None:
        """Count a storage that was disposed."""
        self._pool.storage_disposed(size)

    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes into the storage; raises ``ArgumentError`` for a range outside it."""
        self._enter("write")
        given = data.cast("B") if data.nbytes else data
        self._check_range("write", storage, offset, data.nbytes)
        if data.nbytes:
            self.view(storage)[offset : offset + data.nbytes] = given

    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """Return a copy of bytes of the storage; raises ``ArgumentError`` for a range outside it."""
        self._enter("read")
        self._check_range("read", storage, offset, size)
        return bytearray(self.view(storage)[offset : offset + size])

    def copy(self, source: Storage, destination: Storage) -> None:
        """Copy all bytes of a storage to the beginning of another storage."""
        self._enter("copy")
        self._check_range("copy", destination, 0, source.size)
        self.view(destination)[: source.size] = self.view(source)

    def view(self, storage: Storage) -> memory.Bytes:
        """Return the storage's bytes as a NumPy array over the same memory, which the array keeps alive.

        After the storage's end the pool may reuse the memory: keep a reference to the storage, too.
        """
        held: memory.Memory = storage.buffer.handle
        return held.bytes[storage.offset : storage.offset + storage.size]

    def adopt(self, array: numpy.ndarray[Any, Any]) -> Storage:
        """Return a storage over the memory of a contiguous, writable array, which is kept alive and never reused.

        Raises:
            ArgumentError: For an array that is not contiguous and aligned.
            ReadOnlyError: For an array that may not be written.
        """
        self._enter("allocate")
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ArgumentError(
                f"adopt: the array has strides {array.strides}, expected contiguous and aligned; copy it first"
            )
        if not array.flags.writeable:
            raise ReadOnlyError("adopt: the array is read-only, expected a writable array; copy it first")
        return self._pool.adopt(memory.Adopted(self, memory.of_array(array), array.nbytes))

    def number(self, storage: Storage, offset: int, format_: struct.Struct) -> bool | int | float:
        """Return the number that begins at byte ``offset`` of the storage."""
        if self._unusable is not None or self.before_call is not None:
            self._enter("read")
        found: bool | int | float = format_.unpack_from(storage.buffer.handle.bytes, storage.offset + offset)[
            0
        ]
        return found

    def _check_range(self, call: str, storage: Storage, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > storage.size:
            raise ArgumentError(
                f"{call}: bytes {offset} to {offset + size} given, expected a range within the storage's {storage.size}"
            )

    # Kernels.

    def register_kernel(self, spec: KernelSpec) -> None:
        """Compile a kernel now; ``KernelError`` carries LLVM's message and the line."""
        self.check_usable()
        self.kernels.get(spec)

    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Run a kernel to its end; raises ``IndexOutOfRangeError`` for an index that the kernel finds out of range."""
        self._enter("dispatch")
        self._dispatch(spec, ranges, parameters, report)

    def dispatch_kernels(self, calls: Sequence[DispatchArguments]) -> None:
        """Run kernels in order; all are compiled, and their arguments checked, before the first kernel runs."""
        for spec, ranges, parameters, _ in calls:
            self._enter("dispatch")
            kernel = self.kernels.get(spec)
            if kernel.counts(parameters)[0] > 0:
                kernel.pack(spec, ranges, parameters)
        for call in calls:
            self._dispatch(*call)

    def _dispatch(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None,
    ) -> None:
        found = self.kernels.by_id.young.get(id(spec))
        kernel = found[1] if found is not None else self.kernels.get(spec)
        items, work, _ = kernel.counts(parameters)
        if items <= 0:
            return
        pointers, values, status = kernel.pack(spec, ranges, parameters)
        self._dispatches += 1
        pieces = work // spec.workgroup_size[0]
        event = make_event(self.name, spec, ranges, (max(1, pieces), 1, 1)) if self.observers else None
        if kernel.products:
            with blas.ON_ONE_THREAD:
                self.workers.run(kernel.entry, pointers, values, items, pieces)
        elif pieces <= 1:
            kernel.entry(pointers, values, 0, items)
        else:
            self.workers.run(kernel.entry, pointers, values, items, pieces)
        if event is not None:
            event.duration = perf_counter_ns() - event.start
            for observer in self.observers:
                observer.dispatched(event)
        if status is not None and status[0]:
            where, what = report or (spec.name, "index")
            raise IndexOutOfRangeError(f"{where}: {what} {status[1]} is out of range")

    def launcher(
        self, spec: KernelSpec, parameters: Sequence[int | float], changing: Sequence[int] = ()
    ) -> Launch | None:
        """Return a function that calls the kernel's entry with parameters that are packed now."""
        kernel = self.kernels.get(spec)
        items, work, _ = kernel.counts(parameters)
        if items <= 0:
            return None
        pieces, buffers = work // spec.workgroup_size[0], len(spec.inputs) + len(spec.outputs)
        if pieces <= 1 and not (kernel.products and work > blas.ALONE):
            defaults = (*parameters, 0) if spec.reports else parameters
            return launch(
                kernel.address, buffers, kernel.slots, defaults, changing, items, self._launched, spec.reports,
                (kernel, self._launched),
            )  # fmt: skip
        return None if spec.reports else self._threaded(kernel, buffers, parameters, changing, items, pieces)

    def _threaded(
        self, kernel: Compiled, buffers: int, parameters: Sequence[int | float], changing: Sequence[int],
        items: int, pieces: int,
    ) -> Launch:  # fmt: skip
        """Return the launch of a kernel whose work items are distributed over the threads."""
        entry, pack, pack_parameters = kernel.entry, kernel.pack_pointers, kernel.pack_parameters
        defaults = pack_parameters(*parameters)
        setting: AbstractContextManager[None] = blas.ON_ONE_THREAD if kernel.products else nullcontext()

        # ``_kernel`` keeps the machine code alive as long as this function
        def threaded(*given: Any, _kernel: Compiled = kernel) -> None:
            values = defaults
            if changing:
                current = list(parameters)
                for position, value in zip(changing, given[buffers:], strict=True):
                    current[position] = value
                values = pack_parameters(*current)
            try:
                pointers = pack(*given[:buffers])
            except struct.error as error:
                raise TypeError(str(error)) from None
            self._dispatches += 1
            with setting:
                self.workers.run(entry, pointers, values, items, pieces)

        return threaded

    def prepare(self, plan: Plan) -> CpuReplay:
        """Return a replay of the plan whose run is one native call."""
        self.check_usable()
        return CpuReplay(self, plan)

    # The device as a whole.

    def dispatched(self, count: int) -> None:
        """Count the kernels that a replay started."""
        self._dispatches += count

    def synchronize(self) -> None:
        """Check that the device is usable; there is nothing to wait for, since all calls are synchronous."""
        self.check_usable()

    def memory_stats(self) -> MemoryStats:
        """Return the memory and dispatch counters now."""
        return self._pool.stats(self._dispatches + self._launched.value)

    def dispose(self) -> None:
        """Free pooled memory, drop the kernels and end the threads; later calls raise ``DisposedError``."""
        self._unusable = "the device cpu was disposed; open it anew with weft.devices.open('cpu')"
        self._update_direct()
        self.workers.stop()
        self.kernels.clear()
        self._pool.trim()

    @property
    def disposed(self) -> bool:
        """Whether the device was disposed, so that its name opens a new one."""
        return self._unusable is not None and "fork" not in self._unusable

    def _enter(self, call: str) -> None:
        if self._unusable is not None:
            self.check_usable()
        if self.before_call is not None:
            self.before_call(call)

    def check_usable(self) -> None:
        """Raise ``DisposedError`` after ``dispose()``, ``DeviceError`` in a forked child."""
        if self._unusable is not None:
            kind = DeviceError if "fork" in self._unusable else DisposedError
            raise kind(self._unusable)

    def _forked(self) -> None:
        self._unusable = (
            "the device cpu was opened before this process was forked, and its threads are not here; "
            "start processes with multiprocessing's 'spawn', or use threads"
        )
        self._update_direct()
        self.workers.forget()


_opened: WeakSet[CpuDevice] = WeakSet()


def _after_fork() -> None:
    for device in _opened:
        device._forked()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
