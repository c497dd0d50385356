"""The device interface: memory and kernels, nothing about ops.

A ``Storage`` is a range of a device's memory with a version counter; tensors are views of storages. A storage may be
moved (into an arena, by the pool), so callers do not keep its buffer across calls. ``Device`` declares every call that
a device offers; ``cpu`` and ``webgpu`` implement it.
"""

from __future__ import annotations

import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from weft.devices.observers import Observer
from weft.dtypes import DType
from weft.errors import ArgumentTypeError, DisposedError, UnsupportedError
from weft.plan import Plan
from weft.target import Choices, KernelSpec, TargetProfile

allocation_hook: Callable[[Storage], None] | None = None
"""A hook, called with every new storage where it is set: the leak report records the allocating line with it."""


@dataclass(frozen=True)
class MemoryStats:
    """The memory statistics of a device, in bytes, and its counters since it was opened.

    ``in_use`` bytes are held by live storages, ``peak`` is the largest ``in_use`` so far, ``pooled`` bytes are kept for
    reuse. ``allocations`` counts native allocations, ``dispatches`` the kernels started.
    """

    in_use: int
    peak: int
    pooled: int
    storages: int
    allocations: int
    dispatches: int
    limit: int | None = None


class Buffer:
    """A native allocation: ``size`` bytes behind ``handle``, shared by the storages that lie in it.

    ``address`` is the host address of the first byte, ``None`` on devices whose memory the host does not see.
    """

    __slots__ = ("__weakref__", "address", "device", "handle", "queue", "references", "size", "used")

    queue: deque[Buffer | int]
    """The queue by which the buffer returns to its pool; absent on a buffer that no pool made."""

    def __init__(self, device: Device, handle: Any, size: int) -> None:
        self.device = device
        self.handle = handle
        self.size = size
        self.address: int | None = getattr(handle, "address", None)
        self.references = 0  # storages in this buffer; at zero the device takes the memory back
        # the size of its only storage, where the pool made the buffer for that storage alone, else -1
        self.used = -1


class Storage:
    """``size`` bytes at ``offset`` of a buffer, with the version counter that autograd checks.

    The memory is freed with the last tensor on the storage, or at once by ``dispose()``; a later use raises
    ``DisposedError``. ``offset`` is a multiple of the device's binding alignment (256 bytes). ``address`` is the host
    address of the first byte; ``None`` after ``dispose()`` and on devices whose memory the host does not see.
    """

    __slots__ = ("__weakref__", "_buffer", "_reason", "address", "device", "offset", "size", "version")

    _reason: str  # why the memory is gone, for the error message; absent while the storage is usable

    def __init__(self, device: Device, buffer: Buffer, offset: int, size: int) -> None:
        if type(offset) is not int or type(size) is not int:
            raise ArgumentTypeError(
                f"storage: offset and size are {type(offset).__name__} and {type(size).__name__}, expected ints"
            )
        self.device = device
        self._buffer: Buffer | None = buffer
        buffer.references += 1
        self.offset = offset
        self.address = None if buffer.address is None else buffer.address + offset
        self.size = size
        self.version = 0
        if allocation_hook is not None:
            allocation_hook(self)

    @property
    def buffer(self) -> Buffer:
        """The buffer in which this storage lies now; raises ``DisposedError`` after ``dispose()``."""
        if self._buffer is None:
            reason = getattr(self, "_reason", "disposed; create the tensor anew")
            raise DisposedError(f"this tensor's storage on {self.device.name} was {reason}")
        return self._buffer

    @property
    def disposed(self) -> bool:
        """Whether the memory was given back."""
        return self._buffer is None

    def move(self, buffer: Buffer, offset: int) -> None:
        """Move the storage to a range of another buffer, into which its bytes were copied before."""
        old = self.buffer
        buffer.references += 1
        self._buffer, self.offset = buffer, offset
        self.address = None if buffer.address is None else buffer.address + offset
        self._leave(old)

    def dispose(self) -> None:
        """Give the memory back now; a second call does nothing."""
        buffer = self._buffer
        if buffer is not None:
            self._buffer = self.address = None
            buffer.used = -1  # the next line does the accounting
            self.device.storage_disposed(self.size)
            self._leave(buffer)

    def donate(self, reason: str) -> Storage:
        """Return a new storage on the same bytes; this storage is disposed, and its errors say ``reason``."""
        donated = object.__new__(Storage)
        donated.device, donated.offset, donated.size, donated.version = (
            self.device,
            self.offset,
            self.size,
            self.version,
        )
        donated._buffer, donated.address = self.buffer, self.address
        self._buffer = self.address = None
        self._reason = reason
        return donated

    def _leave(self, buffer: Buffer) -> None:
        buffer.references -= 1
        if buffer.references == 0:
            self.device.release(buffer)

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        try:
            buffer = self._buffer
        except AttributeError:  # an interrupt came before __init__ was done
            return
        if buffer is None:
            return
        if buffer.references == 1 and buffer.used == self.size:  # the same as dispose(), in one step
            self._buffer = None
            buffer.references = 0
            buffer.queue.append(buffer)
        elif not finalizing():  # at exit, the device's module may be gone already
            self.dispose()


@dataclass(frozen=True)
class Span:
    """A range of a buffer that covers several storages, for kernels that access them through one binding."""

    buffer: Buffer
    offset: int
    size: int


Range = Storage | Span
"""An operand of a kernel: ``size`` bytes at ``offset`` of ``buffer``."""


DispatchArguments = tuple[KernelSpec, Sequence[Range], Sequence[int | float], "tuple[str, str] | None"]
"""A dispatch: what ``Device.dispatch_kernel`` takes."""

Launch = Callable[..., "int | None"]
"""Dispatches one kernel: called with the addresses of its storages and then its changing parameters.

Returns the index that the kernel reports to be out of range, else ``None``. The address of a disposed storage is
``None``, for which a launch raises ``TypeError`` before the kernel starts.
"""


class PreparedPlan(Protocol):
    """A plan that is ready to run on a device (``replay.Replay``)."""

    plan: Plan

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """Run the plan: read inputs, read and overwrite states, return new storages of the outputs."""

    def close(self) -> None:
        """Return the plan's arenas to the pool now; a second call does nothing."""


class Device(ABC):
    """A device: memory, kernels and their order. Data crosses only in ``write`` and ``read``.

    All calls may come from any thread.

    Attributes:
        name: The name that users write: ``"cpu"``, ``"webgpu"``, ``"webgpu:software"``.
        profile: The target that kernels are generated for.
        alignment: Storage offsets are multiples of this number of bytes.
        lock: Held while a plan is replayed.
        before_call: A hook for tests, called with ``"allocate"``, ``"write"``, ``"read"``, ``"copy"`` or
            ``"dispatch"`` before the call has any effect; an exception of the hook cancels the call.
        observers: Receive an event for every dispatch (``events``).
        largest_binding: The largest range that a kernel can bind, in bytes.
        direct: Whether the device is usable and has no hook and no observer, so that the fast paths (``launcher``,
            ``allocator``) may be used.
    """

    name: str
    description: str
    profile: TargetProfile
    alignment: int = 256
    largest_binding: int = sys.maxsize
    lock: threading.RLock
    direct: bool = True
    _observers: tuple[Observer, ...] = ()
    _before_call: Callable[[str], None] | None = None
    _unusable: str | None = None
    """The error message of a device that was disposed or lost, else ``None``."""

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers, which receive an event for every dispatch."""
        return self._observers

    @observers.setter
    def observers(self, value: tuple[Observer, ...]) -> None:
        self._observers = value
        self._update_direct()

    @property
    def before_call(self) -> Callable[[str], None] | None:
        """The hook that is called before a call has any effect."""
        return self._before_call

    @before_call.setter
    def before_call(self, value: Callable[[str], None] | None) -> None:
        self._before_call = value
        self._update_direct()

    def _update_direct(self) -> None:
        """Set ``direct`` after a change of an attribute that it depends on."""
        watched = self._observers or self._before_call is not None
        self.direct = not watched and self._unusable is None

    @abstractmethod
    def allocate(self, size: int) -> Storage:
        """Return a new storage of ``size`` bytes (0 included) with undefined contents.

        Raises:
            OutOfMemoryError: With the bytes requested, in use and allowed.
        """

    def allocator(self) -> Callable[[int], Storage]:
        """Return a form of ``allocate`` without the checks that ``direct`` makes unnecessary."""
        return self.allocate

    @abstractmethod
    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Return storages that share one buffer (an arena), in order, each aligned."""

    @abstractmethod
    def release(self, buffer: Buffer) -> None:
        """Take back a buffer without storages; it is kept for reuse, or freed."""

    @abstractmethod
    def storage_disposed(self, size: int) -> None:
        """Account for a storage that was disposed."""

    @abstractmethod
    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes into the storage, ordered with the dispatches before and after."""

    @abstractmethod
    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """Wait for all work so far and return ``size`` bytes; raises the error that a kernel reported, if any."""

    def read_later(self, storage: Storage, offset: int, size: int) -> Callable[[], bytearray]:
        """Take ``size`` bytes as they are after all work so far; the result waits for them and returns them.

        Work that is given to the device before the wait runs meanwhile.
        """
        data = self.read(storage, offset, size)
        return lambda: data

    @abstractmethod
    def copy(self, source: Storage, destination: Storage) -> None:
        """Copy all bytes of a storage to another one of this device, at least as large, in order."""

    @abstractmethod
    def register_kernel(self, spec: KernelSpec) -> None:
        """Compile a kernel now; ``KernelError`` carries the compiler's message and the source line."""

    def register_kernels(self, specs: Iterable[KernelSpec]) -> None:
        """Compile several kernels, as fast as the device can."""
        for spec in specs:
            self.register_kernel(spec)

    @abstractmethod
    def dispatch_kernel(
        self,
        spec: KernelSpec,
        ranges: Sequence[Range],
        parameters: Sequence[int | float],
        report: tuple[str, str] | None = None,
    ) -> None:
        """Run a kernel over ranges (inputs, then outputs), in order with all other calls.

        Args:
            spec: The kernel.
            ranges: The operands: inputs, then outputs.
            parameters: Values in the order of ``spec.parameters``.
            report: The op and the argument that the message of an index out of range names: ``("embedding", "index")``.
        """

    @abstractmethod
    def dispatch_kernels(self, calls: Sequence[DispatchArguments]) -> None:
        """Run kernels in order, all or none.

        All kernels are compiled, bound and packed before the first of them starts. After that only a lost device, or
        an index that a kernel reports, leaves some of them unexecuted.
        """

    def launcher(
        self, spec: KernelSpec, parameters: Sequence[int | float], changing: Sequence[int] = ()
    ) -> Launch | None:
        """Return a function that dispatches a kernel repeatedly with little overhead.

        A launch calls neither ``before_call`` nor observers, so it is valid only while the device is ``direct``.

        Args:
            spec: The kernel.
            parameters: The parameters of the calls.
            changing: Positions of the parameters that each call passes anew; no workgroup count depends on them.

        Returns:
            The launch, or ``None`` where the kernel needs ``dispatch_kernel``.
        """
        return None

    @abstractmethod
    def check_usable(self) -> None:
        """Raise the error of a device that is closed: by ``dispose()``, a fork, or the loss of its driver."""

    @abstractmethod
    def prepare(self, plan: Plan) -> PreparedPlan:
        """Compile a plan's kernels and allocate its arenas, so that ``run(inputs, states)`` of the result runs it.

        Raises:
            ArgumentError: For a plan that is not well formed.
            KernelError: For a kernel that this device cannot run.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for all work so far; raises the error that a kernel reported, if any."""

    @abstractmethod
    def memory_stats(self) -> MemoryStats:
        """Memory and dispatch counters now."""

    @abstractmethod
    def dispose(self) -> None:
        """Free everything; tensors of the device raise ``DisposedError`` from then on."""

    def settle(self) -> None:  # noqa: B027  (a device that measures at once has nothing to do)
        """Wait until the durations of all observed dispatches are known."""

    def choose(self, choices: Choices) -> Path | None:
        """Generate kernels by measured choices, now and in later processes; return the file that keeps them."""
        raise UnsupportedError(f"choose: {self.name} has one form of each kernel; tune a webgpu device")

    def supports(self, dtype: DType) -> bool:
        """Return whether the device supports tensors of this type."""
        return self.profile.supports(dtype)

    def itemsize(self, dtype: DType) -> int:
        """Return the bytes per element of this type on this device."""
        return self.profile.itemsize(dtype)

    def __repr__(self) -> str:
        return f"<device {self.name}: {self.description}>"


class HostDevice(Device):
    """A device whose memory the host sees: its storages can be viewed as NumPy arrays without a copy."""

    @abstractmethod
    def view(self, storage: Storage) -> Any:
        """Return the storage's bytes as a NumPy array of uint8 on the same memory."""

    @abstractmethod
    def adopt(self, array: Any) -> Storage:
        """Return a storage on the memory of a NumPy array, which the storage keeps alive."""

    @abstractmethod
    def number(self, storage: Storage, offset: int, format_: struct.Struct) -> bool | int | float:
        """Return the number that begins at byte ``offset`` of the storage."""
