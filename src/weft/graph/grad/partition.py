"""``split``: partition the joint graph of a function and its gradients into a forward and a backward graph.

A value of the forward graph that the backward graph reads is either saved or recomputed. A minimum cut decides (after
Chen et al. 2016, "Training deep nets with sublinear memory cost", and the min-cut partitioner of PyTorch's
AOTAutograd). The flow network leads from values that must be computed in the forward graph, through values that are
cheap to recompute, to values that the gradients read; the capacity of a value is its size in bytes.
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
"""The cost of a saved byte: of an argument, of a value that a kernel writes in any case, and of any other value."""


@dataclass(frozen=True)
class Split:
    """A forward and a backward graph.

    ``forward`` returns the results, then ``computed``; ``backward`` takes ``saved``, then the seeds. ``saved`` are
    values of ``forward`` and may include its inputs, unchanged states and results.
    """

    forward: Graph
    backward: Graph
    saved: tuple[Var, ...]
    """The saved tensors, in the order of the backward graph's inputs."""
    computed: tuple[Var, ...]
    """The saved tensors that are additional outputs of the forward graph, behind its results."""


def split(graph: Graph, seeds: int, results: int, volatile: Container[int] = ()) -> Split:
    """Split a joint graph into a forward and a backward graph.

    Args:
        graph: a graph whose last ``seeds`` inputs are the gradients of its results, and whose outputs from ``results``
            on are the gradients of its inputs.
        seeds: the number of seeds.
        results: the number of results.
        volatile: the numbers of inputs whose memory is reused after the forward graph, which are saved as copies.

    Raises:
        UnsupportedError: a result or a state depends on a seed.
    """
    first = len(graph.inputs) - seeds
    for _ in range(ROUNDS):
        before = graph
        for pass_ in PASSES:
            graph = pass_(graph)
        if graph is before:
            break
    parts = _JointGraph(graph, first, results)
    found = _cut(parts, volatile)
    saved = [var for var in parts.in_order() if var.id in found]
    assert len(saved) == len(found), "saved tensors are values of the forward graph"
    held = {var.id for at, var in enumerate(graph.inputs[:first]) if at not in volatile}
    held |= {state.initial.id for state in graph.states if not state.changed}
    held |= {output.id for output in graph.outputs[:results] if isinstance(output, Var)}
    computed = tuple(var for var in saved if var.id not in held)
    forward = dce(
        Graph(
            graph.inputs[:first], graph.states, parts.forward_nodes(), (*graph.outputs[:results], *computed)
        )
    )
    backward = Graph(
        (*saved, *graph.inputs[first:]), (), tuple(_backward_nodes(parts, found)), graph.outputs[results:]
    )
    return Split(forward, backward, tuple(saved), computed)


def saved_bytes(split_: Split) -> int:
    """Return the size of the saved tensors that are neither inputs, states nor results of the forward graph."""
    return sum(map(size, split_.computed))


def size(var: Var) -> int:
    """Return the size of a value in bytes."""
    return math.prod(var.type.shape) * var.type.dtype.itemsize


def repeatable(node: Node) -> bool:
    """Return whether a node may be recomputed: it is no product, no reduction and not random."""
    return lookup(node.op).rules.partition == "cheap"


class _JointGraph:
    """The parts of a joint graph: values that depend on the seeds, and values that the results and gradients need."""

    def __init__(self, graph: Graph, first: int, results: int) -> None:
        self.graph = graph
        self.maker = {out.id: node for node in graph.nodes for out in node.outputs}
        self.dependent = {var.id for var in graph.inputs[first:]}
        """Values that depend on the seeds."""
        for node in graph.nodes:
            if any(variable.id in self.dependent for variable in _variables(node.inputs)):
                self.dependent.update(out.id for out in node.outputs)
        early = [
            *_variables(graph.outputs[:results]),
            *(state.final for state in graph.states if state.changed),
        ]
        if any(var.id in self.dependent for var in early):
            raise UnsupportedError(
                "compile: a result or a state depends on a gradient of the backward pass, expected hooks "
                "that write no other tensors; compute the value after backward()"
            )
        self.required = self._ancestors(early)
        """Values that the forward graph computes in any case."""
        required = [node for node in graph.nodes if _any(node, self.required)]
        self.remaker = {**self.maker, **remade(graph, required)}
        """The node that computes a value in the backward graph, by id."""
        self.gradients = list(_variables(graph.outputs[results:]))
        needed = self._ancestors(self.gradients)
        readers = [
            node for node in graph.nodes if node.outputs[0].id in self.dependent and _any(node, needed)
        ]
        wanted = [variable for node in readers for variable in _variables(node.inputs)] + self.gradients
        self.wanted = {var.id: var for var in wanted if var.id not in self.dependent}
        """The values that the gradients read and that do not depend on the seeds."""
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

    def forward_nodes(self) -> tuple[Node, ...]:
        """Return the nodes that do not depend on the seeds."""
        return tuple(node for node in self.graph.nodes if node.outputs[0].id not in self.dependent)

    def in_order(self) -> list[Var]:
        """Return all values in the order of the program."""
        made = [out for node in self.graph.nodes for out in node.outputs]
        return [*self.graph.inputs, *(state.initial for state in self.graph.states), *made]

    def may_recompute(self, node: Node) -> bool:
        """Return whether the backward graph may compute a node: it is cheap, or not needed in the forward graph."""
        return repeatable(node) or not any(out.id in self.required for out in node.outputs)


def _cut(parts: _JointGraph, volatile: Container[int]) -> set[int]:
    """Return the ids of the values to save, by a minimum cut."""
    import networkx

    costs = _costs(parts, volatile)
    network = networkx.DiGraph()
    network.add_nodes_from(("source", "sink"))
    seen: set[int] = set()
    stack = list(parts.wanted.values())
    for var in stack:
        network.add_edge((var.id, "out"), "sink")  # an edge without a capacity is unbounded
    while stack:
        var = stack.pop()
        if var.id in seen:
            continue
        seen.add(var.id)
        node = parts.remaker.get(var.id)
        if node is None or var.id in parts.maker:
            network.add_edge((var.id, "in"), (var.id, "out"), capacity=costs(var))
        else:  # the value is not in the forward graph, so it cannot be saved
            network.add_edge((var.id, "in"), (var.id, "out"))
        if node is None or not parts.may_recompute(node):
            network.add_edge("source", (var.id, "in"))
            continue
        for variable in _variables(node.inputs):
            network.add_edge((variable.id, "out"), (var.id, "in"))
            stack.append(variable)
    _, (forward, backward) = networkx.minimum_cut(network, "source", "sink")
    return {id_ for id_ in seen if (id_, "in") in forward and (id_, "out") in backward}


def _costs(parts: _JointGraph, volatile: Container[int]) -> Any:
    """Return a function that gives the cost of saving a value; unchanged states cost nothing."""
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
    """Return whether a node's operands must be in memory, as those of products; pointwise operands may be fused."""
    return not repeatable(node) and lookup(node.op).rules.partition != "fold"


def _is_view(node: Node | None) -> bool:
    return node is not None and lookup(node.op).view is not None


def _backward_nodes(parts: _JointGraph, saved: Container[int]) -> list[Node]:
    """Return the nodes of the backward graph; a recomputed node stands right before its first use."""
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
        if node.outputs[0].id in parts.dependent and _any(node, needed):
            emit(node)
    for var in parts.gradients:
        if var.id in parts.remaker and var.id not in saved:
            emit(parts.remaker[var.id])
    return order


def _any(node: Node, numbers: Container[int]) -> bool:
    return any(out.id in numbers for out in node.outputs)


def _variables(atoms: Iterable[Any]) -> Iterable[Var]:
    return [atom for atom in atoms if isinstance(atom, Var)]
