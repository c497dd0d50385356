"""Sections of a plan: runs of calls that are recorded together, and the tests on the host between them.

A plan without branches and while loops is a single run. A branch or while loop is implemented in one of two ways:

- *Gated*, for few calls: both sides are recorded, as indirect dispatches whose workgroup counts a gate writes, 0 for
  the side that is not taken (``gates``). Of a while loop a chunk of iterations is recorded at a time, twice as many
  each time, after which the flag of the loop's gate is read back.
- *Waiting*, for many calls: the predicate is read back, and the side that runs is recorded after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from weft.devices.webgpu.gates import Gate, Gates
from weft.plan import Branch, Dispatch, Loop, Place, PlanStep, While, bodies

GATED, GATED_SOFTWARE = 8, 4
"""The most calls of a gated branch; a loop may have half as many.

A gated call costs about twice a plain call, a wait as much as several calls. On an H200 a branch of 4 calls is twice as
fast gated, a branch of 16 calls slower by a third (benchmarks/RESULTS_GPU.md).
"""
CHUNK = 32
"""The most iterations of a gated loop that are recorded at a time."""


@dataclass(frozen=True, slots=True)
class Run:
    """The calls from ``start`` up to, and without, ``stop``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Fork:
    """A waiting branch: the sections ``then`` where the byte at ``predicate`` is not 0, else ``otherwise``."""

    predicate: Place
    then: tuple[Section, ...]
    otherwise: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """A waiting loop: ``condition``; then, while the byte at ``predicate`` is not 0, ``body`` and ``condition``."""

    condition: tuple[Section, ...]
    predicate: Place
    body: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Chunks:
    """A gated loop: ``begin``, then chunks of several times ``step``, until the gates' word ``flag`` is 0."""

    begin: tuple[Section, ...]
    step: tuple[Section, ...]
    flag: int


Section = Run | Fork | Cycle | Chunks


class DispatchList(Protocol):
    """The list of a plan's calls while it is built; ``add`` and ``add_gate`` return its new length."""

    def add(self, dispatch: Dispatch, number: int, slot: int | None) -> int:
        """Add a dispatch in iteration ``number`` of its loop, with its own workgroup counts or those in a slot."""

    def counts(self, dispatch: Dispatch) -> tuple[int, int, int]:
        """Return the workgroup counts of a dispatch."""

    def add_gate(self, gate: Gate) -> int:
        """Add the call that runs a gate."""


@dataclass(frozen=True)
class _Gating:
    """The gating of a block's calls: the flag that says whether they run, and the gates that write their counts."""

    flag: int
    sides: tuple[tuple[Gate, bool], ...]


class Sections:
    """Builds the sections of a plan while it adds the calls in order; gates blocks of up to ``most`` calls."""

    def __init__(self, steps: Sequence[PlanStep], calls: DispatchList, gates: Gates, most: int) -> None:
        self._calls, self._gates, self._most = calls, gates, most
        self._count = 0
        # by the identity of a step, which may occur several times in a plan, and the surrounding flag
        self._known: dict[tuple[int, int], tuple[Gate, ...]] = {}
        self._slots: dict[tuple[int, int], int] = {}
        self.made = self._within(steps, 0, None)

    def _within(self, steps: Sequence[PlanStep], number: int, gating: _Gating | None) -> tuple[Section, ...]:
        into: list[Section] = []
        self._visit(steps, number, gating, into)
        return tuple(into)

    def _visit(
        self, steps: Sequence[PlanStep], number: int, gating: _Gating | None, into: list[Section]
    ) -> None:
        for step in steps:
            if isinstance(step, Dispatch):
                slot = None if gating is None else self._slot(step, gating)
                self._append_calls(self._calls.add(step, number, slot), into)
            elif isinstance(step, Loop):
                for inner in range(step.times):
                    self._visit(step.steps, inner, gating, into)
            elif gating is not None or self._is_gated(step):
                self._visit_gated(step, number, gating or _Gating(self._gates.always, ()), into)
            elif isinstance(step, Branch):
                then, otherwise = (self._within(body, number, None) for body in bodies(step))
                into.append(Fork(step.predicate, then, otherwise))
            else:
                condition, body = (self._within(block, number, None) for block in bodies(step))
                into.append(Cycle(condition, step.predicate, body))

    def _append_calls(self, count: int, into: list[Section]) -> None:
        """Append the calls up to ``count`` to the last run where they follow it, else start a new run."""
        before, self._count = self._count, count
        if count == before:
            return
        last = into[-1] if into else None
        if isinstance(last, Run) and last.stop == before:
            into[-1] = Run(last.start, count)
        else:
            into.append(Run(before, count))

    def _visit_gated(self, step: Branch | While, number: int, gating: _Gating, into: list[Section]) -> None:
        key = id(step), gating.flag
        gates = self._known[key] = self._known.get(key) or self._make_gates(step, gating)
        if isinstance(step, Branch):
            (gate,) = gates
            self._append_calls(self._calls.add_gate(gate), into)
            for side, body in ((True, step.then), (False, step.otherwise)):
                inner = _Gating(gate.then if side else gate.otherwise, ((gate, side),))
                self._visit(body, number, inner, into)
            return
        begin, test = gates
        first: list[Section] = []
        self._append_calls(self._calls.add_gate(begin), first)
        iteration: list[Section] = []
        self._visit(step.condition, number, _Gating(test.then, ((begin, True), (test, True))), iteration)
        self._append_calls(self._calls.add_gate(test), iteration)
        self._visit(step.steps, number, _Gating(test.then, ((test, True),)), iteration)
        into.append(Chunks(tuple(first), tuple(iteration), test.then))

    def _make_gates(self, step: Branch | While, gating: _Gating) -> tuple[Gate, ...]:
        if isinstance(step, Branch):
            return (self._gates.gate(step.predicate, gating.flag),)
        test = self._gates.gate(step.predicate, None)
        return self._gates.gate(None, gating.flag, test.then), test

    def _slot(self, dispatch: Dispatch, gating: _Gating) -> int:
        key = id(dispatch), gating.flag
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._gates.slot()
            for gate, side in gating.sides:
                gate.entries.append((slot, self._calls.counts(dispatch), side))
        return slot

    def _is_gated(self, step: Branch | While) -> bool:
        if isinstance(step, While) and any(_repeats(body) for body in bodies(step)):
            return False
        if isinstance(step, Branch) and _repeats((step,)):
            return False
        calls = sum(_size(body) for body in bodies(step))
        return (2 * calls if isinstance(step, While) else calls) <= self._most


def _size(steps: Sequence[PlanStep]) -> int:
    """Return the number of calls of steps, with both sides of branches."""
    return sum(
        1
        if isinstance(step, Dispatch)
        else (step.times if isinstance(step, Loop) else 1) * sum(map(_size, bodies(step)))
        for step in steps
    )


def _repeats(steps: Sequence[PlanStep]) -> bool:
    """Return whether steps contain a while loop."""
    return any(isinstance(step, While) or any(map(_repeats, bodies(step))) for step in steps)


def run_sections(
    made: Sequence[Section],
    record: Callable[[Run], None],
    test: Callable[[Place], bool],
    flag: Callable[[int], bool],
) -> None:
    """Record the runs of sections in order, with the tests between them.

    ``test`` returns whether the byte at a place is not 0 at that moment, ``flag`` whether a flag of the gates is.
    """
    for value in made:
        if isinstance(value, Run):
            record(value)
        elif isinstance(value, Fork):
            run_sections(value.then if test(value.predicate) else value.otherwise, record, test, flag)
        elif isinstance(value, Cycle):
            run_sections(value.condition, record, test, flag)
            while test(value.predicate):
                run_sections(value.body, record, test, flag)
                run_sections(value.condition, record, test, flag)
        else:
            run_sections(value.begin, record, test, flag)
            times = 1
            while True:
                for _ in range(times):
                    run_sections(value.step, record, test, flag)
                if not flag(value.flag):
                    break
                times = min(2 * times, CHUNK)
