"""The device interface: memory and kernels, nothing about ops.

``Storage`` is a range of a device's memory with a version counter; tensors are views of storages. It may be
moved (into an arena, by the pool), so nobody keeps its buffer across calls. Everything a device does for its
callers is in ``Device``; ``cpu`` and ``webgpu`` implement it.
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
from typing import TYPE_CHECKING, Any

from weft.dtypes import DType
from weft.errors import ArgumentTypeError, DisposedError, UnsupportedError
from weft.plan import Plan
from weft.target import Choices, KernelSpec, TargetProfile

if TYPE_CHECKING:
    from weft.devices.events import Observer
    from weft.devices.replay import Replay

born: Callable[[Storage], None] | None = None
"""Where set, it is called with every new storage: the leak report notes who made it."""


@dataclass(frozen=True)
class MemoryStats:
    """Bytes of a device: held by live storages, at most so far, kept in the pool for reuse; and counts.

    ``allocations`` counts native allocations since the device was opened, ``dispatches`` kernels started.
    """

    in_use: int
    peak: int
    pooled: int
    storages: int
    allocations: int
    dispatches: int
    limit: int | None = None


class Buffer:
    """A piece of native memory: ``size`` bytes behind ``handle``; devices subclass or fill it. Storages share it.

    ``address`` is where it lies in memory of the host, ``None`` elsewhere.
    """

    __slots__ = ("__weakref__", "address", "device", "handle", "queue", "references", "size", "used")

    queue: deque[Buffer | int]
    """Where the pool that made it finds what was given back; absent where no pool did."""

    def __init__(self, device: Device, handle: Any, size: int) -> None:
        self.device = device
        self.handle = handle
        self.size = size
        self.address: int | None = getattr(handle, "address", None)
        self.references = 0  # storages that lie in it; the device takes the memory back at zero
        self.used = -1  # the size of the storage that a pool made it for alone, -1 for all others


class Storage:
    """``size`` bytes at ``offset`` of a buffer, with the version counter that autograd checks.

    Freed when the last tensor on it goes, or at once by ``dispose()``; used after that it raises
    ``DisposedError``. ``offset`` is a multiple of the device's binding alignment (256 bytes). ``address`` is where it
    lies in memory of the host, while it is there; ``None`` on other devices.
    """

    __slots__ = ("__weakref__", "_buffer", "_fate", "address", "device", "offset", "size", "version")

    _fate: str  # what became of the memory; absent while it is there

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
        if born is not None:
            born(self)

    @property
    def buffer(self) -> Buffer:
        """The memory this storage lies in now; ``DisposedError`` after ``dispose()``."""
        if self._buffer is None:
            fate = getattr(self, "_fate", "disposed; create the tensor anew")
            raise DisposedError(f"this tensor's storage on {self.device.name} was {fate}")
        return self._buffer

    @property
    def disposed(self) -> bool:
        """Whether the memory was given back."""
        return self._buffer is None

    def move(self, buffer: Buffer, offset: int) -> None:
        """Point to another place of the same size, whose bytes are already there."""
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
            buffer.used = -1  # accounted for here
            self.device.storage_gone(self.size)
            self._leave(buffer)

    def hand_over(self, fate: str) -> Storage:
        """A new storage on the same bytes; this one is disposed, and says ``fate`` when it is used."""
        heir = object.__new__(Storage)
        heir.device, heir.offset, heir.size, heir.version = self.device, self.offset, self.size, self.version
        heir._buffer, heir.address = self.buffer, self.address
        self._buffer = self.address = None
        self._fate = fate
        return heir

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
        if buffer.references == 1 and buffer.used == self.size:  # as dispose() would, in one step
            self._buffer = None
            buffer.references = 0
            buffer.queue.append(buffer)
        elif not finalizing():  # at exit, the device's module may be gone already
            self.dispose()


@dataclass(frozen=True)
class Span:
    """A range of a buffer that holds several storages: what a kernel binds when two of them share a binding."""

    buffer: Buffer
    offset: int
    size: int


Range = Storage | Span
"""What a kernel binds: ``size`` bytes at ``offset`` of ``buffer``."""


DispatchArguments = tuple[KernelSpec, Sequence[Range], Sequence[int | float], "tuple[str, str] | None"]
"""A dispatch: what ``Device.dispatch_kernel`` takes."""


Launch = Callable[..., "int | None"]
"""Dispatches one kernel: called with the addresses of its storages and then its changing parameters.

Gives the index that the kernel reports to be out of range, else ``None``. Raises ``TypeError`` for the address of a
disposed storage (``None``), before anything is done.
"""


class Device(ABC):
    """One device. Data crosses only in ``write`` and ``read``; all calls may come from any thread.

    ``name`` is what users write (``"cpu"``, ``"webgpu"``, ``"webgpu:software"``); ``profile`` what kernels are
    made for; ``alignment`` the multiple that storage offsets keep, in bytes. ``lock`` is held while a plan is replayed.
    ``before_call``, where set, is called
    with ``"allocate"``, ``"write"``, ``"read"``, ``"copy"`` or ``"dispatch"`` before anything is done: tests raise
    there. ``observers`` are told of every dispatch (``events``). ``largest_binding`` is the number of bytes that a
    kernel can bind at once. ``direct`` says that neither ``before_call`` nor an observer is set and the device is
    usable, so that launches and the pool may be called at once.
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
    """What closed the device, where something has."""

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those that are told of every dispatch."""
        return self._observers

    @observers.setter
    def observers(self, value: tuple[Observer, ...]) -> None:
        self._observers = value
        self._consider()

    @property
    def before_call(self) -> Callable[[str], None] | None:
        """What is called before anything is done."""
        return self._before_call

    @before_call.setter
    def before_call(self, value: Callable[[str], None] | None) -> None:
        self._before_call = value
        self._consider()

    def _consider(self) -> None:
        """Set ``direct`` after a change of what it depends on."""
        asked = self._observers or self._before_call is not None
        self.direct = not asked and self._unusable is None

    @abstractmethod
    def allocate(self, size: int) -> Storage:
        """A storage of ``size`` bytes (0 included) with undefined contents.

        ``OutOfMemoryError`` states what was asked for, in use and allowed.
        """

    def allocator(self) -> Callable[[int], Storage]:
        """``allocate`` for calls while the device is ``direct``: what that says need not be asked again."""
        return self.allocate

    @abstractmethod
    def allocate_together(self, sizes: Sequence[int]) -> list[Storage]:
        """Storages that share one buffer (an arena), in order, each aligned."""

    @abstractmethod
    def release(self, buffer: Buffer) -> None:
        """Take back a buffer that no storage lies in; kept for reuse, or freed."""

    @abstractmethod
    def storage_gone(self, size: int) -> None:
        """Account for a storage that was disposed."""

    @abstractmethod
    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes into the storage, ordered with the dispatches before and after."""

    @abstractmethod
    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """Wait for all work so far and give ``size`` bytes; raises what a kernel reported in the status word."""

    @abstractmethod
    def copy(self, source: Storage, destination: Storage) -> None:
        """Copy all bytes of one storage of this device to another of at least its size, in order."""

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

        ``parameters`` follow ``spec.parameters``. ``report`` is (where, what) for the message of an index that
        the kernel finds out of range: ``("embedding", "index")``.
        """

    @abstractmethod
    def dispatch_kernels(self, calls: Sequence[DispatchArguments]) -> None:
        """Run kernels in order, all or none: whatever can fail is done for each before the first one starts.

        Compiling, binding and packing come first. Behind that only a device that is lost, or an index that a kernel
        reports, leaves some of them undone.
        """

    def launcher(
        self, spec: KernelSpec, parameters: Sequence[int | float], changing: Sequence[int] = ()
    ) -> Launch | None:
        """A short way to dispatch a kernel again and again, ``None`` where it has to be dispatched as any other.

        Args:
            spec: The kernel.
            parameters: The parameters of each call; those that change are given anew.
            changing: Positions of the parameters that change, none of which a workgroup count depends on.

        A launch is for devices that are ``direct``: it makes no call of ``before_call`` and tells no observer.
        """
        return None

    @abstractmethod
    def check_usable(self) -> None:
        """Raise what closed the device, where something has: ``dispose()``, a fork, a lost driver."""

    @abstractmethod
    def prepare(self, plan: Plan) -> Replay:
        """Compile a plan's kernels and allocate its arenas; ``Replay.run(inputs, states)`` then runs it.

        ``ArgumentError`` for a plan that is not well formed, ``KernelError`` for a kernel that this device cannot run.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for all work so far; raises what a kernel reported."""

    @abstractmethod
    def memory_stats(self) -> MemoryStats:
        """Memory and dispatch counters now."""

    @abstractmethod
    def dispose(self) -> None:
        """Free everything; tensors of the device raise ``DisposedError`` from then on."""

    def settle(self) -> None:  # noqa: B027  (a device that measures at once has nothing to do)
        """Wait until the durations of all observed dispatches are known."""

    def choose(self, choices: Choices) -> Path | None:
        """Have kernels made as measurements say, now and in later processes; gives the file that keeps it."""
        raise UnsupportedError(f"choose: {self.name} has one form of each kernel; tune a webgpu device")

    def supports(self, dtype: DType) -> bool:
        """Whether tensors of this type can live here."""
        return self.profile.supports(dtype)

    def itemsize(self, dtype: DType) -> int:
        """Bytes per element of this type here."""
        return self.profile.itemsize(dtype)

    def __repr__(self) -> str:
        return f"<device {self.name}: {self.description}>"


class HostDevice(Device):
    """A device whose memory the host sees: its storages can be viewed as NumPy arrays without a copy."""

    @abstractmethod
    def view(self, storage: Storage) -> Any:
        """The storage's bytes as a NumPy array of uint8 on the same memory."""

    @abstractmethod
    def adopt(self, array: Any) -> Storage:
        """A storage on the memory of a NumPy array, which it keeps alive."""

    @abstractmethod
    def number(self, storage: Storage, offset: int, format_: struct.Struct) -> bool | int | float:
        """The number at a byte of the storage."""
