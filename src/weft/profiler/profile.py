"""``profile``: the calls, times, bytes and bandwidth of every op in a block."""

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
"""The size of the copy that measures the machine's bandwidth, much larger than its caches."""


@dataclass(frozen=True)
class OpRow:
    """The calls of one op on one device.

    ``host`` is the time of the calls on the host, in seconds, for calls in the profiled thread; ``device`` is the time
    of the kernels, in seconds. ``bytes`` is the size of the buffers that the kernels bind. ``bandwidth`` is bytes per
    second of device time; ``share`` is the ratio to the bandwidth of a copy (``None`` where that could not be
    measured).
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
    """An interpreter around the executing interpreter: it records each op, and names the op of each dispatch."""

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
        """Run the op by the inner interpreter, and record its time."""
        start = perf_counter_ns()
        with running(op.name):
            outputs = self._inner.process(op, operands, attributes, into, below)
        self._calls.append(_OpTiming(op.name, threading.get_ident(), start, perf_counter_ns() - start))
        return outputs


class _Collector:
    """The observer of devices, which collects their events."""

    timed = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def dispatched(self, event: Event) -> None:
        self.events.append(event)

    def measured(self, event: Event) -> None:
        """Do nothing: the event is in the list already, and now has its time."""


class Profile:
    """Measures the ops of a ``with`` block on all devices that are open at its start.

    Dispatches of other threads are listed under the names of their kernels.

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
        """The dispatches in order."""
        return self._collector.events

    @property
    def seconds(self) -> float:
        """The wall-clock time of the block."""
        return (self._ended - self._started) / 1e9

    def __enter__(self) -> Profile:
        if self._state != "new":
            raise UnsupportedError(
                "profile: the profile was used already, expected a new profile; call profile() again"
            )
        stack = interpreter_stack()
        if not stack[0].executes:
            raise UnsupportedError(
                "profile: is entered in a traced function, expected a place where ops run; profile the compiled call"
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
        """Return one row for each op and device, the slowest first."""
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
        """Return the rows as text; ``sort_by`` is a column of ``OpRow``, ``limit`` is the most rows shown."""
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

        GPU timestamps have another clock than the host: the first timestamp is aligned with the host's start of its
        dispatch.
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
            raise UnsupportedError(
                "profile: its block has not ended, expected a read of the results after it; read them after the block"
            )


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
    """Return a ``Profile`` for a ``with`` block.

    >>> import weft as wf
    >>> with wf.profiler.profile() as measured:
    ...     _ = wf.ones(3, device="cpu").exp().exp()
    >>> [row.calls for row in measured.averages() if row.op == "exp"]
    [2]
    """
    return Profile()


@lru_cache(maxsize=None)
def bandwidth(name: str) -> float | None:
    """Return the bandwidth of a large copy on a device, in bytes per second, read and written together.

    It is the best of five runs, measured once for each process; ``None`` where the copy does not fit or the device is
    closed.
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
