"""The body of a loop as a graph of its own. What it reaches from outside becomes an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.autograd.tape import Tape
from weft.errors import UnsupportedError
from weft.graph import Graph, Tracer, Tracing
from weft.ops import Interpreter, OpSpec, TensorType, interpreting, lookup
from weft.ops.core import modes
from weft.tensors.tensor import Tensor


class BodyTracing(Tracing):
    """Traces a body: tensors from outside, traced or not, are inputs after its own."""

    def __init__(self) -> None:
        super().__init__()
        self._outside: dict[Any, tuple[Any, Tracer]] = {}

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Record an op; ``UnsupportedError`` where it writes what lies outside, or draws random numbers."""
        for target in into or ():
            if not isinstance(target, Tracer) or target.tracing is not self:
                raise UnsupportedError(
                    f"{op.name}: a tensor from outside of a loop's body is written in place, expected a value of the "
                    f"body; carry it from step to step instead"
                )
        if op.random:
            raise UnsupportedError(
                f"{op.name}: random numbers are drawn in a loop's body, expected none; draw them for all steps before "
                f"the loop and pass them along"
            )
        return super().process(op, operands, attributes, into, below)

    def _lift(self, value: Any) -> Any:
        if isinstance(value, bool | int | float) or (isinstance(value, Tracer) and value.tracing is self):
            return value
        key = (id(value.alias), value.version, value.geometry, getattr(value, "path", ()))
        known = self._outside.get(key)
        if known is None:  # the value is held, so that its identity stays its own
            known = self._outside[key] = (value, self.input(value.shape, value.dtype, value.device_name))
        return known[1]

    def outside(self) -> list[Any]:
        """What the body reaches, in the order of the inputs that stand for it."""
        return [value for value, _ in self._outside.values()]


class BodyTape(Tape):
    """The tape in a body; it remembers the tensors by their data, since it is they that have a history."""

    def __init__(self) -> None:
        self.seen: dict[int, Tensor] = {}

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Note the operands, then as any tape."""
        self.note(*operands)
        return super().process(op, operands, attributes, into, below)

    def note(self, *values: Any) -> None:
        """Remember tensors."""
        self.seen.update({id(one._data): one for one in values if isinstance(one, Tensor)})


@dataclass(frozen=True)
class Body:
    """A traced body, and the values from outside that its last inputs stand for."""

    graph: Graph
    outside: tuple[Tensor, ...]


def trace_body(fn: Callable[..., Sequence[Tensor]], types: Sequence[TensorType], device: str) -> Body:
    """The graph of ``fn`` for tensors of these types; its results are the graph's outputs in order."""
    tracing, tape = BodyTracing(), BodyTape()
    with interpreting(tracing, tape, *modes()):
        given = [Tensor.wrap(tracing.input(one.shape, one.dtype, device)) for one in types]
        results = fn(*given)
        tape.note(*results)
        outputs = tracing.outputs([one._data for one in results])
    graph = tracing.graph(outputs)
    return Body(graph, tuple(tape.seen[id(value)] for value in tracing.outside()))


def types_of(values: Sequence[Any]) -> list[TensorType]:
    """The types of tensors."""
    return [TensorType(tuple(one.shape), one.dtype) for one in values]


def run_by_nodes(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """A body by the references of its ops, on NumPy arrays: what its tests compare with."""
    values = {var.id: array for var, array in zip(graph.inputs, arrays, strict=True)}
    for node in graph.nodes:
        operands = [values[one.id] if hasattr(one, "id") else one for one in node.inputs]
        found = lookup(node.op).reference(*operands, **dict(node.attributes))
        for var, one in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True):
            values[var.id] = one
    return [values[one.id] if hasattr(one, "id") else one for one in graph.outputs]
