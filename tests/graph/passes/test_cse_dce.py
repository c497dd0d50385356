"""``cse`` and ``dce``: nodes that are merged, nodes that are removed, and nodes that never are."""

from __future__ import annotations

import weft as wf
from tests.graph.passes.checking import ops, passed, values
from weft.compiler import trace
from weft.graph import Graph, Node, Var
from weft.graph.passes import cse, dce, run
from weft.ops import OPS, TensorType, bind
from weft.target import CPU


def test_equal_nodes_and_their_readers_are_merged() -> None:
    graph = passed(cse, lambda x: (x.exp() + 1) * (x.exp() + 1), values(3))
    assert ops(graph) == ["exp", "add", "mul"]


def test_equal_numbers_of_other_kinds_are_other_operands() -> None:
    var = Var(0, TensorType((2,), wf.float32), "cpu")
    given: list[float] = [0.0, -0.0, 1, 1.0, True]
    nodes = tuple(
        Node("add", (var, operand), (Var(at, var.type, "cpu"),)) for at, operand in enumerate(given, 1)
    )
    graph = Graph((var,), (), nodes, tuple(node.outputs[0] for node in nodes))
    assert cse(graph) is graph


def test_random_nodes_stay_apart() -> None:
    wf.manual_seed(0)
    traced = trace(lambda: (wf.rand(3, device="cpu"), wf.rand(3, device="cpu")))
    twice = [node for node in traced.graph.nodes if node.op == "random_uniform"]
    same = Node(
        twice[0].op, twice[0].inputs, (Var(99, twice[0].outputs[0].type, "cpu"),), twice[0].attributes
    )
    graph = Graph(
        (), traced.graph.states, (*traced.graph.nodes, same), (*traced.graph.outputs, same.outputs[0])
    )
    assert cse(graph) is graph


def test_a_recomputation_behind_a_barrier_is_not_undone() -> None:
    def program(x, gradient):
        first = x.exp()
        again, gradient = bind(OPS["barrier"], x, gradient)
        return first, again.exp() * gradient

    traced = trace(program, values(3), values(3))
    assert ops(run(traced.graph, CPU)) == ["exp", "barrier", "exp", "mul"]


def test_nodes_that_nothing_needs_go_and_states_stay() -> None:
    kept, read = values(3), values(3)

    def program(x):
        x.exp().sum()
        read + 1
        kept.add_(x)
        return wf.max(x, 0)[1]

    traced = trace(program, values(3))
    graph = dce(traced.graph)
    assert ops(graph) == ["add", "max"]
    assert graph.states == traced.graph.states
    assert dce(graph) is graph
