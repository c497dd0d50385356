"""``Plan``: a compiled program as data, without Python code: kernels in execution order over ranges of memory.

A plan is for one target. Its dispatches name ranges in five memory spaces by number: *arenas*, which the plan owns and
in which values with disjoint lifetimes share memory; *inputs*, *states* and *outputs*, which are storages of the
caller; and *groups*, states that lie in the same buffer, so that a kernel may bind several of them as one range. A
replay reads the inputs, reads and writes the states, and fills new outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from weft.target import KernelSpec

Space = Literal["arena", "input", "state", "output", "group"]

ALIGNMENT = 256
"""The alignment of ranges in arenas and groups, in bytes: a binding offset that every device accepts."""


@dataclass(frozen=True, slots=True)
class Place:
    """A range of memory: ``size`` bytes at ``offset`` of the arena, input, state, output or group ``index``."""

    space: Space
    index: int
    offset: int
    size: int

    def __repr__(self) -> str:
        return f"{self.space}{self.index}[{self.offset}:{self.offset + self.size}]"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A kernel over ranges of memory, with all its parameters.

    Attributes:
        spec: The kernel.
        places: The ranges, in the order of ``spec.inputs + spec.outputs``.
        parameters: The values of ``spec.parameters``.
        report: The op and the argument that the message of an index out of range names.
        site: The user's line of the (first) op that the kernel computes.
        advance: The increment of each parameter per iteration of the innermost loop.
        ops: The graph ops that the kernel computes.
        operations: The number of floating point operations.
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
    """Steps that run ``times`` times."""

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
    """A while loop: ``condition`` writes the byte at ``predicate``; while it is not 0, ``steps`` and ``condition``."""

    condition: tuple[PlanStep, ...]
    predicate: Place
    steps: tuple[PlanStep, ...]


PlanStep = Dispatch | Loop | Branch | While

Group = tuple[tuple[int, int], ...]
"""States that must lie in the same buffer: the number of each, and its offset from the group's start in bytes."""


@dataclass(frozen=True)
class Plan:
    """A compiled program for a device.

    Attributes:
        steps: The steps, in execution order.
        arenas: The bytes of each arena.
        inputs: The bytes of each input.
        states: The bytes of each state.
        outputs: The bytes of each output.
        changed: The numbers of the states that the plan writes.
        groups: The states that must lie in the same buffer.
        peak: The peak of live bytes in the arenas.
        choices: The measured choices (``weft tune``) that decided about kernels: question and answer.

    >>> Plan(steps=(), arenas=(256,), inputs=(64,), states=(), outputs=(64,))
    plan of 0 dispatches, arenas of 256 bytes:
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
        """Return the bytes from a group's start to its end."""
        return max(offset + self.states[state] for state, offset in self.groups[group])

    def dispatches(self) -> Iterator[Dispatch]:
        """Yield every dispatch once, including those of blocks, in order."""
        yield from _dispatches(self.steps)

    def __repr__(self) -> str:
        count = sum(1 for _ in self.dispatches())
        lines = [f"plan of {count} dispatches, arenas of {', '.join(map(str, self.arenas))} bytes:"]
        lines += _printed(self.steps, "  ")
        lines += [f"measured: {asked}: {name}, {number}" for asked, (name, number) in self.choices]
        return "\n".join(lines)


def bodies(step: PlanStep) -> tuple[tuple[PlanStep, ...], ...]:
    """Return the sequences of steps inside a step."""
    if isinstance(step, Branch):
        return step.then, step.otherwise
    if isinstance(step, While):
        return step.condition, step.steps
    return (step.steps,) if isinstance(step, Loop) else ()


def predicates(steps: tuple[PlanStep, ...]) -> Iterator[Place]:
    """Yield the predicates of all branches and while loops."""
    for step in steps:
        if isinstance(step, Branch | While):
            yield step.predicate
        for body in bodies(step):
            yield from predicates(body)


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
    """Return the heading of each sequence of steps inside a step."""
    if isinstance(step, Branch):
        return f"if {step.predicate!r}", "else"
    if isinstance(step, While):
        return "while", f"is {step.predicate!r}"
    return (f"{step.times} times",) if isinstance(step, Loop) else ()
