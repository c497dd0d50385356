"""Random programs: traces equal eager runs, and every pass preserves the results of graphs."""

from __future__ import annotations

import numpy
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.programs import Program, close, programs
from tests.graph.random_graphs import Example, graphs
from weft.compiler import Traced, trace
from weft.graph import Graph, interpret
from weft.graph.passes import PASSES, run
from weft.target import CPU


def finals(program: Program) -> list:
    return [state.clone() for state in program.states]


def computed(traced: Traced, graph: Graph, program: Program) -> list:
    """Outputs and final states of a graph, on copies of the states."""
    program.restore()
    outputs, states = interpret(graph, list(program.arguments), [state.clone() for state in traced.states])
    return [value.clone() for value in (*outputs, *states)]


@given(programs())
def test_a_traced_program_equals_the_eager_program(program: Program) -> None:
    program.restore()
    expected = [result.clone() for result in program(*program.arguments)] + finals(program)
    program.restore()
    traced = trace(program, *program.arguments)
    found = [*traced(*program.arguments), *finals(program)]
    for actual, wanted in zip(found, expected, strict=True):
        close(actual, wanted, repr(traced.graph), program.narrow)


@given(programs(), st.data())
def test_every_pass_preserves_the_results(program: Program, data) -> None:
    program.restore()
    traced = trace(program, *program.arguments)
    expected = computed(traced, traced.graph, program)
    graph = traced.graph
    for name, own in PASSES:
        before, graph = graph, own(graph, CPU)
        assert own(graph, CPU) == graph or name in ("simplify", "patterns")
        for actual, wanted in zip(computed(traced, graph, program), expected, strict=True):
            close(actual, wanted, f"{name}:\n{before!r}\nbecame\n{graph!r}", program.narrow)
    whole = run(traced.graph, CPU)
    assert run(whole, CPU) is whole
    for actual, wanted in zip(computed(traced, whole, program), expected, strict=True):
        close(actual, wanted, f"{traced.graph!r}\nbecame\n{whole!r}", program.narrow)


@given(graphs())
def test_simplify_cse_and_dce_keep_every_bit(example: Example) -> None:
    def bits(graph: Graph) -> list:
        outputs, states = interpret(graph, list(example.inputs), list(example.states))
        return [numpy.asarray(value.numpy()) for value in (*outputs, *states)]

    expected = bits(example.graph)
    graph = example.graph
    for _ in range(2):
        for name in ("simplify", "cse", "dce"):
            before, graph = graph, dict(PASSES)[name](graph, CPU)
            for actual, wanted in zip(bits(graph), expected, strict=True):
                what = f"{name}:\n{before!r}\nbecame\n{graph!r}"
                numpy.testing.assert_array_equal(actual, wanted, err_msg=what, strict=True)
                if actual.dtype.kind == "f":
                    signs = [numpy.signbit(values) & (values == 0) for values in (actual, wanted)]
                    numpy.testing.assert_array_equal(*signs, err_msg=what)
