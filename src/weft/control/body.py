"""Trace the bodies of loops and branches as graphs; captured tensors become inputs.

A captured tensor that a body only reads is an additional input. A captured tensor that a body writes is an *effect*:
its contents are an additional input and an additional output, and the caller writes the output back to the tensor. The
states of random generators are effects too: each run of a body draws from its own range of the counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from weft.autograd.mode import is_enabled
from weft.autograd.node import Accumulator, Barrier, Edge, keeper
from weft.autograd.operands import edge_of
from weft.autograd.tape import Tape
from weft.control.effects import Effect, NewEffects, effect_of, generator_of
from weft.errors import UnsupportedError, mistake
from weft.graph import Graph, Tracer, Tracing, Var
from weft.graph.tracing import Cell
from weft.ops import OPS, Interpreter, OpSpec, TensorType, bind, interpreter_stack, interpreting, lookup
from weft.ops.registry.interpreters import modes
from weft.random.generator import Generator, all_generators
from weft.tensors.array import Array
from weft.tensors.gradients import keeping_grads
from weft.tensors.tensor import Tensor

Function = Callable[..., "Sequence[Tensor]"]
"""A body without trees: a function from tensors to tensors."""


class BodyTracing(Tracing):
    """Traces a body; ``BodyTape`` turns captured tensors into inputs."""

    def share(self, value: Any) -> Tracer:
        """Return a traced value for memory that the body writes, as a state of the body's graph."""
        type_ = TensorType(tuple(value.shape), value.dtype)
        var = self._var(type_, value.device_name)
        cell = Cell(var)
        self._captured[id(value.alias)] = (value, cell, var)
        return Tracer(self, cell, value.dtype, value.geometry, (), value.device_name)

    def within(self, value: Any) -> Tracer:
        """Return a captured view of shared memory as a traced value of the body."""
        if not isinstance(value, Tracer):
            made: Tracer = self._lift(value)
            return made
        cell = self._captured[id(value.alias)][1]
        return Tracer(self, cell, value.dtype, value.geometry, value.path, value.device_name)

    def shares(self, value: Any) -> bool:
        """Return whether a captured value is in shared memory."""
        return id(value.alias) in self._captured


class BodyTape(Tape):
    """The tape of a body: it turns captured tensors into inputs, and marks values that are used without their history.

    In a graph, ``x.detach()`` is ``x``. So that a gradient of the graph stops where the gradient of the program stops,
    a value that is used without a history that it has elsewhere passes through ``stop_gradient``.
    """

    def __init__(self, tracing: BodyTracing, effects: Sequence[Effect]) -> None:
        self.tracing = tracing
        self._stack = interpreter_stack()
        self._records = is_enabled()
        self._entered: dict[Any, tuple[Tensor, Any, Tensor, Var]] = {}
        self._captured_of: dict[int, Tensor] = {}  # the captured tensor of an input, by the id of its cell
        # the history of traced data, by the id of the data
        self._origins: dict[int, tuple[Tracer, Edge | None]] = {}
        self.shared = [
            self._known(tracing.share(self._around(effect.tensor)), edge_of(effect.tensor))
            for effect in effects
        ]
        self._effect_numbers = {
            id(self._around(effect.tensor).alias): at for at, effect in enumerate(effects)
        }
        self._bases = [effect.tensor for effect in effects]
        self.recorded = [False] * len(effects)
        """Whether each effect was written while gradients were recorded."""
        self.new_effects: dict[int, Effect] = {}
        """New effects, which were not known when the trace began, by the id of their memory."""

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Replace captured operands and targets by inputs, then record the op as any tape does."""
        if op.random or op is OPS["random_advance"]:
            self._note_generators(operands)
        given = [self.enter(operand) if isinstance(operand, Tensor) else operand for operand in operands]
        targets = None if into is None else tuple([self._target(target) for target in into])
        if self._records and op.view is None:
            given = [self._stopped(value) if isinstance(value, Tensor) else value for value in given]
        results = super().process(op, tuple(given), attributes, targets, below)
        for result in results:
            inherits = op.view is not None and id(given[0]._data) in self._origins
            edge = edge_of(result)
            if inherits or edge is not None:
                self._origins[id(result._data)] = result._data, edge
        return results if into is None else into

    def input(self, type_: TensorType, device: str) -> Tensor:
        """Return an input of the body; where gradients are recorded it has a history, as in a step of the loop."""
        data = self.tracing.input(type_.shape, type_.dtype, device)
        if not self._records or data.dtype.kind != "float":
            return Tensor.wrap(data)
        return self._known(data, Edge(Barrier(lambda grads: grads, [Tensor.wrap(data)]), 0))

    def result(self, value: Tensor) -> Any:
        """Return the traced data of a result."""
        inside = self.enter(value)
        return (self._stopped(inside) if self._records else inside)._data

    def outside(self) -> dict[Any, tuple[Tensor, Var]]:
        """Return the captured tensors with their inputs, by a key that is the same in all bodies."""
        return {key: (tensor, var) for key, (tensor, _, _, var) in self._entered.items()}

    def enter(self, value: Tensor) -> Tensor:
        """Return a tensor as a value of the body."""
        if self._is_own(value):
            return value
        data = self._around(value)
        if self.tracing.shares(data):
            return self._within(value, data)
        edge = edge_of(value)
        owner = None if edge is None else (id(edge.node), edge.output)
        # samples of vmap share their geometry with the first sample
        level = id(data) if _is_of_level(data) else None
        key = (id(data.alias), data.version, data.geometry, getattr(data, "path", ()), owner, level)
        if key not in self._entered:
            number = getattr(data, "number", None)
            made = self.tracing.input(tuple(value.shape), value.dtype, data.device_name, number=number)
            inside = self._known(made, edge)
            self._entered[key] = (value, edge, inside, inside._data.cell.var)
            self._captured_of[id(inside._data.cell)] = value
        return self._entered[key][2]

    def _around(self, value: Tensor) -> Any:
        """Return the data of a tensor in the enclosing trace, in which all views of a storage share one cell."""
        data, bottom = value._data, self._stack[0]
        for tape in self._stack[1:2]:
            if isinstance(tape, BodyTape):
                return tape.enter(value)._data
        return bottom.traced(data) if isinstance(bottom, Tracing) and isinstance(data, Array) else data

    def _within(self, value: Tensor, data: Any) -> Tensor:
        """Return a captured tensor in shared memory as the same view of the shared value in the body."""
        at = self._effect_numbers[id(data.alias)]
        if value is self._bases[at]:
            return self.shared[at]
        view = value._view
        if view is not None and view.base is self._bases[at]:
            inside = self.shared[at]
            for name, options in view.path:
                inside = bind(OPS[name], inside, **dict(options))
            return inside
        made = self.tracing.within(data)  # a detached tensor, possibly a leaf
        self._origins[id(made)] = made, None
        return Tensor.wrap(made, edge_of(value))

    def _target(self, value: Tensor) -> Tensor:
        inside = self.enter(value)
        cell = inside._data.cell
        if id(cell) in self._captured_of:
            self._note_effect(self._captured_of[id(cell)])
        for at, inside_value in enumerate(self.shared):
            if inside_value._data.cell is cell:
                self.recorded[at] |= is_enabled()
        return inside

    def _known(self, data: Tracer, edge: Edge | None) -> Tensor:
        """Return a tensor of the body with the history of a captured tensor."""
        if edge is not None:
            self._origins[id(data)] = data, edge
        return Tensor.wrap(data, edge)

    def _stopped(self, value: Tensor) -> Tensor:
        """Return an operand, behind ``stop_gradient`` where it is used without the history of its data."""
        if value.dtype.kind != "float":
            return value
        edge = edge_of(value)
        if edge is None or isinstance(edge.node, Accumulator):
            origin = self._origins.get(id(value._data))
            stops = origin is not None and (
                origin[1] is None or edge is None or origin[1].node is not edge.node
            )
        else:
            stops = False
        if not stops and (edge is None or is_enabled()):
            return value
        (data,) = self.tracing.process(OPS["stop_gradient"], (value._data,), {}, None, ())
        return Tensor.wrap(data, edge)

    def _note_generators(self, operands: Sequence[Any]) -> None:
        given = [operand for operand in operands if isinstance(operand, Tensor) and not self._is_own(operand)]
        for value in given:
            if generator_of(value) is not None and not self.tracing.shares(self._around(value)):
                self._note_effect(value)

    def _note_effect(self, tensor: Tensor) -> None:
        """Note a new effect; the trace continues to find further effects, and is repeated afterwards."""
        if _is_of_level(tensor._data):
            raise UnsupportedError(
                mistake("a body", "the target of a write", "a captured tensor of a transformed function",
                        "a tensor of the body", "carry the tensor from step to step, and write a clone() of it")
            )  # fmt: skip
        self.new_effects.setdefault(id(self._around(tensor).alias), effect_of(tensor))

    def _is_own(self, value: Tensor) -> bool:
        return isinstance(value._data, Tracer) and value._data.tracing is self.tracing


def _is_of_level(data: Any) -> bool:
    """Return whether a value belongs to an enclosing transform of ``weft.func``."""
    return hasattr(data, "readable")


def in_body() -> bool:
    """Return whether the caller is in the body of a loop or a branch that is being traced."""
    return isinstance(interpreter_stack()[0], BodyTracing)


@dataclass(frozen=True)
class Bodies:
    """Traced bodies with common operands: their inputs, the effects, and the captured tensors (``outside``).

    Each graph returns its results, then the new contents of the effects.
    """

    graphs: tuple[Graph, ...]
    effects: tuple[Effect, ...]
    outside: tuple[Tensor, ...]


def trace_bodies(functions: Sequence[tuple[Function, Sequence[TensorType]]], device: str) -> Bodies:
    """Trace functions with inputs of the given types; a function may be called several times.

    All functions get the effects of each of them.
    """
    effects: list[Effect] = []
    while True:
        drawn = [(generator, generator.standing()[1]) for generator in all_generators()]
        try:
            traced = [_traced(function, types, device, effects) for function, types in functions]
        except NewEffects as found:
            effects += found.effects
            for generator, offset in drawn:
                generator.step_back(offset)
            continue
        break
    outside: dict[Any, Tensor] = {}
    for body in traced:
        outside.update((key, tensor) for key, (tensor, _) in body.outside.items())
    graphs = tuple(body.with_inputs(outside) for body in traced)
    known = [
        replace(
            effect,
            recorded=any(body.recorded[at] for body in traced),
            draws=tuple(body.draws[at] for body in traced),
        )
        for at, effect in enumerate(effects)
    ]
    return Bodies(graphs, tuple(known), tuple(outside.values()))


@dataclass
class _Traced:
    graph: Graph
    outside: dict[Any, tuple[Tensor, Var]]
    recorded: list[bool]
    draws: list[int]
    inputs: int
    """The number of inputs that are no captured tensors."""

    def with_inputs(self, outside: dict[Any, Tensor]) -> Graph:
        """Return the graph with an input for each captured tensor of all bodies, and for each effect."""
        graph = self.graph
        known = (
            *graph.inputs,
            *(state.initial for state in graph.states),
            *(v for n in graph.nodes for v in n.outputs),
        )
        free = 1 + max((var.id for var in known), default=-1)
        inputs = [*graph.inputs[: self.inputs], *(state.initial for state in graph.states)]
        for at, (key, tensor) in enumerate(outside.items()):
            if key in self.outside:
                inputs.append(self.outside[key][1])
            else:
                type_ = TensorType(tuple(tensor.shape), tensor.dtype)
                inputs.append(Var(free + at, type_, tensor._data.device_name))
        outputs = (*graph.outputs, *(state.final for state in graph.states))
        return Graph(tuple(inputs), (), graph.nodes, outputs)


def _traced(
    function: Function, types: Sequence[TensorType], device: str, effects: Sequence[Effect]
) -> _Traced:
    tracing = BodyTracing()
    tape = BodyTape(tracing, effects)
    with ExitStack() as stack:
        grads = stack.enter_context(keeping_grads())
        # an enclosing checkpoint saves for the loop as a whole
        stack.callback(keeper.reset, keeper.set(None))
        stack.enter_context(interpreting(tracing, tape, *modes()))
        for effect in effects:
            if effect.generator is not None:
                stack.enter_context(effect.generator.rewound(effect.tensor, 0))
        results = function(*[tape.input(type_, device) for type_ in types])
        draws = [_advanced(effect.generator, effect.tensor) for effect in effects]
        outputs = tracing.outputs([tape.result(result) for result in results])
        if tape.new_effects:
            raise NewEffects(list(tape.new_effects.values()))
        _refuse_grads(grads.values())
    recorded = [
        written and edge_of(shared) is not None
        for written, shared in zip(tape.recorded, tape.shared, strict=True)
    ]
    return _Traced(tracing.graph(outputs), tape.outside(), recorded, draws, len(types))


def _refuse_grads(looked_at: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Raise ``UnsupportedError`` where a body creates a ``grad``, which the next step could not read."""
    for tensor, before in looked_at:
        if before is None and tensor._grad is not None:
            raise UnsupportedError(
                mistake("a body", f"grad of a tensor {list(tensor.shape)}", "None before the body and set by it",
                        "None after it",
                        "call zero_grad() at its end, or zero_grad(set_to_none=False) before the loop to accumulate")
            )  # fmt: skip


def _advanced(generator: Generator | None, state: Tensor) -> int:
    """Advance a generator's state by the counters that the body has drawn; return their number."""
    count = 0 if generator is None else generator.standing()[1]
    if count:
        bind(OPS["random_advance"], state, count & 0xFFFFFFFF, count >> 32, into=(state,))
    return count


def types_of(values: Sequence[Any]) -> list[TensorType]:
    """Return the types of tensors."""
    return [TensorType(tuple(value.shape), value.dtype) for value in values]


def type_of(output: Any) -> TensorType:
    """Return the type of a body's output."""
    assert isinstance(output, Var), "the outputs of a body are tensors"
    return output.type


def run_by_nodes(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """Run a body on NumPy arrays by the references of its ops, for tests."""
    values = {var.id: array for var, array in zip(graph.inputs, arrays, strict=True)}
    for node in graph.nodes:
        operands = [values[source.id] if hasattr(source, "id") else source for source in node.inputs]
        found = lookup(node.op).reference(*operands, **dict(node.attributes))
        for var, result in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True):
            values[var.id] = result
    return [values[output.id] if hasattr(output, "id") else output for output in graph.outputs]
