"""Compiled loops in eager mode: a ``scan`` replays a plan in one native call instead of running step by step.

A plan is made for a body, its operand types and a number of steps, at their second use, since a length that occurs once
is not worth a plan. The body is traced once for each set of types.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from weft.autograd.mode import no_grad
from weft.control.body import trace_bodies
from weft.control.running import giving_starts
from weft.devices import PreparedPlan
from weft.dtypes import DType
from weft.graph import Graph, Node, Var
from weft.graph.lower.limits import too_large
from weft.graph.pipeline import lower_graph
from weft.graph.plan.planning import plan
from weft.ops import TensorType, interpreter_stack
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import mode_keys
from weft.tensors.array import Array
from weft.tensors.eager import Eager
from weft.tensors.tensor import Tensor

CAPACITY = 64
"""How many plans are kept, the most recently used."""

ARENAS = 256 << 20
"""The most bytes that the arenas of kept plans take; the last plan is kept whatever its size."""


class _Plans:
    """A cache of plans by key; a key that was used once has an entry without result types."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: OrderedDict[Any, tuple[Graph, PreparedPlan | None, list[Var]]] = OrderedDict()

    def find(self, key: Any, body: Graph, make: Callable[[], tuple[PreparedPlan | None, list[Var]]]) -> Any:
        """Return the plan and result types that ``make`` returned for a key; ``None`` at the first use of the key.

        A key contains the body's id, so the cache keeps the body alive.
        """
        with self._lock:
            known = self._plans.get(key)
            if known is None:
                self._plans[key] = (body, None, [])
                if len(self._plans) > CAPACITY:
                    self._plans.popitem(last=False)
                return None
            self._plans.move_to_end(key)
            if not known[2]:
                known = self._plans[key] = (body, *make())
                self._make_room()
            return known[1:]

    def _make_room(self) -> None:
        """Remove the least recently used plans while all plans hold too much memory."""
        held = [sum(replay.plan.arenas) for _, replay, _ in self._plans.values() if replay is not None]
        while sum(held) > ARENAS and len(held) > 1:
            key = next(key for key, (_, replay, _) in self._plans.items() if replay is not None)
            del self._plans[key]
            del held[0]


_PLANS = _Plans()


def by_plan(op: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Array, ...] | None:
    """Return the results of a loop by its plan; ``None`` where it must run step by step.

    It runs step by step at its first use, and where a kernel of the plan would bind a value above the binding limit.
    """
    executor = interpreter_stack()[-1]
    if type(executor) is not Eager or any(type(operand) is not Array for operand in operands):
        return None
    device = operands[0].device
    if any(operand.device is not device for operand in operands):
        return None
    dense = [executor.dense(operand) for operand in operands]
    numbers = tuple(value for value in attributes.values() if not isinstance(value, Graph))
    key = (op, device, id(attributes["body"]), numbers, tuple([operand.key for operand in dense]))
    found = _PLANS.find(key, attributes["body"], lambda: _planned(op, dense, attributes))
    if found is None or found[0] is None:
        return None
    replay, outputs = found
    made = replay.run([operand.storage for operand in dense], [])
    return tuple(
        [
            Array(storage, var.type.dtype, var.type.shape, contiguous_strides(var.type.shape))
            for storage, var in zip(made, outputs, strict=True)
        ]
    )


def _planned(
    op: str, operands: Sequence[Array], attributes: dict[str, Any]
) -> tuple[PreparedPlan | None, list[Var]]:
    """Return the plan of a graph with the loop as its only node; ``None`` where the device cannot bind its values."""
    from weft.ops import lookup

    device = operands[0].device
    types = [TensorType(operand.shape, operand.dtype) for operand in operands]
    inputs = [Var(at, type_, device.name) for at, type_ in enumerate(types)]
    made = lookup(op).infer(*types, **attributes)
    outputs = [Var(len(inputs) + at, type_, device.name) for at, type_ in enumerate(made)]
    node = Node(op, tuple(inputs), tuple(outputs), tuple(attributes.items()))
    graph = Graph(tuple(inputs), (), (node,), tuple(outputs))
    lowered = lower_graph(graph, device.profile)
    if too_large(lowered, device.profile) is not None:
        return None, outputs
    return device.prepare(plan(lowered, device.profile)), outputs


Body = Callable[..., Sequence[Tensor]]
"""A function of carried values, elements of a step and constants that returns new carried values and results."""


Types = tuple[tuple[tuple[int, ...], DType], ...]
"""Shapes and element types."""


def traced(body: Body, types: Types, device: str, carries: int, starts: bool) -> Graph:
    """Return the graph of a body for these types; with ``starts`` it also returns the carry before the step."""
    return _traced(body, types, device, carries, mode_keys())[starts]


@lru_cache(maxsize=256)
def _traced(body: Body, types: Types, device: str, carries: int, modes: Any) -> tuple[Graph, Graph]:
    with no_grad():  # the body's inputs have no history
        found = trace_bodies([(body, [TensorType(*type_) for type_ in types])], device)
    assert not found.outside and not found.effects, "the body depends only on its arguments"
    (graph,) = found.graphs
    return graph, giving_starts(graph, carries)
