"""Executors: they run a compiled graph over storages, by the replay of a plan or by interpretation.

An executor reads the inputs and the states, overwrites the changed states, and returns new storages for the outputs.
Interpretation is the reference for plans; ``weft.debug`` uses it to check each value.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Protocol

from weft.autograd.mode import no_grad
from weft.compiler.garbage import rare_collections
from weft.compiler.slow import announced
from weft.devices.base import Device, PreparedPlan, Storage
from weft.devices.replay import MovedError
from weft.graph import Graph, Var, interpret
from weft.graph.lower.limits import TooLarge, too_large
from weft.graph.lower.lowered import Lowered
from weft.graph.passes import dce
from weft.graph.pipeline import lower_graph
from weft.graph.plan.bounded import bounded
from weft.graph.plan.planning import plan
from weft.ops import OPS, bind
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import atomic_writes, executing
from weft.tensors.arena import move_together
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor

LOG = logging.getLogger("weft.compiler")

FEW = 2
"""The most buffers over which the states of a kernel may be spread; states in more buffers are moved together."""


class Executor(Protocol):
    """Runs one graph."""

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """Overwrite the changed states, and return new storages of the outputs; an early error changes nothing."""


class Interpreter:
    """Runs a graph node by node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """See ``Executor``."""
        given = [_whole(storage, var) for storage, var in zip(inputs, self.graph.inputs, strict=True)]
        held = [
            _whole(storage, state.initial) for storage, state in zip(states, self.graph.states, strict=True)
        ]
        return [value._data.storage for value in run_interpreted(self.graph, given, held)]


class OpByOp(Interpreter):
    """Runs a graph by eager operations, which split tensors above the binding limit.

    ``reason`` is the tensor because of which the graph has no plan.
    """

    def __init__(self, graph: Graph, reason: TooLarge) -> None:
        super().__init__(graph)
        self.reason = reason

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """See ``Executor``. Modes such as autocast are recorded in the graph and do not apply again."""
        with executing():
            return super().run(inputs, states)


def run_interpreted(graph: Graph, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Any]:
    """Interpret a graph, write the changed states, and return the outputs, each in memory of its own."""
    with no_grad():
        outputs, finals = interpret(graph, inputs, states)
        results = _in_own_memory(outputs, [*inputs, *states])
        aliases = {tensor._data.alias for tensor in states}
        changed = [
            (state, final.clone() if final._data.alias in aliases else final)
            for state, final, description in zip(states, finals, graph.states, strict=True)
            if description.changed
        ]
        with atomic_writes():
            for state, final in changed:
                state.copy_(final)
    return results


def _in_own_memory(outputs: Sequence[Any], others: Sequence[Tensor]) -> list[Any]:
    """Return the outputs; outputs that are views or share memory with ``others`` or each other are copied."""
    shared = {tensor._data.alias for tensor in others}
    results = []
    for output in outputs:
        if isinstance(output, Tensor):
            data = output._data
            size = math.prod(data.shape) * data.device.itemsize(data.dtype)
            if data.alias in shared or not data.geometry.is_contiguous or data.storage.size != size:
                output = bind(OPS["copy"], output)
            shared.add(output._data.alias)
        results.append(output)
    return results


def _whole(storage: Storage, var: Var) -> Tensor:
    shape = var.type.shape
    return Tensor.wrap(Array(storage, var.type.dtype, shape, contiguous_strides(shape)))


class Planned:
    """Runs a plan that depends on the addresses of its states; it is planned again after a state was moved."""

    def __init__(self, lowered: Lowered, device: Device, states: Sequence[Storage]) -> None:
        self._device = device
        self._state_count = len(states)
        self._lowered = lowered
        self._settled = False
        self.replay: PreparedPlan | None = None
        self._plan(states)

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """See ``Executor``."""
        if self.replay is not None:
            try:
                return self.replay.run(inputs, states)
            except MovedError:
                self.replay.close()  # the next replay reuses the arenas
                self.replay = None
        return self._plan(states).run(inputs, states)

    def _plan(self, states: Sequence[Storage]) -> PreparedPlan:
        def gather(numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
            # donated arguments, which follow the states, are other storages in every run
            wanted = {at: states[at] for at in numbers if at < self._state_count}
            with self._device.lock:
                return self._gather(wanted)

        self.replay = self._device.prepare(plan(self._lowered, self._device.profile, gather))
        self.plan = self.replay.plan
        return self.replay

    def _gather(self, states: dict[int, Storage]) -> dict[int, tuple[int, int]]:
        """Move states with a buffer of their own into one buffer; return buffer number and offset of each state.

        States that share a buffer stay in place, since other programs depend on their addresses. Only once, where
        the states are spread over many buffers, all of them are moved.
        """
        alone = [state for state in states.values() if state.buffer.references == 1]
        others = {id(state.buffer) for state in states.values()} - {id(state.buffer) for state in alone}
        if len(others) > FEW and not self._settled:
            self._settled = True
            alone = list(states.values())
        move_together(self._device, alone)
        buffers: dict[int, int] = {}
        return {
            at: (buffers.setdefault(id(state.buffer), len(buffers)), state.offset)
            for at, state in states.items()
        }


def executor_for(
    name: str, graph: Graph, device: Device, states: Sequence[Storage], foreign: bool = False
) -> Executor:
    """Return the executor of a graph on a device.

    The executor replays the graph's plan. Where a kernel of the plan would bind a value above the device's binding
    limit, it is an ``OpByOp``.

    Args:
        name: the function's name, for the log.
        graph: the graph to run.
        device: where it runs.
        states: the storages of the graph's states.
        foreign: whether the graph comes from a file, so that its kernels must check their indices themselves.
    """
    with announced(graph), rare_collections():
        lowered = lower_graph(graph, device.profile)
        reason = too_large(lowered, device.profile)
        if reason is not None:
            LOG.warning(
                "%s: runs operation by operation on %s, without a plan: %s", name, device.name, reason
            )
            return OpByOp(dce(graph), reason)
        made = Planned(bounded(lowered) if foreign else lowered, device, states)
    assert made.replay is not None
    return made if made.replay.plan.groups else made.replay
