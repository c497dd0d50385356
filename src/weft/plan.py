"""``Plan``: a compiled program as data. Which kernels run in which order over which bytes, and nothing of Python.

A plan is for one target. Its dispatches name ranges of five kinds of memory by number: *arenas*, which the plan owns
and whose ranges several values share in turn; *inputs*, *states* and *outputs*, which are storages of the caller; and
*groups*, states that lie in one buffer, so that a kernel may bind several as one. A replay reads the inputs, reads and
writes the states, and fills new outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from weft.target import KernelSpec

Space = Literal["arena", "input", "state", "output", "group"]

ALIGNMENT = 256
"""Bytes that every range in an arena begins at a multiple of: what every device binds at."""


@dataclass(frozen=True, slots=True)
class Place:
    """``size`` bytes at ``offset`` of the arena, input, state, output or group with number ``index``."""

    space: Space
    index: int
    offset: int
    size: int

    def __repr__(self) -> str:
        return f"{self.space}{self.index}[{self.offset}:{self.offset + self.size}]"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One kernel over ranges, in the order of ``spec.inputs + spec.outputs``, with all its parameters.

    ``report`` is (where, what) for the message of an index that the kernel finds out of range; ``site`` is the user's
    line that asked for (the first of) what it computes. ``advance``: how much each parameter grows with each round
    of the loop that it is in. ``ops`` are those of the graph that it carries out, ``operations`` the floating point
    operations that it does.
    """

    spec: KernelSpec
    places: tuple[Place, ...]
    parameters: tuple[int | float, ...] = ()
    report: tuple[str, str] | None = None
    site: str = ""
    advance: tuple[int, ...] = ()
    ops: tuple[str, ...] = ()
    operations: int = 0

    def __repr__(self) -> str:
        given = ", ".join([*map(repr, self.places), *map(repr, self.parameters)])
        return f"{self.spec.name}({given})"


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps repeated ``times`` times, in order."""

    times: int
    steps: tuple[PlanStep, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """The steps ``then`` where the byte at ``predicate`` is not 0, else the steps ``otherwise``."""

    predicate: Place
    then: tuple[PlanStep, ...]
    otherwise: tuple[PlanStep, ...]


@dataclass(frozen=True, slots=True)
class While:
    """The steps ``condition``, which write the byte at ``predicate``; while it is not 0, ``steps`` and they again."""

    condition: tuple[PlanStep, ...]
    predicate: Place
    steps: tuple[PlanStep, ...]


PlanStep = Dispatch | Loop | Branch | While

Group = tuple[tuple[int, int], ...]
"""States that must lie in one buffer: the number of each, and how many bytes after the group's start it begins."""


@dataclass(frozen=True)
class Plan:
    """Steps in order, and the bytes of every arena, input, state and output.

    ``changed`` holds the numbers of the states that the plan writes. It runs over states that lie as ``groups`` says.
    ``peak``: the most bytes of the arenas that are alive at one time.
    ``choices`` are those measurements that decided about its kernels (``weft tune``): what was asked, and the answer.
    """

    steps: tuple[PlanStep, ...]
    arenas: tuple[int, ...]
    inputs: tuple[int, ...]
    states: tuple[int, ...]
    outputs: tuple[int, ...]
    changed: tuple[int, ...] = ()
    groups: tuple[Group, ...] = ()
    peak: int = 0
    choices: tuple[tuple[str, tuple[str, int]], ...] = ()

    def span(self, group: int) -> int:
        """The bytes from a group's start to its end."""
        return max(offset + self.states[state] for state, offset in self.groups[group])

    def dispatches(self) -> Iterator[Dispatch]:
        """Every dispatch once, those of loops included, in order."""
        yield from _dispatches(self.steps)

    def __repr__(self) -> str:
        count = sum(1 for _ in self.dispatches())
        lines = [f"plan of {count} dispatches, arenas of {', '.join(map(str, self.arenas))} bytes:"]
        lines += _printed(self.steps, "  ")
        lines += [f"measured: {asked}: {name}, {number}" for asked, (name, number) in self.choices]
        return "\n".join(lines)


def bodies(step: PlanStep) -> tuple[tuple[PlanStep, ...], ...]:
    """The runs of steps within a step."""
    if isinstance(step, Branch):
        return step.then, step.otherwise
    if isinstance(step, While):
        return step.condition, step.steps
    return (step.steps,) if isinstance(step, Loop) else ()


def tests(steps: tuple[PlanStep, ...]) -> Iterator[Place]:
    """Every place that a step looks at to know what comes next."""
    for step in steps:
        if isinstance(step, Branch | While):
            yield step.predicate
        for body in bodies(step):
            yield from tests(body)


def _dispatches(steps: tuple[PlanStep, ...]) -> Iterator[Dispatch]:
    for step in steps:
        if isinstance(step, Dispatch):
            yield step
        for body in bodies(step):
            yield from _dispatches(body)


def _printed(steps: tuple[PlanStep, ...], indent: str) -> list[str]:
    lines = []
    for step in steps:
        if isinstance(step, Dispatch):
            lines.append(f"{indent}{step!r}")
            continue
        for title, body in zip(_titles(step), bodies(step), strict=True):
            lines += [f"{indent}{title}:", *_printed(body, indent + "  ")]
    return lines


def _titles(step: PlanStep) -> tuple[str, ...]:
    """What stands before each run of steps within a step."""
    if isinstance(step, Branch):
        return f"if {step.predicate!r}", "else"
    if isinstance(step, While):
        return "while", f"is {step.predicate!r}"
    return (f"{step.times} times",) if isinstance(step, Loop) else ()
