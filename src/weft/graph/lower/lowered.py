"""``Lowered``: a graph whose nodes have become kernel calls over named runs of memory. Frozen data, as ``Graph``.

A *value* is a contiguous run of elements; views have gone into the index expressions. Derived kernels name values
directly as their buffers, so that calls can be compared and merged; in them every number is a constant.
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
    """A run of ``elements`` of one type, named uniquely in its graph.

    ``over``: another value whose memory this one takes over; that one is not read after this one is written.
    """

    name: str
    dtype: DType
    elements: int
    over: str = ""


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One dispatch: a kernel over values, in the order of its buffers, with the numbers that it takes.

    A derived kernel's buffers are named by the values themselves. ``written`` are the positions in ``values`` that
    the kernel writes. ``ops`` and ``site`` say what it computes and for which line of the user.
    """

    kernel: Kernel | Library | KernelSpec
    values: tuple[str, ...]
    written: tuple[int, ...]
    arguments: tuple[int | float, ...] = ()
    report: tuple[str, str] | None = None
    ops: tuple[str, ...] = ()
    site: str = field(default="", compare=False)
    advance: tuple[int, ...] = ()
    """In a loop, how much each argument grows from step to step; empty where none does."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Values that the kernel may read: those it does not write, and in derived kernels what it loads."""
        return tuple(name for at, name in enumerate(self.values) if at not in self.written)

    @property
    def writes(self) -> tuple[str, ...]:
        """Values that the kernel writes."""
        return tuple(self.values[at] for at in self.written)

    def __repr__(self) -> str:
        given = ", ".join([*self.reads, *map(repr, self.arguments)])
        return f"{', '.join(self.writes)} = {'+'.join(self.ops)}({given})"


class Block:
    """Calls within calls, run several times or not at all: what repeats and branches have in common."""

    __slots__ = ()

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """Its runs of calls, in the order in which they may run."""
        raise NotImplementedError

    @property
    def test(self) -> str:
        """The value that it looks at itself before its last body, to know what to run; empty where none."""
        return ""

    @property
    def repeats(self) -> bool:
        """Whether its bodies may run again, all of them in order."""
        return True

    @property
    def values(self) -> tuple[str, ...]:
        """All values that its calls read and write, each once."""
        found = dict.fromkeys(name for body in self.bodies for call in body for name in call.values)
        return tuple(found | ({self.test: None} if self.test else {}))

    @property
    def writes(self) -> tuple[str, ...]:
        """Values that its calls write."""
        return tuple(dict.fromkeys(name for body in self.bodies for call in body for name in call.writes))

    @property
    def reads(self) -> tuple[str, ...]:
        """Values from outside that its calls read."""
        written = set(self.writes)
        found = [name for body in self.bodies for call in body for name in call.reads]
        found += [self.test] if self.test else []
        return tuple(dict.fromkeys(name for name in found if name not in written))


@dataclass(frozen=True, slots=True)
class Repeat(Block):
    """Calls repeated ``times`` times. ``kept`` are the values of its calls that what comes after may read.

    Kernels that have the parameter ``round`` take ``start`` in the first step, and ``step`` more in each.
    """

    times: int
    start: int
    step: int
    calls: tuple[LoweredStep, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """Its calls."""
        return (self.calls,)

    def __repr__(self) -> str:
        return "\n".join([f"{self.times} times:", *_indented(self.calls)])


@dataclass(frozen=True, slots=True)
class Choose(Block):
    """The calls ``then`` where the one element of ``predicate`` is true, else ``otherwise``; both write ``kept``."""

    predicate: str
    then: tuple[LoweredStep, ...]
    otherwise: tuple[LoweredStep, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def bodies(self) -> tuple[tuple[LoweredStep, ...], ...]:
        """Both, of which one runs."""
        return (self.then, self.otherwise)

    @property
    def test(self) -> str:
        """The predicate."""
        return self.predicate

    @property
    def repeats(self) -> bool:
        """No."""
        return False

    def __repr__(self) -> str:
        return "\n".join(
            [f"if {self.predicate}:", *_indented(self.then), "else:", *_indented(self.otherwise)]
        )


@dataclass(frozen=True, slots=True)
class RepeatWhile(Block):
    """``condition``, then ``calls`` if it made ``predicate`` true, and so on until it does not.

    ``kept`` are the values that what comes after may read; they lie where the first step found them.
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
"""What a lowered graph consists of."""


def _indented(calls: Iterable[LoweredStep]) -> list[str]:
    return [f"  {line}" for call in calls for line in repr(call).splitlines()]


def flat(calls: Iterable[LoweredStep]) -> Iterator[KernelCall]:
    """Every call once, those of blocks included."""
    for call in calls:
        if isinstance(call, Block):
            for body in call.bodies:
                yield from flat(body)
        else:
            yield call


@dataclass(frozen=True, slots=True)
class Result:
    """An output of the program: a whole value of its own, in row-major order, or a Python number."""

    value: str
    type: TensorType


@dataclass(frozen=True)
class Lowered:
    """Calls in order. ``inputs`` and ``states`` name the values that are there at the start.

    ``states`` holds for each state its value at the start and the one that it must have at the end; ``outputs`` are
    distinct values that no state and no input is.
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
