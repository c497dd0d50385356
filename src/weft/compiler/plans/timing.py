"""``PlanProfile``: one call of a plan with every dispatch timed, as a table and as a Chrome trace."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weft.compiler.plans.report import PlanReport, label, table
from weft.devices.observers import Event
from weft.plan import Plan
from weft.profiler import profile


class PlanProfile:
    """The times of one call of a plan. ``result`` is the call's result, ``report`` the report of the plan.

    ``runs`` and ``seconds`` hold for each row of the report the number of its runs, and their total time.
    """

    def __init__(self, report: PlanReport, plan: Plan, call: Callable[[], Any]) -> None:
        self.report = report
        with profile() as measured:
            self.result = call()
        self.wall = measured.seconds
        numbers = {id(dispatch): at for at, dispatch in enumerate(plan.dispatches())}
        self.events = [
            (numbers[id(event.dispatch)], event) for event in measured.events if id(event.dispatch) in numbers
        ]
        """The measured dispatches in order, each with the number of its row."""
        taken, runs = [0] * len(report.rows), [0] * len(report.rows)
        for at, event in self.events:
            taken[at] += event.duration or 0
            runs[at] += 1
        self.runs, self.seconds = tuple(runs), tuple(nanoseconds / 1e9 for nanoseconds in taken)
        self.clock = self.events[0][1].clock if self.events else "host"

    @property
    def total(self) -> float:
        """The time of all dispatches, in seconds."""
        return sum(self.seconds)

    def table(self, limit: int | None = None) -> str:
        """Return the slowest dispatches as text, at most ``limit``, with rates of bytes and operations."""
        order = sorted(range(len(self.seconds)), key=lambda at: -self.seconds[at])
        head = ("", "dispatch", "times", "µs", "% of all", "GB/s", "GFLOP/s", "line")
        lines = table(head, map(self._cells, order[:limit]))
        if limit is not None and len(order) > limit:
            lines.append(f"and {len(order) - limit} more")
        total = f"times by {self.clock}, {self.total * 1e3:.3f} ms in a call of {self.wall * 1e3:.3f} ms"
        heading = f"plan of {self.report.name} on {self.report.device}: {self.report.summary()}"
        return "\n".join([heading, "", *lines, "", total, *self.report.memory()])

    def _cells(self, at: int) -> tuple[str, ...]:
        row, seconds = self.report.rows[at], self.seconds[at]
        rates = [
            f"{self.runs[at] * amount / seconds / 1e9:.2f}" if seconds else ""
            for amount in (row.bytes, row.operations)
        ]
        share = f"{100 * seconds / self.total:.1f}" if self.total else ""
        return (str(at), label(row), str(self.runs[at]), f"{seconds * 1e6:.1f}", share, *rates, row.site)

    __str__ = table

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the dispatches as a trace for ``chrome://tracing`` or Perfetto, with times from the first dispatch."""
        entries: list[dict[str, Any]] = []
        origin = min((_start(event) for _, event in self.events), default=0)
        for at, event in self.events:
            row = self.report.rows[at]
            entries.append(
                {"name": "+".join(row.ops) or row.kernel, "cat": "kernel", "ph": "X", "pid": self.report.device,
                 "tid": "plan", "ts": (_start(event) - origin) / 1e3, "dur": (event.duration or 0) / 1e3,
                 "args": {"kernel": row.kernel, "line": row.site, "bytes": row.bytes, "operations": row.operations,
                          "groups": list(event.groups), "clock": event.clock}}
            )  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": entries, "displayTimeUnit": "ns"}), encoding="utf-8")


def _start(event: Event) -> int:
    """Return the start of a dispatch in nanoseconds, by the device's clock where it has one."""
    return event.start if event.device_start is None else event.device_start
