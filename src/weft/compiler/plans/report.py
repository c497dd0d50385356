"""Reports of a plan: its dispatches in order with their bytes and operations, and the memory of the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weft.plan import Dispatch, Loop, Plan, PlanStep, bodies

WIDTH = 34
"""The most characters of a row's ops in a table."""


@dataclass(frozen=True)
class DispatchRow:
    """A dispatch of a plan: how often it runs in a call, and the costs of one run.

    Steps of a ``while_loop`` and both branches of a ``cond`` count once, since data decides how often they run.

    ``bytes`` is the size of the ranges that the dispatch binds, each counted once: an upper bound of the memory traffic
    of a kernel that reads each element once. ``operations`` are floating point operations; a function such as ``exp``
    counts as one.
    """

    ops: tuple[str, ...]
    kernel: str
    site: str
    times: int
    bytes: int
    operations: int


@dataclass(frozen=True)
class PlanReport:
    """The costs of one call of a plan. All sizes are bytes of the target's memory.

    ``arena`` is the size of the arenas that hold intermediate values, ``peak`` the most bytes in them that are live at
    one time; ``inputs``, ``states`` and ``outputs`` are the sizes of these.

    >>> import weft as wf
    >>> report = wf.jit(lambda x: (x * 2).sum()).plan(wf.ones(3, device="cpu")).report()
    >>> report.dispatches, report.inputs, report.outputs
    (1, 12, 4)
    """

    name: str
    device: str
    rows: tuple[DispatchRow, ...]
    kernels: int
    arena: int
    peak: int
    inputs: int
    states: int
    outputs: int

    @property
    def dispatches(self) -> int:
        """The number of dispatches of a call; a dispatch in a loop counts once for each step."""
        return sum(row.times for row in self.rows)

    @property
    def bytes(self) -> int:
        """The bytes that the dispatches of a call bind."""
        return sum(row.times * row.bytes for row in self.rows)

    @property
    def operations(self) -> int:
        """The floating point operations of a call."""
        return sum(row.times * row.operations for row in self.rows)

    def __str__(self) -> str:
        lines = [f"plan of {self.name} on {self.device}: {self.summary()}", ""]
        lines += table(
            ("", "dispatch", "times", "kB", "kFLOP", "line"), map(self._cells, enumerate(self.rows))
        )
        return "\n".join([*lines, "", *self.memory()])

    def _cells(self, numbered: tuple[int, DispatchRow]) -> tuple[str, ...]:
        at, row = numbered
        return (
            str(at),
            label(row),
            str(row.times),
            f"{row.bytes / 1e3:.1f}",
            f"{row.operations / 1e3:.1f}",
            row.site,
        )

    def summary(self) -> str:
        """Return the totals in one line."""
        return (
            f"{self.dispatches} dispatches of {self.kernels} kernels, {scaled(self.bytes)}B moved, "
            f"{scaled(self.operations)}FLOP"
        )

    def memory(self) -> list[str]:
        """Return the sizes of the memory in words."""
        share = f", at most {100 * self.peak / self.arena:.0f}% of it live" if self.arena else ""
        return [
            f"arena {self.arena:,} bytes{share} (peak {self.peak:,}); inputs {self.inputs:,}, state {self.states:,}, "
            f"outputs {self.outputs:,}"
        ]


def report_of(name: str, device: str, plan: Plan) -> PlanReport:
    """Return the report of a plan."""
    rows = tuple(
        DispatchRow(
            dispatch.ops, dispatch.spec.name, dispatch.site, times, bytes_of(dispatch), dispatch.operations
        )
        for dispatch, times in _counted(plan.steps, 1)
    )
    kernels = len({dispatch.spec for dispatch in plan.dispatches()})
    return PlanReport(
        name,
        device,
        rows,
        kernels,
        sum(plan.arenas),
        plan.peak,
        sum(plan.inputs),
        sum(plan.states),
        sum(plan.outputs),
    )


def bytes_of(dispatch: Dispatch) -> int:
    """Return the bytes of the ranges that a dispatch binds, each counted once."""
    return sum({(place.space, place.index, place.offset): place.size for place in dispatch.places}.values())


def scaled(amount: float) -> str:
    """Return a number with an SI prefix.

    >>> scaled(0), scaled(1500), scaled(2.5e9)
    ('0 ', '1.5 k', '2.5 G')
    """
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.4g} {prefix}"
    return f"{amount:g} "


def label(row: DispatchRow) -> str:
    """Return the ops of a row, truncated to ``WIDTH`` characters."""
    text = "+".join(row.ops) or row.kernel
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _counted(steps: Sequence[PlanStep], times: int) -> Iterator[tuple[Dispatch, int]]:
    for step in steps:
        if isinstance(step, Dispatch):
            yield step, times
        for body in bodies(step):
            yield from _counted(body, times * step.times if isinstance(step, Loop) else times)


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; the second and the last column are left-aligned, the others right-aligned."""
    found = [tuple(head), *rows]
    widths = [max(len(row[at]) for row in found) for at in range(len(head))]
    left = (1, len(head) - 1)
    lines = [
        "  ".join(cell.ljust(width) if at in left else cell.rjust(width)
                  for at, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in found
    ]  # fmt: skip
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
