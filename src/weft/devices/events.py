"""Making events of dispatches, and ``Printer``: the observer that prints the lines of ``WEFT_DEBUG``."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TextIO

from weft.devices.base import Range
from weft.devices.observers import Event
from weft.plan import Dispatch
from weft.target import KernelSpec

_op = threading.local()


@contextmanager
def running(op: str) -> Iterator[None]:
    """Attribute the dispatches of this thread, within a ``with`` block, to an op."""
    before = getattr(_op, "name", None)
    _op.name = op
    try:
        yield
    finally:
        _op.name = before


def attributed(steps: Iterator[tuple[Dispatch, int]]) -> Iterator[tuple[Dispatch, int]]:
    """Yield the same steps; until the next step is taken, events of this thread belong to the step's dispatch."""
    try:
        for step in steps:
            _op.dispatch = step[0]
            yield step
    finally:
        _op.dispatch = None


def make_event(device: str, spec: KernelSpec, ranges: Sequence[Range], groups: tuple[int, int, int]) -> Event:
    """Return the event of a dispatch that is about to be recorded."""
    held = {(id(range_.buffer), range_.offset): range_.size for range_ in ranges}
    return Event(
        device, getattr(_op, "name", None) or spec.name, spec.name, groups, sum(held.values()),
        threading.get_ident(), perf_counter_ns(), spec, tuple(range_.size for range_ in ranges),
        dispatch=getattr(_op, "dispatch", None),
    )  # fmt: skip


class Printer:
    """The observer behind ``WEFT_DEBUG``, which prints dispatches to ``stderr``.

    Level 1 prints a line for each operation at its 1st, 10th, 100th, 1,000th … dispatch; level 2 a line for each
    dispatch, with sizes; level 3 also the source of each kernel, once; level 4 also durations.
    """

    def __init__(self, level: int, stream: TextIO | None = None) -> None:
        self.level = level
        self.timed = level >= 4
        self._stream = stream
        self._shown: set[KernelSpec] = set()
        self._counts: Counter[str] = Counter()

    def dispatched(self, event: Event) -> None:
        """Print the dispatch, as far as the level asks for it."""
        if self.level >= 3 and event.spec not in self._shown:
            self._shown.add(event.spec)
            self._print(f"weft: {event.device} source of {event.kernel}\n{event.spec.source.rstrip()}\n")
        line = f"weft: {event.device} {event.op}"
        if event.kernel != event.op:
            line += f" ({event.kernel})"
        if self.level >= 2:
            bindings = (*event.spec.inputs, *event.spec.outputs)
            shown = ", ".join(
                f"{binding.name}: {binding.dtype.name} {size:,} B"
                for binding, size in zip(bindings, event.sizes, strict=False)
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
