"""``Graph``: nodes in execution order, in static single assignment form, as frozen and hashable data.

A graph has no side effects. In-place writes of the traced program are in ``states``: the initial value of a storage,
and the final value that it must have at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from weft.ops import TensorType


@dataclass(frozen=True, slots=True)
class Var:
    """A value of a graph: an id that is unique in the graph, a type and a device."""

    id: int
    type: TensorType
    device: str

    def __repr__(self) -> str:
        return f"%{self.id}"


Atom = Var | bool | int | float
"""An operand of a node: a value of the graph or a Python scalar."""


@dataclass(frozen=True, slots=True)
class Node:
    """One op call. ``site`` is the user's file and line; it takes no part in comparisons."""

    op: str
    inputs: tuple[Atom, ...]
    outputs: tuple[Var, ...]
    attributes: tuple[tuple[str, Any], ...] = ()
    site: str = field(default="", compare=False)

    def __repr__(self) -> str:
        left = ", ".join(f"{out!r}: {out.type!r}" for out in self.outputs)
        given = [repr(source) for source in self.inputs] + [
            f"{key}={value!r}" for key, value in self.attributes
        ]
        return f"{left} = {self.op}({', '.join(given)})"


@dataclass(frozen=True, slots=True)
class State:
    """A storage that the program reads; the program writes it where ``final`` differs from ``initial``."""

    initial: Var
    final: Var

    @property
    def changed(self) -> bool:
        """Whether the program writes the storage."""
        return self.final != self.initial


@dataclass(frozen=True, slots=True)
class Graph:
    """A traced program: a function from inputs and initial states to outputs and final states."""

    inputs: tuple[Var, ...]
    states: tuple[State, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Atom, ...]

    def __repr__(self) -> str:
        given = ", ".join(f"{var!r}: {var.type!r}" for var in self.inputs)
        held = ", ".join(f"{state.initial!r}: {state.initial.type!r}" for state in self.states)
        lines = [f"graph({given}) with state({held}):"]
        width = max((len(repr(node)) for node in self.nodes), default=0)
        lines += [f"  {n!r:<{min(width, 88)}}  # {n.site}" if n.site else f"  {n!r}" for n in self.nodes]
        lines.append(f"  return {', '.join(map(repr, self.outputs))}")
        changed = [f"{state.initial!r} := {state.final!r}" for state in self.states if state.changed]
        if changed:
            lines.append(f"  state {', '.join(changed)}")
        return "\n".join(lines)
