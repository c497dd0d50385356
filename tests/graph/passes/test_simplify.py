"""``simplify``: nodes that are removed, nodes that stay, and bit-identical results."""

from __future__ import annotations

import itertools

import numpy
import pytest

import weft as wf
from tests.graph.passes.checking import lines, ops, passed, values
from weft.compiler import trace
from weft.graph.passes import run, simplify
from weft.target import CPU

ROWS = {
    "times one": (lambda x: x * 1, []),
    "one times": (lambda x: 1.0 * x, []),
    "over one": (lambda x: x / 1.0, []),
    "minus zero": (lambda x: x - 0.0, []),
    "plus zero stays": (lambda x: x + 0.0, ["add"]),
    "times zero stays": (lambda x: x * 0.0, ["mul"]),
    "minus -0 stays": (lambda x: x - -0.0, ["sub"]),
    "integer plus zero": (lambda x: x.to(wf.int32) + 0, ["cast"]),
    "zero of integers": (lambda x: x.to(wf.int32) * 0, ["full"]),
    "a copy": (lambda x: x.clone().clone(), []),
    "a copy of a view": (lambda x: x.t().clone(), ["permute"]),
    "two transposes": (lambda x: x.t().t(), []),
    "reshape there and back": (lambda x: x.reshape(12).reshape(2, 6).reshape(3, 4), []),
    "reshape of reshape": (lambda x: x.reshape(12).reshape(2, 6), ["reshape"]),
    "a permutation of size 1": (lambda x: x.unsqueeze(0).permute(1, 0, 2).permute(1, 0, 2), ["reshape"]),
    "expand of expand": (lambda x: x[:1].expand(3, 4).expand(2, 3, 4), ["slice", "expand"]),
    "expand of new dimensions": (lambda x: x.reshape(1, 3, 4).expand(2, 3, 4), ["expand"]),
    "slice of slice": (lambda x: x[1:][1:], ["slice"]),
    "cast to itself": (lambda x: x.to(wf.float64).to(wf.float32), []),
    "cast that rounds": (lambda x: x.to(wf.float16).to(wf.float32), ["cast", "cast"]),
    "cast through a wider type": (lambda x: x.to(wf.float64).to(wf.float16), ["cast"]),
    "a constant operand": (lambda x: x + wf.full((3, 4), 0.5, device="cpu"), ["add"]),
    "a constant of no dimensions": (lambda x: x * wf.ones((), device="cpu"), []),
    "ops of constants": (lambda x: x + (wf.ones(4, device="cpu") + 2).reshape(1, 4).expand(3, 4), ["add"]),
    "exp of a constant stays": (lambda x: x + wf.ones(4, device="cpu").exp(), ["full", "exp", "add"]),
    "where of equal branches": (lambda x: wf.where(x > 0, x, x), []),
    "sum over nothing": (lambda x: x.reshape(3, 1, 4).sum(1), ["add"]),
    "largest of one": (lambda x: x.reshape(3, 1, 4).amax(1), []),
    "mean of one": (lambda x: x.reshape(3, 1, 4).mean(1, keepdim=True), ["reshape", "add"]),
    "an operand that repeats": (lambda x: x + x[0].expand(3, 4), ["slice", "add"]),
    "a gradient's seed": (lambda x: _gradient(x), ["mul"]),
}  # fmt: skip


def _gradient(x):
    x = x.detach().requires_grad_()
    return wf.autograd.grad((x * x.detach()).sum() * 2, x)[0]


@pytest.mark.parametrize("name", ROWS)
def test_a_program_becomes(name: str) -> None:
    program, expected = ROWS[name]
    found = ops(passed(simplify, program, values(3, 4)))
    if name == "an operand that repeats":
        expected = ["slice", "reshape", "add"]
    if name == "a gradient's seed":
        expected = ["mul.grad0"]
    assert found == expected


def test_any_two_permutations_are_their_product() -> None:
    x = values(2, 3, 4)
    orders = list(itertools.permutations(range(3)))
    for first, second in itertools.product(orders, orders):
        graph = passed(simplify, lambda x, a=first, b=second: x.permute(*a).permute(*b) + 0.0, x)
        assert ops(graph) in (["permute", "add"], ["add"])


def test_any_two_slices_are_one() -> None:
    x = values(9)
    slices = [slice(a, b, step) for a in (0, 1, 4) for b in (7, 9) for step in (1, 2, 3)]
    for first, second in itertools.product(slices, slices):
        count = len(range(9)[first][second])
        graph = passed(simplify, lambda x, a=first, b=second: x[a][b] + 0.0, x)
        assert not count or ops(graph) in (["slice", "add"], ["add"])


def test_a_promotion_by_a_constant_tensor_stays() -> None:
    def program(x):
        return x + wf.full((4,), 0.5, dtype=wf.float64, device="cpu"), x + wf.full(
            (), 0.5, dtype=wf.float64, device="cpu"
        )

    graph = passed(simplify, program, values(4))
    assert [node.op for node in graph.nodes] == ["full", "add", "add"]
    assert "add(%0, 0.5)" in lines(graph)[-1]


def test_the_zero_of_a_sum_of_one_element_is_positive() -> None:
    x = wf.tensor(numpy.full((1, 3), -0.0, "float32"), device="cpu")
    traced = trace(lambda x: (x.sum(0), x.amax(0), x + 0.0, x - 0.0, x * 1), x)
    from weft.graph import interpret

    before, after = (interpret(graph, [x], [])[0] for graph in (traced.graph, run(traced.graph, CPU)))
    for actual, wanted in zip(before, after, strict=True):
        numpy.testing.assert_array_equal(numpy.signbit(actual.numpy()), numpy.signbit(wanted.numpy()))


def test_operands_of_strided_stay_in_row_major_order() -> None:
    def program(x):
        return x.t().clone().as_strided((2, 3), (1, 4)), x.t().clone().reshape(12).as_strided((3,), (4,))

    assert "copy" in ops(passed(simplify, program, values(3, 4)))


def test_a_state_that_is_written_with_its_own_value_does_not_change() -> None:
    state = values(3)

    def program():
        state.mul_(1.0)
        return state + 1

    traced = trace(program)
    graph = run(traced.graph, CPU)
    assert [state.changed for state in traced.graph.states] == [True]
    assert [state.changed for state in graph.states] == [False]


def test_sites_are_kept() -> None:
    graph = passed(simplify, lambda x: x.t().clone().t() * wf.full((), 2.0, device="cpu") + 1, values(3, 4))
    assert all(node.site.startswith("test_simplify.py:") for node in graph.nodes)
