"""``Lowered``: a graph whose nodes have become kernel calls over named runs of memory. Frozen data, as ``Graph``.

A *value* is a contiguous run of elements; views have gone into the index expressions. Derived kernels name values
directly as their buffers, so that calls can be compared and merged; in them every number is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.dtypes import DType
from weft.kernels import Kernel, Library
from weft.ops import TensorType
from weft.target import KernelSpec


@dataclass(frozen=True, slots=True)
class Value:
    """A run of ``elements`` of one type, named uniquely in its graph.

    ``over``: another value whose memory this one takes over; that one is not read after this one is written.
    """

    name: str
    dtype: DType
    elements: int
    over: str = ""


@dataclass(frozen=True, slots=True)
class Call:
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


@dataclass(frozen=True, slots=True)
class Repeat:
    """Calls repeated ``times`` times. ``kept`` are the values of its calls that what comes after may read.

    Kernels that have the parameter ``round`` take ``start`` in the first step, and ``step`` more in each.
    """

    times: int
    start: int
    step: int
    calls: tuple[Call | Repeat, ...]
    kept: tuple[str, ...]
    site: str = field(default="", compare=False)

    @property
    def values(self) -> tuple[str, ...]:
        """All values that its calls read and write, each once."""
        return tuple(dict.fromkeys(name for call in self.calls for name in call.values))

    @property
    def writes(self) -> tuple[str, ...]:
        """Values that its calls write."""
        return tuple(dict.fromkeys(name for call in self.calls for name in call.writes))

    @property
    def reads(self) -> tuple[str, ...]:
        """Values from outside that its calls read."""
        own = set(self.writes)
        return tuple(dict.fromkeys(name for call in self.calls for name in call.reads if name not in own))

    def __repr__(self) -> str:
        lines = [line for call in self.calls for line in repr(call).splitlines()]
        return "\n".join([f"{self.times} times:", *(f"  {line}" for line in lines)])


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

    values: tuple[Value, ...]
    calls: tuple[Call | Repeat, ...]
    inputs: tuple[str, ...]
    states: tuple[tuple[str, str], ...]
    outputs: tuple[Result, ...]

    def __repr__(self) -> str:
        types = {value.name: f"{value.dtype.name}[{value.elements}]" for value in self.values}
        lines = [f"lowered({', '.join(f'{n}: {types[n]}' for n in self.inputs)}):"]
        lines += [f"  {line}" for call in self.calls for line in repr(call).splitlines()]
        lines.append(f"  return {', '.join(f'{one.value}: {one.type!r}' for one in self.outputs)}")
        changed = [f"{old} := {new}" for old, new in self.states if old != new]
        if changed:
            lines.append(f"  state {', '.join(changed)}")
        return "\n".join(lines)
