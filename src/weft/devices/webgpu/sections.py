"""Sections of a plan: runs of calls that are recorded together, and what is asked between them.

A plan that depends on no values is one run. Where it branches or repeats, there are two ways. Few calls are *gated*:
they are recorded whatever happens, and start as many workgroups as a gate says, which is none for what is not taken
(``gates``); of a loop some steps are recorded at a time, twice as many each time, after which the word that says
whether it goes on is read back. For many calls it is cheaper to wait: the word that decides is read back, and what
comes next is recorded after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from weft.devices.webgpu.gates import Gate, Gates
from weft.plan import Branch, Dispatch, Loop, Place, PlanStep, While, bodies

GATED, GATED_SOFTWARE = 8, 4
"""Calls that are gated at most, of a loop half as many: one that runs costs about as much again, to wait as several.

On an H200 a branch of 4 calls is twice as fast gated, one of 16 slower by a third (benchmarks/RESULTS_GPU.md).
"""
CHUNK = 32
"""Steps of a loop that are recorded at a time, at most."""


@dataclass(frozen=True, slots=True)
class Run:
    """The calls from ``start`` to before ``stop``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Fork:
    """The sections ``then`` where the byte at ``predicate`` is not 0, else ``otherwise``."""

    predicate: Place
    then: tuple[Section, ...]
    otherwise: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """``condition``, and while the byte at ``predicate`` is not 0 after it, ``body`` and it again."""

    condition: tuple[Section, ...]
    predicate: Place
    body: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Chunks:
    """``begin``, then ``step`` several times at once, again and again until the gates' word ``flag`` is 0."""

    begin: tuple[Section, ...]
    step: tuple[Section, ...]
    flag: int


Section = Run | Fork | Cycle | Chunks


class DispatchList(Protocol):
    """The calls of a plan in the making; what is added gives how many there are by then."""

    def add(self, dispatch: Dispatch, number: int, slot: int | None) -> int:
        """The call of a dispatch in a round of its loop, with its own counts of workgroups or those in a slot."""

    def counts(self, dispatch: Dispatch) -> tuple[int, int, int]:
        """The workgroups of a dispatch."""

    def add_gate(self, gate: Gate) -> int:
        """The call that runs a gate."""


@dataclass(frozen=True)
class _Under:
    """What calls are gated by: the word that says whether they run, and the gates that set their counts."""

    flag: int
    sides: tuple[tuple[Gate, bool], ...]


class Sections:
    """The sections of a plan, made while its calls are added in their order; of gated blocks up to ``most`` calls."""

    def __init__(self, steps: Sequence[PlanStep], calls: DispatchList, gates: Gates, most: int) -> None:
        self._calls, self._gates, self._most = calls, gates, most
        self._count = 0
        # by the identity of a step, which a plan may have in several places, and the word that it is under
        self._known: dict[tuple[int, int], tuple[Gate, ...]] = {}
        self._slots: dict[tuple[int, int], int] = {}
        self.made = self._within(steps, 0, None)

    def _within(self, steps: Sequence[PlanStep], number: int, under: _Under | None) -> tuple[Section, ...]:
        into: list[Section] = []
        self._visit(steps, number, under, into)
        return tuple(into)

    def _visit(
        self, steps: Sequence[PlanStep], number: int, under: _Under | None, into: list[Section]
    ) -> None:
        for step in steps:
            if isinstance(step, Dispatch):
                slot = None if under is None else self._slot(step, under)
                self._added(self._calls.add(step, number, slot), into)
            elif isinstance(step, Loop):
                for inner in range(step.times):
                    self._visit(step.steps, inner, under, into)
            elif under is not None or self._is_gated(step):
                self._gated(step, number, under or _Under(self._gates.always, ()), into)
            elif isinstance(step, Branch):
                then, otherwise = (self._within(body, number, None) for body in bodies(step))
                into.append(Fork(step.predicate, then, otherwise))
            else:
                condition, body = (self._within(one, number, None) for one in bodies(step))
                into.append(Cycle(condition, step.predicate, body))

    def _added(self, count: int, into: list[Section]) -> None:
        """Note the calls up to ``count`` in the run that they go on with, or a new one."""
        before, self._count = self._count, count
        if count == before:
            return
        last = into[-1] if into else None
        if isinstance(last, Run) and last.stop == before:
            into[-1] = Run(last.start, count)
        else:
            into.append(Run(before, count))

    def _gated(self, step: Branch | While, number: int, under: _Under, into: list[Section]) -> None:
        key = id(step), under.flag
        gates = self._known[key] = self._known.get(key) or self._made(step, under)
        if isinstance(step, Branch):
            (gate,) = gates
            self._added(self._calls.add_gate(gate), into)
            for side, body in ((True, step.then), (False, step.otherwise)):
                own = _Under(gate.then if side else gate.otherwise, ((gate, side),))
                self._visit(body, number, own, into)
            return
        begin, test = gates
        first: list[Section] = []
        self._added(self._calls.add_gate(begin), first)
        one: list[Section] = []
        self._visit(step.condition, number, _Under(test.then, ((begin, True), (test, True))), one)
        self._added(self._calls.add_gate(test), one)
        self._visit(step.steps, number, _Under(test.then, ((test, True),)), one)
        into.append(Chunks(tuple(first), tuple(one), test.then))

    def _made(self, step: Branch | While, under: _Under) -> tuple[Gate, ...]:
        if isinstance(step, Branch):
            return (self._gates.gate(step.predicate, under.flag),)
        test = self._gates.gate(step.predicate, None)
        return self._gates.gate(None, under.flag, test.then), test

    def _slot(self, dispatch: Dispatch, under: _Under) -> int:
        key = id(dispatch), under.flag
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._gates.slot()
            for gate, side in under.sides:
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
    """How many calls steps come to, all branches included."""
    return sum(
        1
        if isinstance(step, Dispatch)
        else (step.times if isinstance(step, Loop) else 1) * sum(map(_size, bodies(step)))
        for step in steps
    )


def _repeats(steps: Sequence[PlanStep]) -> bool:
    """Whether there is a loop of unknown length among steps, or within."""
    return any(isinstance(step, While) or any(map(_repeats, bodies(step))) for step in steps)


def follow(
    made: Sequence[Section],
    record: Callable[[Run], None],
    test: Callable[[Place], bool],
    flag: Callable[[int], bool],
) -> None:
    """Record the runs in order. ``test`` says whether the byte at a place is not 0 by then, ``flag`` a gates' word."""
    for value in made:
        if isinstance(value, Run):
            record(value)
        elif isinstance(value, Fork):
            follow(value.then if test(value.predicate) else value.otherwise, record, test, flag)
        elif isinstance(value, Cycle):
            follow(value.condition, record, test, flag)
            while test(value.predicate):
                follow(value.body, record, test, flag)
                follow(value.condition, record, test, flag)
        else:
            follow(value.begin, record, test, flag)
            times = 1
            while True:
                for _ in range(times):
                    follow(value.step, record, test, flag)
                if not flag(value.flag):
                    break
                times = min(2 * times, CHUNK)
