"""Liveness: nodes that may overwrite an operand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft as wf
from weft.compiler import trace
from weft.graph import Graph, Node, Var
from weft.graph.lower.liveness import Liveness


def node(graph: Graph, op: str) -> tuple[int, Node]:
    ((at, found),) = [(at, node) for at, node in enumerate(graph.nodes) if node.op == op]
    return at, found


def may_take_over(function: Callable[[Any], Any], op: str) -> bool:
    """Whether the op may write its first output over its first operand."""
    graph = trace(function, wf.ones(4, 4)).graph
    at, found = node(graph, op)
    (old, new) = found.inputs[0], found.outputs[0]
    assert isinstance(old, Var)
    return Liveness(graph).ends(at, old, new, partial=True)


ROWS = [1, 0, 3, 2]


def test_a_last_use_may_be_written_over() -> None:
    index = wf.tensor(ROWS[:1])
    assert may_take_over(lambda x: (x * 2).index_fill(0, index, 0.0), "index_put")


def test_a_value_with_later_reads_is_not_overwritten() -> None:
    index = wf.tensor(ROWS[:1])

    def later(x: Any) -> Any:
        y = x * 2
        return y.index_fill(0, index, 0.0) + y

    assert not may_take_over(later, "index_put")


def test_a_value_with_later_reads_through_views_is_not_overwritten() -> None:
    index = wf.tensor(ROWS[:1])

    def later(x: Any) -> Any:
        y = x * 2
        row = y[1]
        return y.index_fill(0, index, 0.0) + row

    assert not may_take_over(later, "index_put")


def test_inputs_and_results_stay() -> None:
    index = wf.tensor(ROWS[:1])
    assert not may_take_over(lambda x: x.index_fill(0, index, 0.0), "index_put")

    def both(x: Any) -> Any:
        y = x * 2
        return y, y.index_fill(0, index, 0.0)

    assert not may_take_over(both, "index_put")


def test_a_chain_of_updates_of_a_state() -> None:
    state, index = wf.zeros(4, 4), wf.tensor(ROWS[:1])

    def twice(x: Any) -> None:
        state.add_(x)
        state.index_fill_(0, index, 1.0)

    graph = trace(twice, wf.ones(4, 4)).graph
    liveness = Liveness(graph)
    for op in ("add", "index_put"):
        at, found = node(graph, op)
        assert isinstance(found.inputs[0], Var)
        assert liveness.updates_state(at, found.inputs[0], found.outputs[0])


def test_a_state_whose_old_value_is_a_result_is_not_updated_in_place() -> None:
    state, index = wf.zeros(4, 4), wf.tensor(ROWS[:1])

    def kept(x: Any) -> Any:
        before = state.clone() + x
        old = state * 1
        state.index_fill_(0, index, 1.0)
        return before, old

    graph = trace(kept, wf.ones(4, 4)).graph
    at, found = node(graph, "index_put")
    assert isinstance(found.inputs[0], Var)
    assert Liveness(graph).updates_state(at, found.inputs[0], found.outputs[0])  # its readers come before

    def swapped(x: Any) -> Any:
        new = state.index_fill(0, index, 1.0)
        after = state + x
        state.copy_(new)
        return after

    graph = trace(swapped, wf.ones(4, 4)).graph
    at, found = node(graph, "index_put")
    assert isinstance(found.inputs[0], Var)
    assert not Liveness(graph).updates_state(
        at, found.inputs[0], found.outputs[0]
    )  # the old value is read afterwards
