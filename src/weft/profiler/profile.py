"""``profile``: every op of a block with its calls, times, bytes and share of the machine's bandwidth."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import Any

from weft import devices
from weft.devices.base import Device
from weft.devices.events import running
from weft.devices.observers import Event
from weft.errors import ArgumentError, UnsupportedError, WeftError, mistake
from weft.ops import OPS, Interpreter, OpSpec, bind
from weft.ops.registry.interpreters import interpreter_stack, interpreting
from weft.tensors.creation import empty  # its floor registers what executes

BANDWIDTH_BYTES = 64 << 20
"""Bytes of the copy that the machine's bandwidth is measured by: far beyond its caches."""


@dataclass(frozen=True)
class OpRow:
    """The calls of one op on one device. Times are in seconds, bytes are those bound by its kernels.

    ``host`` is what Python took to carry the calls out, in the ops that were called in the profiled thread itself;
    ``device`` what the kernels took. ``bandwidth`` is bytes a second of that, ``share`` its part of what a copy reaches
    (``None`` where that could not be measured).
    """

    op: str
    device_name: str
    calls: int
    dispatches: int
    host: float
    device: float
    bytes: int
    bandwidth: float
    share: float | None


@dataclass(frozen=True)
class _OpTiming:
    op: str
    thread: int
    start: int
    duration: int


class _Naming:
    """An interpreter around the one that executes: notes each op, and names it to the dispatches that it makes."""

    executes = True

    def __init__(self, inner: Interpreter, calls: list[_OpTiming]) -> None:
        self._inner = inner
        self._calls = calls

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Pass the op on."""
        start = perf_counter_ns()
        with running(op.name):
            outputs = self._inner.process(op, operands, attributes, into, below)
        self._calls.append(_OpTiming(op.name, threading.get_ident(), start, perf_counter_ns() - start))
        return outputs


class _Collector:
    """The devices' observer."""

    timed = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def dispatched(self, event: Event) -> None:
        self.events.append(event)

    def measured(self, event: Event) -> None:
        """The event is in the list, and has its time now."""


class Profile:
    """Measures the ops of a ``with`` block on all devices that are open at its start, or opened by name before it.

    Dispatches of other threads are counted under the names of their kernels.

    >>> import weft as wf
    >>> x = wf.ones(1000, device="cpu")
    >>> with wf.profiler.profile() as p:
    ...     y = (x * 2).sum()
    >>> [(row.op, row.calls) for row in sorted(p.averages(), key=lambda row: row.op)]
    [('mul', 1), ('sum', 1)]
    """

    def __init__(self) -> None:
        self._calls: list[_OpTiming] = []
        self._collector = _Collector()
        self._devices: list[Device] = []
        self._stack = ExitStack()
        self._started = self._ended = 0
        self._state = "new"

    @property
    def events(self) -> list[Event]:
        """The dispatches, in the order in which they were made."""
        return self._collector.events

    @property
    def seconds(self) -> float:
        """The length of the block, by the clock on the wall."""
        return (self._ended - self._started) / 1e9

    def __enter__(self) -> Profile:
        if self._state != "new":
            raise UnsupportedError(
                "profile: the profile was used already, expected a new one; call profile() again"
            )
        stack = interpreter_stack()
        if not stack[0].executes:
            raise UnsupportedError(
                "profile: called inside a trace, where nothing runs; profile the call of its result"
            )
        self._state = "running"
        self._devices = devices.opened()
        for device in self._devices:
            device.synchronize()
            device.observers = (*device.observers, self._collector)
        self._stack.enter_context(interpreting(_Naming(stack[0], self._calls), *stack[1:]))
        self._started = perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        try:
            for device in self._devices:
                device.settle()
        finally:
            self._ended = perf_counter_ns()
            self._state = "done"
            for device in self._devices:
                device.observers = tuple(
                    observer for observer in device.observers if observer is not self._collector
                )

    def averages(self) -> list[OpRow]:
        """One row for each op and device, those that took longest first."""
        self._check_done()
        counts: dict[str, int] = {}
        hosts: dict[str, int] = {}
        for call in self._calls:
            counts[call.op] = counts.get(call.op, 0) + 1
            hosts[call.op] = hosts.get(call.op, 0) + call.duration
        groups: dict[tuple[str, str], list[Event]] = {}
        for event in self.events:
            groups.setdefault((event.op, event.device), []).append(event)
        rows = [
            _row(op, name, events, counts.get(op, len(events)), hosts.get(op, 0))
            for (op, name), events in groups.items()
        ]
        named = {row.op for row in rows}
        # views and transfers run no kernel
        rows += [
            OpRow(op, "", count, 0, hosts[op] / 1e9, 0.0, 0, 0.0, None)
            for op, count in counts.items()
            if op not in named
        ]
        return sorted(rows, key=lambda row: (-row.device, -row.host, row.op))

    def __str__(self) -> str:
        return self.table() if self._state == "done" else "a profile whose block has not ended"

    def __repr__(self) -> str:
        return (
            f"<profile: {len(self.events)} dispatches in {self.seconds * 1e3:.3f} ms>"
            if self._state == "done"
            else ("<profile: not ended>")
        )

    def table(self, sort_by: str = "device", limit: int | None = None) -> str:
        """The rows as text; ``sort_by`` is a column of ``OpRow``, ``limit`` the most rows shown."""
        rows = self.averages()
        if sort_by not in OpRow.__dataclass_fields__:
            columns = ", ".join(OpRow.__dataclass_fields__)
            raise ArgumentError(mistake("table", "sort_by", repr(sort_by), f"one of {columns}"))
        texts = sort_by in ("op", "device_name")
        rows.sort(key=lambda row: getattr(row, sort_by) or (0 if not texts else ""), reverse=not texts)
        total = sum(row.device for row in rows)
        clocks = sorted({f"{event.device} by {event.clock}" for event in self.events})
        lines = [
            _HEAD.format("op", "device", "calls", "host µs", "device µs", "% of all", "MB", "GB/s", "of copy")
        ]
        lines.append("-" * len(lines[0]))
        lines += [_line(row, total) for row in rows[:limit]]
        if limit is not None and len(rows) > limit:
            lines.append(f"and {len(rows) - limit} more")
        lines.append("-" * len(lines[0]))
        lines.append(
            f"{len(self.events)} dispatches, {total * 1e3:.3f} ms on devices in {self.seconds * 1e3:.3f} ms"
            f"{'; times: ' + ', '.join(clocks) if clocks else ''}"
        )
        return "\n".join(lines)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the calls and dispatches as a trace for ``chrome://tracing`` or Perfetto.

        GPU timestamps have a clock of their own: the first is laid on the host's start of the same dispatch.
        """
        self._check_done()
        entries: list[dict[str, Any]] = [
            {"name": call.op, "cat": "op", "ph": "X", "pid": "host", "tid": call.thread,
             "ts": (call.start - self._started) / 1e3, "dur": call.duration / 1e3}
            for call in self._calls
        ]  # fmt: skip
        shifts: dict[str, int] = {}
        for event in self.events:
            start = event.start
            if event.device_start is not None:
                start = event.device_start + shifts.setdefault(event.device, event.start - event.device_start)
            entries.append(
                {"name": event.op, "cat": "kernel", "ph": "X", "pid": event.device, "tid": "kernels",
                 "ts": (start - self._started) / 1e3, "dur": (event.duration or 0) / 1e3,
                 "args": {"kernel": event.kernel, "groups": list(event.groups), "bytes": event.bytes,
                          "clock": event.clock}}
            )  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": entries, "displayTimeUnit": "ns"}), encoding="utf-8")

    def _check_done(self) -> None:
        if self._state != "done":
            raise UnsupportedError("profile: its block has not ended; read the results after the with block")


_HEAD = "{:28} {:16} {:>7} {:>11} {:>11} {:>8} {:>10} {:>8} {:>8}"


def _line(row: OpRow, total: float) -> str:
    part = f"{100 * row.device / total:.1f}" if total else ""
    share = "" if row.share is None else f"{100 * row.share:.0f}%"
    numbers = (f"{row.bytes / 1e6:.3f}", f"{row.bandwidth / 1e9:.2f}") if row.dispatches else ("", "")
    return _HEAD.format(
        row.op,
        row.device_name,
        row.calls,
        f"{row.host * 1e6:.1f}",
        f"{row.device * 1e6:.1f}",
        part,
        *numbers,
        share,
    ).rstrip()


def _row(op: str, name: str, events: Iterable[Event], calls: int, host: int) -> OpRow:
    events = list(events)
    seconds = sum(event.duration or 0 for event in events) / 1e9
    moved = sum(event.bytes for event in events)
    rate = moved / seconds if seconds else 0.0
    most = bandwidth(name)
    return OpRow(
        op, name, calls, len(events), host / 1e9, seconds, moved, rate, rate / most if most else None
    )


def profile() -> Profile:
    """Make a ``Profile`` for a ``with`` block."""
    return Profile()


@lru_cache(maxsize=None)
def bandwidth(name: str) -> float | None:
    """Bytes a second, read and written, of a large copy on a device: the best of five, measured once a process.

    ``None`` where the device has no memory for it, or was closed.
    """
    measured = Profile()
    try:
        source = empty(BANDWIDTH_BYTES // 4, device=name)
        bind(OPS["copy"], source)  # compiled, and its memory touched
        with measured:
            for _ in range(5):
                bind(OPS["copy"], source)
    except WeftError:
        return None
    durations = [event.duration for event in measured.events if event.device == name and event.duration]
    return 2 * BANDWIDTH_BYTES * 1e9 / min(durations) if durations else None
