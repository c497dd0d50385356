"""What the tests of passes share: tracing on ``cpu``, printed nodes, and that a graph still computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import weft as wf
from weft.compiler import Traced, trace
from weft.graph import Graph, interpret
from weft.graph.passes import dce


def values(*shape: int, seed: int = 0) -> Any:
    """A tensor of distinct numbers."""
    drawn = numpy.random.default_rng(seed).permutation(int(numpy.prod(shape, dtype=int)))
    return wf.tensor(drawn.reshape(shape).astype("float32") / 8 - 1, device="cpu")


def ops(graph: Graph) -> list[str]:
    """The op of each node."""
    return [node.op for node in graph.nodes]


def lines(graph: Graph) -> list[str]:
    """The nodes as they print."""
    return [repr(node) for node in graph.nodes]


def results(traced: Traced, graph: Graph, *arguments: Any) -> list[numpy.ndarray]:
    """Return the outputs and the final states of a traced program's graph."""
    outputs, states = interpret(graph, list(arguments), [state.clone() for state in traced.states])
    return [numpy.asarray(value.detach().numpy()) for value in (*outputs, *states)]


def passed(
    own: Callable[[Graph], Graph], program: Callable[..., Any], *arguments: Any, rtol: float = 0.0
) -> Graph:
    """Return the graph of a program after a pass and ``dce``, after comparing its results with the graph before."""
    traced = trace(program, *arguments)
    graph = dce(own(traced.graph))
    before = results(traced, traced.graph, *arguments)
    for found, expected in zip(results(traced, graph, *arguments), before, strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol, err_msg=repr(graph), strict=True)
    return graph
