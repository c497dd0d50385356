"""Bodies of loops and branches as graphs of their own. What they reach from outside becomes inputs.

A tensor from outside that a body only reads is an input after its own. One that it writes is an *effect*: its memory
comes in as one more value and goes out as another, and whoever runs the body writes that back. The states of random
generators are effects too: each run of a body draws from its own part of the counter's range.
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
from weft.control.outside import Effect, Found, effect_of, generator_of
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
"""Takes tensors and gives tensors: a body without its trees."""


class BodyTracing(Tracing):
    """Traces a body; the tape around it turns what comes from outside into inputs."""

    def share(self, value: Any) -> Tracer:
        """A value for memory that the body writes: what it holds at the start, and is given back at the end."""
        type_ = TensorType(tuple(value.shape), value.dtype)
        var = self._var(type_, value.device_name)
        cell = Cell(var)
        self._captured[id(value.alias)] = (value, cell, var)
        return Tracer(self, cell, value.dtype, value.geometry, (), value.device_name)

    def within(self, value: Any) -> Tracer:
        """A view of shared memory from outside, as the body sees it."""
        if not isinstance(value, Tracer):
            made: Tracer = self._lift(value)
            return made
        cell = self._captured[id(value.alias)][1]
        return Tracer(self, cell, value.dtype, value.geometry, value.path, value.device_name)

    def shares(self, value: Any) -> bool:
        """Whether a value from outside lies in shared memory."""
        return id(value.alias) in self._captured


class BodyTape(Tape):
    """The tape in a body: it takes tensors from outside in, and keeps apart what has a history and what has none.

    In a graph ``x.detach()`` is ``x``. So that a gradient of the graph stops where one of the program would, what is
    used without the history that it has elsewhere goes through ``stop_gradient``.
    """

    def __init__(self, tracing: BodyTracing, effects: Sequence[Effect]) -> None:
        self.tracing = tracing
        self._stack = interpreter_stack()
        self._records = is_enabled()
        self._entered: dict[Any, tuple[Tensor, Any, Tensor, Var]] = {}
        self._behind: dict[int, Tensor] = {}  # by the identity of a cell, the tensor outside
        self._origins: dict[int, tuple[Tracer, Edge | None]] = {}  # data that has a history, and which
        self.shared = [
            self._known(tracing.share(self._around(effect.tensor)), edge_of(effect.tensor))
            for effect in effects
        ]
        self._homes = {id(self._around(effect.tensor).alias): at for at, effect in enumerate(effects)}
        self._bases = [effect.tensor for effect in effects]
        self.recorded = [False] * len(effects)
        """Which effects were written with gradients recorded."""
        self.found: dict[int, Effect] = {}
        """Effects that were not known when the trace began, by the identity of their memory."""

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Take the operands in, then as any tape."""
        if op.random or op is OPS["random_advance"]:
            self._find_generators(operands)
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
        """An input of the body's own; where gradients are recorded it has a history, as it may have in the loop."""
        data = self.tracing.input(type_.shape, type_.dtype, device)
        if not self._records or data.dtype.kind != "float":
            return Tensor.wrap(data)
        return self._known(data, Edge(Barrier(lambda grads: grads, [Tensor.wrap(data)]), 0))

    def result(self, value: Tensor) -> Any:
        """The data of a result."""
        inside = self.enter(value)
        return (self._stopped(inside) if self._records else inside)._data

    def outside(self) -> dict[Any, tuple[Tensor, Var]]:
        """What the body reads from outside, by a key that other bodies know it by too, with its input."""
        return {key: (tensor, var) for key, (tensor, _, _, var) in self._entered.items()}

    def enter(self, value: Tensor) -> Tensor:
        """A tensor as the body sees it."""
        if self._is_own(value):
            return value
        data = self._around(value)
        if self.tracing.shares(data):
            return self._within(value, data)
        edge = edge_of(value)
        owner = None if edge is None else (id(edge.node), edge.output)
        level = id(data) if _is_of_level(data) else None  # a sample lies where the first of all samples does
        key = (id(data.alias), data.version, data.geometry, getattr(data, "path", ()), owner, level)
        if key not in self._entered:
            number = getattr(data, "number", None)
            made = self.tracing.input(tuple(value.shape), value.dtype, data.device_name, number=number)
            inside = self._known(made, edge)
            self._entered[key] = (value, edge, inside, inside._data.cell.var)
            self._behind[id(inside._data.cell)] = value
        return self._entered[key][2]

    def _around(self, value: Tensor) -> Any:
        """The data of a tensor as the trace around the body sees it, to which all views of a memory are one."""
        data, bottom = value._data, self._stack[0]
        for tape in self._stack[1:2]:
            if isinstance(tape, BodyTape):
                return tape.enter(value)._data
        return bottom.traced(data) if isinstance(bottom, Tracing) and isinstance(data, Array) else data

    def _within(self, value: Tensor, data: Any) -> Tensor:
        """A tensor on shared memory: the same view of what stands for it in the body."""
        at = self._homes[id(data.alias)]
        if value is self._bases[at]:
            return self.shared[at]
        view = value._view
        if view is not None and view.base is self._bases[at]:
            inside = self.shared[at]
            for name, options in view.path:
                inside = bind(OPS[name], inside, **dict(options))
            return inside
        made = self.tracing.within(data)  # another handle: detached, perhaps a leaf of its own
        self._origins[id(made)] = made, None
        return Tensor.wrap(made, edge_of(value))

    def _target(self, value: Tensor) -> Tensor:
        inside = self.enter(value)
        cell = inside._data.cell
        if id(cell) in self._behind:
            self._find(self._behind[id(cell)])
        for at, inside_value in enumerate(self.shared):
            if inside_value._data.cell is cell:
                self.recorded[at] |= is_enabled()
        return inside

    def _known(self, data: Tracer, edge: Edge | None) -> Tensor:
        """A tensor of the body with the history that it has outside."""
        if edge is not None:
            self._origins[id(data)] = data, edge
        return Tensor.wrap(data, edge)

    def _stopped(self, value: Tensor) -> Tensor:
        """The operand, through ``stop_gradient`` where its data has a history that it is used without here."""
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

    def _find_generators(self, operands: Sequence[Any]) -> None:
        given = [operand for operand in operands if isinstance(operand, Tensor) and not self._is_own(operand)]
        for value in given:
            if generator_of(value) is not None and not self.tracing.shares(self._around(value)):
                self._find(value)

    def _find(self, tensor: Tensor) -> None:
        """Note an effect. The trace goes on, to find the others, and counts for nothing."""
        if _is_of_level(tensor._data):
            raise UnsupportedError(
                mistake("a body", "what it writes in place", "a tensor of a transformed function from outside of it",
                        "a value of the body", "carry it from step to step, and write a clone() of it")
            )  # fmt: skip
        self.found.setdefault(id(self._around(tensor).alias), effect_of(tensor))

    def _is_own(self, value: Tensor) -> bool:
        return isinstance(value._data, Tracer) and value._data.tracing is self.tracing


def _is_of_level(data: Any) -> bool:
    """Whether a value is that of a transform (``weft.func``) around the body, which is an input whatever it holds."""
    return hasattr(data, "readable")


def in_body() -> bool:
    """Whether what runs here is the body of a loop or a branch, being traced."""
    return isinstance(interpreter_stack()[0], BodyTracing)


@dataclass(frozen=True)
class Bodies:
    """Traced bodies with the same operands: their own inputs, then the effects, then ``outside``.

    Each graph gives its results, then the effects' memory as it is afterwards.
    """

    graphs: tuple[Graph, ...]
    effects: tuple[Effect, ...]
    outside: tuple[Tensor, ...]


def trace_bodies(functions: Sequence[tuple[Function, Sequence[TensorType]]], device: str) -> Bodies:
    """The graphs of functions of tensors of these types; a function may be traced several times.

    An effect that one of them has is an effect of all.
    """
    effects: list[Effect] = []
    while True:
        drawn = [(generator, generator.standing()[1]) for generator in all_generators()]
        try:
            traced = [_traced(function, types, device, effects) for function, types in functions]
        except Found as found:
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
    """How many inputs are the body's own."""

    def with_inputs(self, outside: dict[Any, Tensor]) -> Graph:
        """The graph with an input for each value from outside, read or not, and the effects among its values."""
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
        stack.callback(keeper.reset, keeper.set(None))  # a checkpoint around it keeps what the whole op saves
        stack.enter_context(interpreting(tracing, tape, *modes()))
        for effect in effects:
            if effect.generator is not None:
                stack.enter_context(effect.generator.rewound(effect.tensor, 0))
        results = function(*[tape.input(type_, device) for type_ in types])
        draws = [_advanced(effect.generator, effect.tensor) for effect in effects]
        outputs = tracing.outputs([tape.result(result) for result in results])
        if tape.found:
            raise Found(list(tape.found.values()))
        _refuse_grads(grads.values())
    recorded = [
        written and edge_of(shared) is not None
        for written, shared in zip(tape.recorded, tape.shared, strict=True)
    ]
    return _Traced(tracing.graph(outputs), tape.outside(), recorded, draws, len(types))


def _refuse_grads(looked_at: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """``UnsupportedError`` where the body leaves a gradient in ``grad``: the next step would miss it."""
    for tensor, before in looked_at:
        if before is None and tensor._grad is not None:
            raise UnsupportedError(
                mistake("a body", f"grad of a tensor {list(tensor.shape)}", "set by it, and was None before", "None",
                        "call zero_grad() at its end, or zero_grad(set_to_none=False) before the loop to add up")
            )  # fmt: skip


def _advanced(generator: Generator | None, state: Tensor) -> int:
    """Move a generator's state on by what the body has drawn; gives how many counters that were."""
    count = 0 if generator is None else generator.standing()[1]
    if count:
        bind(OPS["random_advance"], state, count & 0xFFFFFFFF, count >> 32, into=(state,))
    return count


def types_of(values: Sequence[Any]) -> list[TensorType]:
    """The types of tensors."""
    return [TensorType(tuple(value.shape), value.dtype) for value in values]


def type_of(output: Any) -> TensorType:
    """The type of a body's output."""
    assert isinstance(output, Var), "a body gives tensors"
    return output.type


def run_by_nodes(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """A body by the references of its ops, on NumPy arrays: what its tests compare with."""
    values = {var.id: array for var, array in zip(graph.inputs, arrays, strict=True)}
    for node in graph.nodes:
        operands = [values[source.id] if hasattr(source, "id") else source for source in node.inputs]
        found = lookup(node.op).reference(*operands, **dict(node.attributes))
        for var, result in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True):
            values[var.id] = result
    return [values[output.id] if hasattr(output, "id") else output for output in graph.outputs]
