"""``CpuDevice``: storages in host memory and kernels compiled by LLVM, run at once on the calling thread or on all.

Every call is finished when it returns, so order is the order of the calls, and an index that a kernel finds out
of range is raised by its dispatch.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from weft.devices.base import Buffer as DeviceBuffer
from weft.devices.base import DispatchArguments, HostDevice, Launch, MemoryStats, Range, Storage
from weft.devices.counts import Counts, compile_counts
from weft.devices.cpu import blas, memory
from weft.devices.cpu.compiler import Code, compile_kernel
from weft.devices.cpu.launching import launch
from weft.devices.cpu.replay import CpuReplay
from weft.devices.cpu.threads import Workers, default_count
from weft.devices.events import event
from weft.devices.pool import Pool
from weft.devices.recent import KERNELS, Recent
from weft.errors import (
    ArgumentError,
    DeviceError,
    DisposedError,
    IndexOutOfRangeError,
    KernelError,
    ReadOnlyError,
)
from weft.plan import Plan
from weft.target import CPU, KernelSpec, TargetProfile

if TYPE_CHECKING:
    import numpy

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Compiled:
    """A kernel ready to be called; ``code`` keeps the machine code alive."""

    code: Code
    entry: Any
    address: int
    """Where the function lies."""
    slots: str
    """For each parameter the letter that ``struct`` packs it by."""
    pack_pointers: Any
    pack_parameters: Any
    counts: Counts
    """Work items, and the total work that they are."""
    products: bool  # calls the BLAS


class CpuDevice(HostDevice):
    """The processor of this machine. ``threads`` is how many run a large kernel (default: all, or ``WEFT_THREADS``).

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
        self._kernels: Recent[KernelSpec, Compiled] = Recent(KERNELS, alive=True)
        # By id, since hashing a spec takes longer than a small kernel; the spec is held, so that its id stays its own.
        self._found: Recent[int, tuple[KernelSpec, Compiled]] = Recent(KERNELS)
        self.lock = threading.RLock()
        self._lock = threading.Lock()  # of the tables of kernels
        self._dispatches = 0
        self._launched = ctypes.c_int64()  # dispatches counted by launches
        _opened.add(self)

    # Memory.

    def allocate(self, size: int) -> Storage:
        """A storage of ``size`` bytes; ``OutOfMemoryError`` where that is not to be had."""
        if self._unusable is not None or self.before_call is not None:
            self._enter("allocate")
        return self._pool.allocate(size)

    def allocator(self) -> Callable[[int], Storage]:
        """The pool's own function."""
        return self._pool.allocate

    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Storages that share one buffer."""
        self._enter("allocate")
        return self._pool.allocate_together(sizes)

    def release(self, buffer: DeviceBuffer) -> None:
        """Keep the memory for reuse; adopted memory goes back to its owner."""
        if not isinstance(buffer, memory.Adopted):
            self._pool.release(buffer)

    def storage_gone(self, size: int) -> None:
        """Account for a storage that was disposed."""
        self._pool.storage_gone(size)

    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes into the storage; ``ArgumentError`` outside it."""
        self._enter("write")
        given = data.cast("B") if data.nbytes else data
        self._bounds("write", storage, offset, data.nbytes)
        if data.nbytes:
            self.view(storage)[offset : offset + data.nbytes] = given

    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """A copy of bytes of the storage; ``ArgumentError`` outside it."""
        self._enter("read")
        self._bounds("read", storage, offset, size)
        return bytearray(self.view(storage)[offset : offset + size])

    def copy(self, source: Storage, destination: Storage) -> None:
        """Copy all of one storage to the beginning of another."""
        self._enter("copy")
        self._bounds("copy", destination, 0, source.size)
        self.view(destination)[: source.size] = self.view(source)

    def view(self, storage: Storage) -> memory.Bytes:
        """The storage's bytes as a NumPy array over the same memory; it keeps the memory from being freed.

        The pool may still hand the memory to others once the storage is gone: hold the storage too.
        """
        held: memory.Memory = storage.buffer.handle
        return held.bytes[storage.offset : storage.offset + storage.size]

    def adopt(self, array: numpy.ndarray[Any, Any]) -> Storage:
        """A storage over the memory of a contiguous, writable array, which is kept alive and never reused.

        Raises ``ArgumentError`` for an array that is not contiguous and aligned, ``ReadOnlyError`` for one that
        may not be written.
        """
        self._enter("allocate")
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ArgumentError(
                f"adopt: the array has strides {array.strides}, expected contiguous and aligned; copy it first"
            )
        if not array.flags.writeable:
            raise ReadOnlyError(
                "adopt: the array is read-only, expected one that may be written; copy it first"
            )
        return self._pool.adopt(memory.Adopted(self, memory.over(array), array.nbytes))

    def number(self, storage: Storage, offset: int, format_: struct.Struct) -> bool | int | float:
        """The number at a byte of the storage."""
        if self._unusable is not None or self.before_call is not None:
            self._enter("read")
        found: bool | int | float = format_.unpack_from(storage.buffer.handle.bytes, storage.offset + offset)[
            0
        ]
        return found

    def _bounds(self, call: str, storage: Storage, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > storage.size:
            raise ArgumentError(
                f"{call}: bytes {offset} to {offset + size} given, expected a range within the storage's {storage.size}"
            )

    # Kernels.

    def register_kernel(self, spec: KernelSpec) -> None:
        """Compile a kernel now; ``KernelError`` carries LLVM's message and the line."""
        self.check_usable()
        self.compiled(spec)

    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Run a kernel to its end; an index that it finds out of range raises ``IndexOutOfRangeError``."""
        self._enter("dispatch")
        self._dispatch(spec, ranges, parameters, report)

    def dispatch_kernels(self, calls: Sequence[DispatchArguments]) -> None:
        """Run kernels in order; all are compiled, and their arguments looked at, before the first one runs."""
        for spec, ranges, parameters, _ in calls:
            self._enter("dispatch")
            kernel = self._kernel(spec)
            if kernel.counts(parameters)[0] > 0:
                self._packed(kernel, spec, ranges, parameters)
        for call in calls:
            self._dispatch(*call)

    def _kernel(self, spec: KernelSpec) -> Compiled:
        found = self._found.young.get(id(spec)) or self._found.get(id(spec))
        return found[1] if found is not None else self.compiled(spec)

    def _packed(
        self, kernel: Compiled, spec: KernelSpec, ranges: Sequence[Range], parameters: Sequence[int | float]
    ) -> tuple[bytes, bytes, Any]:
        """Pointers, parameters, and the words where a kernel reports, ``None`` where it does not."""
        addresses = [given.buffer.handle.address + given.offset for given in ranges]
        status = None
        if spec.reports:
            status = (ctypes.c_int64 * 2)()
            addresses.append(ctypes.addressof(status))
            parameters = (*parameters, 0)
        try:
            return kernel.pack_pointers(*addresses), kernel.pack_parameters(*parameters), status
        except struct.error as error:
            raise self.mismatch(spec, ranges, parameters, error) from None

    def _dispatch(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None,
    ) -> None:
        found = self._found.young.get(id(spec))
        kernel = found[1] if found is not None else self._kernel(spec)
        items, work, _ = kernel.counts(parameters)
        if items <= 0:
            return
        pointers, values, status = self._packed(kernel, spec, ranges, parameters)
        self._dispatches += 1
        pieces = work // spec.workgroup_size[0]
        told = event(self.name, spec, ranges, (max(1, pieces), 1, 1)) if self.observers else None
        if kernel.products:
            with blas.ON_ONE_THREAD:
                self.workers.run(kernel.entry, pointers, values, items, pieces)
        elif pieces <= 1:
            kernel.entry(pointers, values, 0, items)
        else:
            self.workers.run(kernel.entry, pointers, values, items, pieces)
        if told is not None:
            told.duration = perf_counter_ns() - told.start
            for observer in self.observers:
                observer.dispatched(told)
        if status is not None and status[0]:
            where, what = report or (spec.name, "index")
            raise IndexOutOfRangeError(f"{where}: {what} {status[1]} is out of range")

    def launcher(
        self, spec: KernelSpec, parameters: Sequence[int | float], changing: Sequence[int] = ()
    ) -> Launch | None:
        """The dispatch of a kernel whose work is known: its entry is called with arguments packed before."""
        kernel = self._kernel(spec)
        items, work, _ = kernel.counts(parameters)
        if items <= 0:
            return None
        pieces, buffers = work // spec.workgroup_size[0], len(spec.inputs) + len(spec.outputs)
        if pieces <= 1 and not (kernel.products and work > blas.ALONE):
            usual = (*parameters, 0) if spec.reports else parameters
            return launch(
                kernel.address, buffers, kernel.slots, usual, changing, items, self._launched, spec.reports,
                (kernel, self._launched),
            )  # fmt: skip
        return None if spec.reports else self._shared(kernel, buffers, parameters, changing, items, pieces)

    def _shared(
        self, kernel: Compiled, buffers: int, parameters: Sequence[int | float], changing: Sequence[int],
        items: int, pieces: int,
    ) -> Launch:  # fmt: skip
        """The launch of a kernel whose work is spread over the threads."""
        entry, pack, pack_parameters = kernel.entry, kernel.pack_pointers, kernel.pack_parameters
        usual = pack_parameters(*parameters)
        setting: AbstractContextManager[None] = blas.ON_ONE_THREAD if kernel.products else nullcontext()

        # the machine code is there as long as this
        def shared(*given: Any, _held: Compiled = kernel) -> None:
            values = usual
            if changing:
                own = list(parameters)
                for position, value in zip(changing, given[buffers:], strict=True):
                    own[position] = value
                values = pack_parameters(*own)
            try:
                pointers = pack(*given[:buffers])
            except struct.error as error:
                raise TypeError(str(error)) from None
            self._dispatches += 1
            with setting:
                self.workers.run(entry, pointers, values, items, pieces)

        return shared

    def mismatch(
        self, spec: KernelSpec, ranges: Sequence[Any], parameters: Sequence[int | float], error: Exception
    ) -> KernelError:
        """The error of ranges and parameters that are not those of a kernel."""
        names = ", ".join(f"{parameter.name}: {parameter.dtype.name}" for parameter in spec.parameters)
        return KernelError(
            f"{spec.name}: {len(ranges)} ranges and parameters {tuple(parameters)} given, expected "
            f"{len(spec.inputs) + len(spec.outputs)} ranges and ({names}): {error}"
        )

    def compiled(self, spec: KernelSpec) -> Compiled:
        """The kernel, compiled at its first use."""
        with self._lock:
            kernel = self._kernels.get(spec)
            if kernel is None:
                kernel = self._compile(spec)
                self._kernels.put(spec, kernel)
            self._found.put(id(spec), (spec, kernel))
            return kernel

    def _compile(self, spec: KernelSpec) -> Compiled:
        if spec.language != "llvm":
            raise KernelError(f"{spec.name}: language {spec.language!r} given, the cpu device takes 'llvm'")
        code = compile_kernel(spec.name, spec.source)
        if len(code.functions) != 1:
            raise KernelError(
                f"{spec.name}: public functions {sorted(code.functions)} given, expected exactly one"
            )
        buffers = len(spec.inputs) + len(spec.outputs) + spec.reports
        slots = "".join("d" if parameter.dtype.kind == "float" else "q" for parameter in spec.parameters)
        address = next(iter(code.functions.values()))
        return Compiled(
            code,
            ENTRY(address),
            address,
            slots + "q" * spec.reports,
            struct.Struct(f"{buffers}Q").pack,
            struct.Struct(f"{slots}{'q' if spec.reports else ''}").pack,
            compile_counts(spec),
            any(symbol in spec.source for symbol in blas.PRODUCTS),
        )

    def prepare(self, plan: Plan) -> CpuReplay:
        """A plan whose run is one native call."""
        self.check_usable()
        return CpuReplay(self, plan)

    # The device as a whole.

    def dispatched(self, count: int) -> None:
        """Account for kernels that a replay started."""
        self._dispatches += count

    def synchronize(self) -> None:
        """Nothing to wait for: every call is finished when it returns."""
        self.check_usable()

    def memory_stats(self) -> MemoryStats:
        """Memory and dispatch counters now."""
        return self._pool.stats(self._dispatches + self._launched.value)

    def dispose(self) -> None:
        """Free what is pooled, forget the kernels, end the threads; later calls raise ``DisposedError``."""
        self._unusable = "the device cpu was disposed; open it anew with weft.devices.open('cpu')"
        self._consider()
        self.workers.stop()
        self._kernels.clear()
        self._found.clear()
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
        """``DisposedError`` after ``dispose()``, ``DeviceError`` in a forked child."""
        if self._unusable is not None:
            kind = DeviceError if "fork" in self._unusable else DisposedError
            raise kind(self._unusable)

    def _forked(self) -> None:
        self._unusable = (
            "the device cpu was opened before this process was forked, and its threads are not here; "
            "start processes with multiprocessing's 'spawn', or use threads"
        )
        self._consider()
        self.workers.forget()


_opened: WeakSet[CpuDevice] = WeakSet()


def _after_fork() -> None:
    for device in _opened:
        device._forked()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
