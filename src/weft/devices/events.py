"""What a device did, as it is told to observers: profilers, and the lines that ``WEFT_DEBUG`` prints.

A device with no observer pays one test a dispatch. With one, each dispatch is an ``Event``; its time is known at once
on ``cpu``, and on ``webgpu`` when the GPU's timestamps have come back (``Device.settle`` waits for them).
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol, TextIO

from weft.devices.base import Range
from weft.plan import Dispatch
from weft.target import KernelSpec

_op = threading.local()


@dataclass(slots=True, eq=False)
class Event:
    """One dispatch. Times are in nanoseconds; ``start`` is the host's clock, ``duration`` the device's work.

    ``bytes`` are those of the memory that is bound, each range once. ``clock`` says who measured the duration.
    """

    device: str
    op: str
    kernel: str
    groups: tuple[int, int, int]
    bytes: int
    thread: int
    start: int
    spec: KernelSpec = field(repr=False)
    sizes: tuple[int, ...]
    """Bytes of each binding."""
    duration: int | None = None
    device_start: int | None = None
    """The device's own clock, where it has one."""
    clock: str = "host"
    dispatch: Dispatch | None = None
    """What of a plan it carries out."""


class Observer(Protocol):
    """Who is told of dispatches; ``timed``: whether durations are wanted, which slows the device down."""

    timed: bool

    def dispatched(self, event: Event) -> None:
        """A dispatch was recorded, or on ``cpu`` done."""

    def measured(self, event: Event) -> None:
        """The event's duration is known."""


@contextmanager
def running(op: str) -> Iterator[None]:
    """Dispatches of this thread belong to an op."""
    before = getattr(_op, "name", None)
    _op.name = op
    try:
        yield
    finally:
        _op.name = before


def carried_out(steps: Iterator[tuple[Dispatch, int]]) -> Iterator[tuple[Dispatch, int]]:
    """The same dispatches; while each of them is in hand, events of this thread belong to it."""
    try:
        for step in steps:
            _op.dispatch = step[0]
            yield step
    finally:
        _op.dispatch = None


def event(device: str, spec: KernelSpec, ranges: Sequence[Range], groups: tuple[int, int, int]) -> Event:
    """The event of a dispatch that is about to be recorded."""
    held = {(id(range_.buffer), range_.offset): range_.size for range_ in ranges}
    return Event(
        device, getattr(_op, "name", None) or spec.name, spec.name, groups, sum(held.values()),
        threading.get_ident(), perf_counter_ns(), spec, tuple(range_.size for range_ in ranges),
        dispatch=getattr(_op, "dispatch", None),
    )  # fmt: skip


class Printer:
    """``WEFT_DEBUG``: 1 a line for each operation, 2 for each dispatch with sizes, 3 kernels' sources once, 4 times.

    At level 1 an operation is printed when it is dispatched first, and again at 10, 100, 1,000 … dispatches.
    """

    def __init__(self, level: int, stream: TextIO | None = None) -> None:
        self.level = level
        self.timed = level >= 4
        self._stream = stream
        self._shown: set[KernelSpec] = set()
        self._counts: Counter[str] = Counter()

    def dispatched(self, event: Event) -> None:
        """Print what the level asks for."""
        if self.level >= 3 and event.spec not in self._shown:
            self._shown.add(event.spec)
            self._print(f"weft: {event.device} source of {event.kernel}\n{event.spec.source.rstrip()}\n")
        line = f"weft: {event.device} {event.op}"
        if event.kernel != event.op:
            line += f" ({event.kernel})"
        if self.level >= 2:
            bindings = (*event.spec.inputs, *event.spec.outputs)
            shown = ", ".join(
                f"{one.name}: {one.dtype.name} {size:,} B"
                for one, size in zip(bindings, event.sizes, strict=False)
            )
            groups = " by ".join(map(str, event.groups))
            line += f" [{shown}] groups {groups}, {event.bytes:,} bytes"
        if event.duration is not None and self.timed:
            line += f", {event.duration / 1e3:.1f} µs"
        if self.level == 1:
            self._counts[line] += 1
            count = self._counts[line]
            if count != 10 ** (len(str(count)) - 1):
                return
            line += f", {count:,} times so far" if count > 1 else ""
        self._print(line)

    def measured(self, event: Event) -> None:
        """Print the time of a dispatch that was printed before it ran."""
        if event.duration is not None:
            self._print(f"weft: {event.device} {event.op} took {event.duration / 1e3:.1f} µs ({event.clock})")

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)
