"""What a plan reports: its dispatches in order with bytes and operations, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weft.plan import Dispatch, Loop, Plan, PlanStep, bodies

WIDTH = 34
"""Characters of a row's ops."""


@dataclass(frozen=True)
class DispatchRow:
    """A dispatch of the plan: how often it runs in a call, and what one run of it does.

    What a value decides (the rounds of a ``while_loop``, the branches of a ``cond``) counts once.

    ``bytes`` are those of the ranges that it binds, each once: what it moves, unless it reads a part of them.
    ``operations`` are floating point operations; a function counts one.
    """

    ops: tuple[str, ...]
    kernel: str
    site: str
    times: int
    bytes: int
    operations: int


@dataclass(frozen=True)
class PlanReport:
    """What a call of a plan does. Bytes are those of the target's memory.

    ``arena``: what values of the plan's own take, ``peak``: the most of it that is alive at one time; ``inputs``,
    ``states`` and ``outputs``: the bytes of these.
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
        """Dispatches of one call, those of loops in every round."""
        return sum(row.times for row in self.rows)

    @property
    def bytes(self) -> int:
        """Bytes that the dispatches of a call bind."""
        return sum(row.times * row.bytes for row in self.rows)

    @property
    def operations(self) -> int:
        """Floating point operations of a call."""
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
        """The sums in one line."""
        return (
            f"{self.dispatches} dispatches of {self.kernels} kernels, {scaled(self.bytes)}B moved, "
            f"{scaled(self.operations)}FLOP"
        )

    def memory(self) -> list[str]:
        """The memory in words."""
        share = f", {100 * self.peak / self.arena:.0f}% of it alive at most" if self.arena else ""
        return [
            f"arena {self.arena:,} bytes{share} (peak {self.peak:,}); inputs {self.inputs:,}, state {self.states:,}, "
            f"outputs {self.outputs:,}"
        ]


def report_of(name: str, device: str, plan: Plan) -> PlanReport:
    """The report of a plan."""
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
    """Bytes of the ranges that a dispatch binds, each once."""
    return sum({(place.space, place.index, place.offset): place.size for place in dispatch.places}.values())


def scaled(amount: float) -> str:
    """A number with the unit's prefix.

    >>> scaled(0), scaled(1500), scaled(2.5e9)
    ('0 ', '1.5 k', '2.5 G')
    """
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.4g} {prefix}"
    return f"{amount:g} "


def label(row: DispatchRow) -> str:
    """The ops of a row, cut to a width."""
    text = "+".join(row.ops) or row.kernel
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _counted(steps: Sequence[PlanStep], times: int) -> Iterator[tuple[Dispatch, int]]:
    for step in steps:
        if isinstance(step, Dispatch):
            yield step, times
        for body in bodies(step):
            yield from _counted(body, times * step.times if isinstance(step, Loop) else times)


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """Lines of columns: the second and the last to the left, the others to the right."""
    found = [tuple(head), *rows]
    widths = [max(len(row[at]) for row in found) for at in range(len(head))]
    left = (1, len(head) - 1)
    lines = [
        "  ".join(cell.ljust(width) if at in left else cell.rjust(width)
                  for at, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in found
    ]  # fmt: skip
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
