"""Interpret a graph node by node through ``bind``: the simplest way to run a graph, and the reference for plans."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from weft.errors import ArgumentError, mistake
from weft.graph.ir import Atom, Graph, Node, Var
from weft.ops import bind, lookup

node_in_progress: ContextVar[Node | None] = ContextVar("weft_node", default=None)
"""The node that is being interpreted; checks of values and errors below name it."""


def interpret(graph: Graph, inputs: Sequence[Any], states: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the outputs and the final value of every state, for given inputs and initial states.

    Values are of the type that the active interpreter takes. Each value is released after its last use.
    """
    for name, given, expected in (("inputs", inputs, graph.inputs), ("states", states, graph.states)):
        if len(given) != len(expected):
            raise ArgumentError(mistake("interpret", name, len(given), f"{len(expected)}, as the graph has"))
    values: dict[int, Any] = {var.id: value for var, value in zip(graph.inputs, inputs, strict=True)}
    values.update({state.initial.id: value for state, value in zip(graph.states, states, strict=True)})
    kept = {output.id for output in graph.outputs if isinstance(output, Var)} | {
        state.final.id for state in graph.states
    }
    last = {
        source.id: at
        for at, node in enumerate(graph.nodes)
        for source in node.inputs
        if isinstance(source, Var)
    }

    def value(atom: Atom) -> Any:
        return values[atom.id] if isinstance(atom, Var) else atom

    for at, node in enumerate(graph.nodes):
        token = node_in_progress.set(node)
        try:
            results = bind(lookup(node.op), *map(value, node.inputs), **dict(node.attributes))
        finally:
            node_in_progress.reset(token)
        for var, result in zip(node.outputs, results if len(node.outputs) > 1 else (results,), strict=True):
            if var.id in last or var.id in kept:
                values[var.id] = result
        for source in node.inputs:
            if isinstance(source, Var) and last[source.id] == at and source.id not in kept:
                values.pop(source.id, None)
    return [value(output) for output in graph.outputs], [value(state.final) for state in graph.states]
