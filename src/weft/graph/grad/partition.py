"""``split``: a graph of a function with its gradients becomes two, one to run before the gradients are asked for.

What the second needs of the first is either saved between the two or computed again. Which, is a minimum cut (after
Chen et al. 2016, "Training deep nets with sublinear memory cost", and the min-cut partitioner of PyTorch's
AOTAutograd): from what must be computed in the first, through what is cheap to compute again, to what the gradients
read, with the bytes of each value as the capacity of the way through it.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from weft.errors import UnsupportedError
from weft.graph.ir import Graph, Node, Var
from weft.graph.passes.cse import cse
from weft.graph.passes.dce import dce
from weft.graph.passes.remaking import remade
from weft.graph.passes.simplify import simplify
from weft.ops import lookup

PASSES = (simplify, cse, dce)
ROUNDS = 4
GIVEN, WRITTEN, FURTHER = 4, 8, 9
"""What a byte costs: of an argument, which the caller holds; of what some kernel writes anyway; of what none would."""


@dataclass(frozen=True)
class Split:
    """``forward`` gives the results, then saved values that it computes; ``backward`` takes ``saved``, then seeds.

    ``saved`` are values of ``forward``: among them may be its inputs, unchanged states and results.
    """

    forward: Graph
    backward: Graph
    saved: tuple[Var, ...]
    """The values that lie between the two, in the order of the backward graph's inputs."""
    computed: tuple[Var, ...]
    """Those that are outputs of the forward graph behind its results."""


def split(graph: Graph, seeds: int, results: int, volatile: Container[int] = ()) -> Split:
    """Two graphs for one whose last ``seeds`` inputs, and so its outputs from ``results`` on, are known later.

    ``volatile`` are the numbers of inputs whose memory is another's afterwards: they are saved as copies.
    Raises ``UnsupportedError`` where what comes first would depend on the seeds.
    """
    first = len(graph.inputs) - seeds
    for _ in range(ROUNDS):
        before = graph
        for pass_ in PASSES:
            graph = pass_(graph)
        if graph is before:
            break
    parts = _Parts(graph, first, results)
    found = _cut(parts, volatile)
    saved = [var for var in parts.in_order() if var.id in found]
    assert len(saved) == len(found), "what is saved is a value of the first graph"
    held = {var.id for at, var in enumerate(graph.inputs[:first]) if at not in volatile}
    held |= {state.initial.id for state in graph.states if not state.changed}
    held |= {output.id for output in graph.outputs[:results] if isinstance(output, Var)}
    computed = tuple(var for var in saved if var.id not in held)
    forward = dce(
        Graph(graph.inputs[:first], graph.states, parts.untouched(), (*graph.outputs[:results], *computed))
    )
    backward = Graph((*saved, *graph.inputs[first:]), (), tuple(_late(parts, found)), graph.outputs[results:])
    return Split(forward, backward, tuple(saved), computed)


def saved_bytes(split_: Split) -> int:
    """The bytes of the values between the two graphs that are neither inputs, states nor results of the first."""
    return sum(map(size, split_.computed))


def size(var: Var) -> int:
    """The bytes of a value."""
    return math.prod(var.type.shape) * var.type.dtype.itemsize


def repeatable(node: Node) -> bool:
    """Whether a node may be computed a second time: no product, no fold, nothing random."""
    return lookup(node.op).rules.partition == "cheap"


class _Parts:
    """What of a graph depends on the seeds, what the results need, and what of the rest the gradients read."""

    def __init__(self, graph: Graph, first: int, results: int) -> None:
        self.graph = graph
        self.maker = {out.id: node for node in graph.nodes for out in node.outputs}
        self.late = {var.id for var in graph.inputs[first:]}
        """Values that depend on the seeds."""
        for node in graph.nodes:
            if any(variable.id in self.late for variable in _variables(node.inputs)):
                self.late.update(out.id for out in node.outputs)
        early = [
            *_variables(graph.outputs[:results]),
            *(state.final for state in graph.states if state.changed),
        ]
        if any(var.id in self.late for var in early):
            raise UnsupportedError(
                "compile: a result or a state depends on a gradient that is known only in the backward pass, expected "
                "hooks that leave other tensors as they are; compute it after backward()"
            )
        self.required = self._ancestors(early)
        """Values that the first graph computes anyway."""
        required = [node for node in graph.nodes if _any(node, self.required)]
        self.remaker = {**self.maker, **remade(graph, required)}
        """What makes a value in the second graph."""
        self.gradients = list(_variables(graph.outputs[results:]))
        needed = self._ancestors(self.gradients)
        readers = [node for node in graph.nodes if node.outputs[0].id in self.late and _any(node, needed)]
        wanted = [variable for node in readers for variable in _variables(node.inputs)] + self.gradients
        self.wanted = {var.id: var for var in wanted if var.id not in self.late}
        """What the gradients read that does not depend on the seeds."""
        self.readers: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for source in _variables(node.inputs):
                self.readers.setdefault(source.id, []).append(node)

    def _ancestors(self, ends: Iterable[Var]) -> set[int]:
        found: set[int] = set()
        stack = list(ends)
        while stack:
            var = stack.pop()
            if var.id in found:
                continue
            found.add(var.id)
            node = self.maker.get(var.id)
            if node is not None:
                found.update(out.id for out in node.outputs)
                stack.extend(_variables(node.inputs))
        return found

    def untouched(self) -> tuple[Node, ...]:
        """The nodes that do not depend on the seeds."""
        return tuple(node for node in self.graph.nodes if node.outputs[0].id not in self.late)

    def in_order(self) -> list[Var]:
        """All values in the order of the program."""
        made = [out for node in self.graph.nodes for out in node.outputs]
        return [*self.graph.inputs, *(state.initial for state in self.graph.states), *made]

    def again(self, node: Node) -> bool:
        """Whether the second graph may compute a node: it is cheap, or the first has no use for it."""
        return repeatable(node) or not any(out.id in self.required for out in node.outputs)


def _cut(parts: _Parts, volatile: Container[int]) -> set[int]:
    """The numbers of the values to save."""
    import networkx

    costs = _costs(parts, volatile)
    ways = networkx.DiGraph()
    ways.add_nodes_from(("source", "sink"))
    seen: set[int] = set()
    stack = list(parts.wanted.values())
    for var in stack:
        ways.add_edge((var.id, "out"), "sink")  # without a capacity a way is as wide as can be
    while stack:
        var = stack.pop()
        if var.id in seen:
            continue
        seen.add(var.id)
        node = parts.remaker.get(var.id)
        if node is None or var.id in parts.maker:
            ways.add_edge((var.id, "in"), (var.id, "out"), capacity=costs(var))
        else:  # the first graph has no such value
            ways.add_edge((var.id, "in"), (var.id, "out"))
        if node is None or not parts.again(node):
            ways.add_edge("source", (var.id, "in"))
            continue
        for variable in _variables(node.inputs):
            ways.add_edge((variable.id, "out"), (var.id, "in"))
            stack.append(variable)
    _, (here, there) = networkx.minimum_cut(ways, "source", "sink")
    return {id_ for id_ in seen if (id_, "in") in here and (id_, "out") in there}


def _costs(parts: _Parts, volatile: Container[int]) -> Any:
    """What it costs to save a value, in parts of a byte: nothing for states, which stay where they are."""
    graph = parts.graph
    free = {state.initial.id for state in graph.states if not state.changed}
    given = {var.id for at, var in enumerate(graph.inputs) if at not in volatile}
    results = {variable.id for variable in _variables(graph.outputs)}

    def cost(var: Var) -> int:
        if var.id in free:
            return 0
        if var.id in given:
            return size(var) * GIVEN + 1
        node = parts.maker.get(var.id)
        made = var.id in results or (node is not None and not repeatable(node))
        read = not _is_view(node) and any(_reads_memory(reader) for reader in parts.readers.get(var.id, ()))
        return size(var) * (WRITTEN if made or read else FURTHER) + 1

    return cost


def _reads_memory(node: Node) -> bool:
    """Whether a node's operands must lie in memory: those of products do, those of pointwise ops need not."""
    return not repeatable(node) and lookup(node.op).rules.partition != "fold"


def _is_view(node: Node | None) -> bool:
    return node is not None and lookup(node.op).view is not None


def _late(parts: _Parts, saved: Container[int]) -> list[Node]:
    """The nodes of the second graph; what is computed again comes right before its first use."""
    order: list[Node] = []
    done: set[int] = set()

    def emit(node: Node) -> None:
        stack = [(node, False)]
        while stack:
            current, ready = stack.pop()
            if current.outputs[0].id in done:
                continue
            if ready:
                done.add(current.outputs[0].id)
                order.append(current)
                continue
            stack.append((current, True))
            for var in reversed(list(_variables(current.inputs))):
                made = parts.remaker.get(var.id)
                if made is not None and var.id not in saved:
                    stack.append((made, False))

    needed = parts._ancestors(parts.gradients)
    for node in parts.graph.nodes:
        if node.outputs[0].id in parts.late and _any(node, needed):
            emit(node)
    for var in parts.gradients:
        if var.id in parts.remaker and var.id not in saved:
            emit(parts.remaker[var.id])
    return order


def _any(node: Node, numbers: Container[int]) -> bool:
    return any(out.id in numbers for out in node.outputs)


def _variables(atoms: Iterable[Any]) -> Iterable[Var]:
    return [atom for atom in atoms if isinstance(atom, Var)]
