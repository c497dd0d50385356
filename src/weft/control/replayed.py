"""Loops that run eagerly by their plan: one native call, as in a compiled program, where step by step would be many.

A plan is made for a body, its operands' types and a number of steps, the second time that they come together: lengths
that are met once are not worth it. The body itself is traced once for each set of types.
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
"""Plans that are kept; those unused for longest go."""

ARENAS = 256 << 20
"""Bytes that plans may hold between their runs; the last one is kept whatever it holds."""


class _Plans:
    """Plans of loops by what they were made for, and what was met once so far: that has no results' types."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: OrderedDict[Any, tuple[Graph, PreparedPlan | None, list[Var]]] = OrderedDict()

    def find(self, key: Any, body: Graph, make: Callable[[], tuple[PreparedPlan | None, list[Var]]]) -> Any:
        """What ``make`` gave, a plan and its results' types; ``None`` the first time that a key comes.

        A key holds the body's identity, so the body is kept with it.
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
        """Let go of plans that were unused for longest, where all of them hold too much memory."""
        held = [sum(replay.plan.arenas) for _, replay, _ in self._plans.values() if replay is not None]
        while sum(held) > ARENAS and len(held) > 1:
            key = next(key for key, (_, replay, _) in self._plans.items() if replay is not None)
            del self._plans[key]
            del held[0]


_PLANS = _Plans()


def by_plan(op: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Array, ...] | None:
    """The results of a loop by its plan, ``None`` where it has to run step by step.

    The latter is so the first time, and where a kernel of the plan would bind a value above the binding limit.
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
    """The plan of a graph that has nothing but the loop; ``None`` where the device cannot bind its values."""
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
"""A function of tensors alone: of carried ones, elements of a step and constants to carried ones and results."""


Types = tuple[tuple[tuple[int, ...], DType], ...]
"""Shapes and element types."""


def traced(body: Body, types: Types, device: str, carries: int, starts: bool) -> Graph:
    """The graph of a body for values of these types; ``starts``: it gives what a step began with too."""
    return _traced(body, types, device, carries, mode_keys())[starts]


@lru_cache(maxsize=256)
def _traced(body: Body, types: Types, device: str, carries: int, modes: Any) -> tuple[Graph, Graph]:
    with no_grad():  # it takes the history of nothing
        found = trace_bodies([(body, [TensorType(*type_) for type_ in types])], device)
    assert not found.outside and not found.effects, "the body is a function of its arguments"
    (graph,) = found.graphs
    return graph, giving_starts(graph, carries)
