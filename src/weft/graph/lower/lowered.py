"""``Lowered``: a lowered graph, whose nodes are kernel calls over named runs of memory. Frozen data, as ``Graph``.

A *value* is a contiguous run of elements; views are folded into index expressions. The buffers of derived kernels have
the names of values, so that calls can be compared and merged; every number in them is a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from weft.dtypes import DType
from weft.kernels import Kernel, Library
from weft.ops import TensorType
from weft.target import KernelSpec


@dataclass(frozen=True, slots=True)
class LoweredValue:
    """A run of ``elements`` of one type, with a name that is unique in its graph.

    ``overwrites`` names another value whose memory this value overwrites; that value has no later reads.
    """

    name: str
    dtype: DType
    elements: int
    overwrites: str = ""


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One dispatch: a kernel over values, in the order of its buffers, with its arguments.

    The buffers of a derived kernel have the names of the values. ``written`` are the positions in ``values`` that the
    kernel writes. ``ops`` are the ops that the kernel computes, ``site`` is the line of the user's program.
    """

    kernel: Kernel | Library | KernelSpec
    values: tuple[str, ...]
    written: tuple[int, ...]
    arguments: tuple[int | float, ...] = ()
    report: tuple[str, str] | None = None
    ops: tuple[str, ...] = ()
    site: str = field(default="", compare=False)
    advance: tuple[int, ...] = ()
    """The increment of each argument for each step of a loop; empty where no argument changes."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that the kernel may read: those that it does not write."""
        return tuple(name for at, name in enumerate(self.values) if at not in self.written)

    @property
    def writes(self) -> tuple[str, ...]:
        """The values that the kernel writes."""
        return tuple(self.values[at] for at in self.written)

    def __repr__(self) -> str:
        given = ", ".join([*self.reads, *map(repr, self.arguments)])
        return f"{', '.join(self.writes)} = {'+'.join(self.ops)}({given})"


class Block:
    """The base of loops and branches: a step that contains calls."""

    __slots__ = ()

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """The runs of calls of the block, in the order in which they may run."""
        raise NotImplementedError

    @property
    def test(self) -> str:
        """The predicate that the block reads before its last body; empty where there is none."""
        return ""

    @property
    def repeats(self) -> bool:
        """Whether the bodies may run again, in order."""
        return True

    @property
    def values(self) -> tuple[str, ...]:
        """The distinct values that the calls of the block read and write."""
        found = dict.fromkeys(name for body in self.bodies for call in body for name in call.values)
        return tuple(found | ({self.test: None} if self.test else {}))

    @property
    def writes(self) -> tuple[str, ...]:
        """The values that the calls of the block write."""
        return tuple(dict.fromkeys(name for body in self.bodies for call in body for name in call.writes))

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that the calls of the block read and do not write."""
        written = set(self.writes)
        found = [name for body in self.bodies for call in body for name in call.reads]
        found += [self.test] if self.test else []
        return tuple(dict.fromkeys(name for name in found if name not in written))


@dataclass(frozen=True, slots=True)
class Repeat(Block):
    """Calls that run ``times`` times. ``kept`` are the values that later calls may read.

    The parameter ``round`` of a kernel is ``start`` in the first step, and grows by ``step`` with each step.
    """

    times: int
    start: int
    step: int
    calls: tuple[LoweredStep, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """The calls of a step."""
        return (self.calls,)

    def __repr__(self) -> str:
        return "\n".join([f"{self.times} times:", *_indented(self.calls)])


@dataclass(frozen=True, slots=True)
class Choose(Block):
    """The calls ``then`` where the element of ``predicate`` is true, else ``otherwise``; both write ``kept``."""

    predicate: str
    then: tuple[LoweredStep, ...]
    otherwise: tuple[LoweredStep, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """The two branches, of which one runs."""
        return (self.then, self.otherwise)

    @property
    def test(self) -> str:
        """The predicate."""
        return self.predicate

    @property
    def repeats(self) -> bool:
        """False: a branch runs once."""
        return False

    def __repr__(self) -> str:
        return "\n".join(
            [f"if {self.predicate}:", *_indented(self.then), "else:", *_indented(self.otherwise)]
        )


@dataclass(frozen=True, slots=True)
class RepeatWhile(Block):
    """``condition``, then ``calls`` where ``predicate`` is true, repeated until it is false.

    ``kept`` are the values that later calls may read; they have the memory of the loop's initial values.
    """

    condition: tuple[LoweredStep, ...]
    predicate: str
    calls: tuple[LoweredStep, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """The condition and the body."""
        return (self.condition, self.calls)

    @property
    def test(self) -> str:
        """The predicate."""
        return self.predicate

    def __repr__(self) -> str:
        condition, calls = _indented(self.condition), _indented(self.calls)
        return "\n".join(["while:", *condition, f"is {self.predicate}:", *calls])


LoweredStep = KernelCall | Block
"""A step of a lowered graph."""


def _indented(calls: Iterable[LoweredStep]) -> list[str]:
    return [f"  {line}" for call in calls for line in repr(call).splitlines()]


def flat(calls: Iterable[LoweredStep]) -> Iterator[KernelCall]:
    """Yield every call once, including the calls of blocks."""
    for call in calls:
        if isinstance(call, Block):
            for body in call.bodies:
                yield from flat(body)
        else:
            yield call


@dataclass(frozen=True, slots=True)
class Result:
    """An output of the program: a whole value in row-major order that is no input, state or other output."""

    value: str
    type: TensorType


@dataclass(frozen=True)
class Lowered:
    """A lowered graph: calls in order over named values.

    ``states`` holds the initial and the final value of each state; ``outputs`` are distinct values that are neither
    states nor inputs.
    """

    values: tuple[LoweredValue, ...]
    calls: tuple[LoweredStep, ...]
    inputs: tuple[str, ...]
    states: tuple[tuple[str, str], ...]
    outputs: tuple[Result, ...]

    def __repr__(self) -> str:
        types = {value.name: f"{value.dtype.name}[{value.elements}]" for value in self.values}
        lines = [f"lowered({', '.join(f'{n}: {types[n]}' for n in self.inputs)}):"]
        lines += _indented(self.calls)
        lines.append(f"  return {', '.join(f'{output.value}: {output.type!r}' for output in self.outputs)}")
        changed = [f"{old} := {new}" for old, new in self.states if old != new]
        if changed:
            lines.append(f"  state {', '.join(changed)}")
        return "\n".join(lines)
