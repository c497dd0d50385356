"""Events of dispatches, and the interface of the observers that receive them: profilers, and ``WEFT_DEBUG``'s printer.

A device without observers pays one test per dispatch. With an observer each dispatch becomes an ``Event``. Its duration
is known at once on ``cpu``; on ``webgpu`` it follows with the GPU's timestamps (``Device.settle`` waits for them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from weft.plan import Dispatch
from weft.target import KernelSpec


@dataclass(slots=True, eq=False)
class Event:
    """A dispatch. Times are in nanoseconds: ``start`` by the host's clock, ``duration`` of the device's work.

    ``bytes`` is the size of all bound ranges, each counted once. ``clock`` names the source of ``duration``.
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
    """The start by the device's own clock, where it has one."""
    clock: str = "host"
    dispatch: Dispatch | None = None
    """The dispatch of a plan that this event carries out; ``None`` for eager calls."""


class Observer(Protocol):
    """A receiver of events. ``timed`` asks for durations, whose measurement slows the device down."""

    timed: bool

    def dispatched(self, event: Event) -> None:
        """Receive an event when its dispatch is recorded, or on ``cpu`` when it is done."""

    def measured(self, event: Event) -> None:
        """Receive an event again when its duration is known."""
