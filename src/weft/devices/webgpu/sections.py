"""Sections of a plan: runs of calls that are recorded together, and what is asked between them.

A plan that depends on no values is one run. A branch or a loop whose length is not known ends one: the word that
decides is read back, and what comes next is recorded after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft.plan import Branch, Dispatch, Loop, Place, Step, While


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


Section = Run | Fork | Cycle

Add = Callable[[Dispatch, int], int]
"""Adds the call of a dispatch, in a round of its loop, to those of the plan; gives how many there are by then."""


def sections(steps: Sequence[Step], add: Add) -> tuple[Section, ...]:
    """The sections of a plan whose calls are added in their order."""
    made: list[Section] = []
    count = [0]

    def visit(steps: Sequence[Step], number: int, into: list[Section]) -> None:
        for step in steps:
            if isinstance(step, Dispatch):
                before, count[0] = count[0], add(step, number)
                if count[0] == before:
                    continue
                last = into[-1] if into else None
                if isinstance(last, Run) and last.stop == before:
                    into[-1] = Run(last.start, count[0])
                else:
                    into.append(Run(before, count[0]))
            elif isinstance(step, Loop):
                for inner in range(step.times):
                    visit(step.steps, inner, into)
            elif isinstance(step, Branch):
                into.append(Fork(step.predicate, within(step.then, number), within(step.otherwise, number)))
            elif isinstance(step, While):
                condition = within(step.condition, number)
                into.append(Cycle(condition, step.predicate, within(step.steps, number)))

    def within(steps: Sequence[Step], number: int) -> tuple[Section, ...]:
        inside: list[Section] = []
        visit(steps, number, inside)
        return tuple(inside)

    visit(steps, 0, made)
    return tuple(made)


def follow(made: Sequence[Section], record: Callable[[Run], None], test: Callable[[Place], bool]) -> None:
    """Record the runs in order; ``test`` says whether the byte at a place is not 0 after what was recorded."""
    for one in made:
        if isinstance(one, Run):
            record(one)
        elif isinstance(one, Fork):
            follow(one.then if test(one.predicate) else one.otherwise, record, test)
        else:
            follow(one.condition, record, test)
            while test(one.predicate):
                follow(one.body, record, test)
                follow(one.condition, record, test)
