"""Tracing: the graph computes the program, including state, views and in-place writes."""

from __future__ import annotations

import collections

import numpy
import pytest

import weft as wf
from weft.compiler import trace
from weft.errors import ShapeError, UnsupportedError
from weft.ops import OPS, bind
from weft.utils.tree import flatten


def values(shape: tuple[int, ...], seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


def test_a_traced_program_computes_the_program(device) -> None:
    def program(x, y):
        return {"sum": (x * y + 1.0).sum(0), "pair": (x.t(), [y.exp()])}

    x, y = (wf.tensor(values((3, 4), seed), device=device.name) for seed in (0, 1))
    traced = trace(program, wf.zeros(3, 4, device=device.name), wf.zeros(3, 4, device=device.name))
    expected, found = flatten(program(x, y))[0], flatten(traced(x, y))[0]
    assert [value.tolist() for value in found] == [wanted.tolist() for wanted in expected]
    assert [node.op for node in traced.graph.nodes] == ["mul", "add", "sum", "exp", "permute"]


def test_nothing_is_computed_or_changed_while_tracing(device) -> None:
    state, x = wf.ones(3, device=device.name), wf.full((3,), 2.0, device=device.name)
    before = device.memory_stats()

    def program(x):
        state.mul_(x)
        return state + 1

    traced = trace(program, x)
    after = device.memory_stats()
    assert (after.dispatches, after.in_use) == (before.dispatches, before.in_use)
    assert state.tolist() == [1.0] * 3
    assert traced(x).tolist() == [3.0] * 3
    assert traced(x).tolist() == [5.0] * 3
    assert state.tolist() == [4.0] * 3


def test_writes_through_views_reach_the_base_and_every_other_view(device) -> None:
    def program(x):
        base = wf.zeros(3, 4, device=device.name)
        row, column, flat = base[1], base[:, 2], base.reshape(12)
        row.add_(x)
        column.mul_(2.0)
        base.t()[0].fill_(7.0)
        flat[-1:].copy_(x[:1])
        return base, row, column, flat.sum()

    x = wf.tensor(values((4,)), device=device.name)
    expected, found = program(x), trace(program, x)(x)
    for actual, wanted in zip(expected, found, strict=True):
        numpy.testing.assert_array_equal(actual.numpy(), wanted.numpy())


def test_a_storage_seen_through_two_tensors_is_one_state(device) -> None:
    base = wf.tensor(values((4, 4)), device=device.name)
    part, expected = base[1:3, ::2], base.clone()

    def program():
        part.mul_(3.0)
        return base.sum() + part.sum()

    traced = trace(program)
    assert len(traced.graph.states) == 1
    total = traced()
    expected[1:3, ::2] = expected[1:3, ::2] * 3.0
    numpy.testing.assert_array_equal(base.numpy(), expected.numpy())
    assert total.item() == pytest.approx((expected.sum() + expected[1:3, ::2].sum()).item(), rel=1e-6)


def test_inputs_that_are_views_keep_their_values(device) -> None:
    wide = wf.tensor(values((5, 6)), device=device.name)
    x = wide.t()[1:4]

    def program(x):
        return (x[:, 1:] * 2).reshape(-1)

    numpy.testing.assert_array_equal(trace(program, x)(x).numpy(), program(x).numpy())


def test_results_share_no_memory_with_states(device) -> None:
    state = wf.zeros(2, device=device.name)

    def program():
        state.add_(1)
        return state

    traced = trace(program)
    first, second = traced(), traced()
    state.fill_(9)
    assert (first.tolist(), second.tolist()) == ([1.0, 1.0], [2.0, 2.0])


def test_two_states_may_exchange_their_values(device) -> None:
    a, b = wf.zeros(2, device=device.name), wf.ones(2, device=device.name)

    def program():
        kept = a.clone()
        a.copy_(b)
        b.copy_(kept)

    traced = trace(program)
    traced()
    assert (a.tolist(), b.tolist()) == ([1.0, 1.0], [0.0, 0.0])


def test_gradients_are_part_of_the_graph_and_leave_no_trace_behind(device) -> None:
    w = wf.tensor(values((3,)), device=device.name, requires_grad=True)
    (w * 2).sum().backward()
    before = w.grad

    def program(x):
        w.grad = None
        (w * x).exp().sum().backward()
        return w.grad

    x = wf.tensor(values((3,), 1), device=device.name)
    traced = trace(program, x)
    assert w.grad is before
    numpy.testing.assert_allclose(
        traced(x).numpy(), x.numpy() * numpy.exp(w.detach().numpy() * x.numpy()), rtol=1e-5
    )


def test_second_derivatives_can_be_traced(device) -> None:
    def program(x):
        (first,) = wf.autograd.grad((x**3).sum(), x, create_graph=True)
        (second,) = wf.autograd.grad(first.sum(), x)
        return second

    x = wf.tensor(values((4,)), device=device.name, requires_grad=True)
    numpy.testing.assert_allclose(trace(program, x)(x).numpy(), 6 * x.detach().numpy(), rtol=1e-5)


def test_random_numbers_continue_the_generator(device) -> None:
    def program():
        return wf.rand(5, device=device.name), wf.randn(3, device=device.name)

    wf.manual_seed(3)
    expected = [[result.tolist() for result in program()] for _ in range(3)]
    wf.manual_seed(3)
    traced = trace(program)
    found = [[value.tolist() for value in traced()] for _ in range(2)]
    found.append([result.tolist() for result in program()])  # eager goes on after the traced calls
    assert found == expected


def test_a_shape_error_names_the_users_line() -> None:
    def program(x):
        return x @ wf.ones(5, 2, device="cpu")

    with pytest.raises(ShapeError, match=r"matmul: .*3.*5.* \(at test_tracing\.py:\d+\)"):
        trace(program, wf.ones(2, 3, device="cpu"))


@pytest.mark.parametrize(
    "read", [float, bool, lambda x: x.item(), lambda x: x.numpy(), lambda x: x.tolist(), print]
)
def test_reading_a_value_while_tracing_is_an_error(read) -> None:
    with pytest.raises(UnsupportedError, match="being traced and has no value yet"):
        trace(lambda x: read(x.sum()), wf.ones(2, device="cpu"))


def test_a_tracer_kept_after_the_trace_is_an_error() -> None:
    kept = []
    with pytest.raises(UnsupportedError, match=r"kept in item 0 of a list in the variable `kept`"):
        trace(lambda x: kept.append(x * 2), wf.ones(2, device="cpu"))
    assert kept == []  # a refused trace undoes what it wrote to lists, dicts, sets and objects


def test_a_tracer_is_not_used_outside_of_its_trace() -> None:
    kept = collections.deque()  # which a refused trace leaves as it is
    with pytest.raises(UnsupportedError, match="kept in the variable `kept`"):
        trace(lambda x: kept.append(x * 2), wf.ones(2, device="cpu"))
    with pytest.raises(UnsupportedError, match="made inside a trace"):
        kept[0] + 1
    with pytest.raises(UnsupportedError, match="outside of its trace"):
        trace(lambda x: x + kept[0], wf.ones(2, device="cpu"))


def test_new_arguments_must_have_the_traced_types() -> None:
    traced = trace(lambda x: x + 1, wf.ones(2, device="cpu"))
    with pytest.raises(ValueError, match=r"tensor 0 is float32\[3\], expected float32\[2\]"):
        traced(wf.ones(3, device="cpu"))


def test_the_optimizer_like_step_on_aliased_arenas_is_traced_by_value(device) -> None:
    p, m = wf.ones(4, device=device.name), wf.zeros(4, device=device.name)
    lr, step = wf.tensor(0.5, device=device.name), wf.tensor(1.0, device=device.name)
    options = {"dampening": 0.0, "weight_decay": 0.0, "maximize": False, "nesterov": False}

    def program(g):
        bind(OPS["sgd_momentum_step"], lr, step, 0.9, p, g, m, into=(p, m), **options)
        step.add_(1.0)
        return p.sum()

    traced = trace(program, wf.zeros(4, device=device.name))
    g = wf.ones(4, device=device.name)
    traced(g), traced(g)
    # p1 = 1 - 0.5; m2 = 0.9 + 1; p2 = p1 - 0.5 * 1.9
    numpy.testing.assert_allclose(p.numpy(), 1 - 0.5 - 0.95, rtol=1e-6)
    numpy.testing.assert_allclose(m.numpy(), 1.9, rtol=1e-6)


def test_the_graph_prints_as_a_program() -> None:
    w = wf.ones(2, 3, device="cpu")

    def program(x):
        w.add_(1)
        return wf.relu(x @ w)

    text = repr(trace(program, wf.ones(4, 2, device="cpu")).graph)
    lines = [line.split("  #")[0].rstrip() for line in text.splitlines()]
    assert lines == [
        "graph(%0: float32[4, 2]) with state(%1: float32[2, 3]):",
        "  %2: float32[2, 3] = add(%1, 1)",
        "  %3: float32[4, 3] = matmul(%0, %2)",
        "  %4: float32[4, 3] = relu(%3)",
        "  return %4",
        "  state %1 := %2",
    ]
    assert "# test_tracing.py:" in text


def test_equal_programs_have_equal_graphs() -> None:
    def program(x):
        return (x * 2).sum()

    first, second = (trace(program, wf.ones(3, device="cpu")).graph for _ in range(2))
    assert first == second and hash(first) == hash(second)
    assert first != trace(program, wf.ones(4, device="cpu")).graph


def test_eval_shape_needs_no_memory() -> None:
    huge = wf.ops.TensorType((10**6, 10**6), wf.float32)
    result = wf.compiler.eval_shape(lambda x, y: {"out": (x @ y).t().sum(0), "n": 3}, huge, huge)
    assert result == {"out": wf.ops.TensorType((10**6,), wf.float32), "n": 3}
    with pytest.raises(ShapeError, match="matmul"):
        wf.compiler.eval_shape(lambda x: x @ x, wf.ops.TensorType((2, 3), wf.float32))


def test_a_long_program_is_not_deep() -> None:
    def program(x):
        for _ in range(5000):
            x = x + 1
        return x

    traced = trace(program, wf.zeros(1, device="cpu"))
    assert traced(wf.zeros(1, device="cpu")).item() == 5000
    assert len(traced.graph.nodes) == 5000


def test_eval_shape_checks_writes_in_place_as_running_would() -> None:
    small, large = wf.ops.TensorType((3,), wf.float32), wf.ops.TensorType((2, 3), wf.float32)
    assert wf.compiler.eval_shape(lambda x, y: y.add_(x), small, large) == large
    with pytest.raises(ShapeError, match=r"add: the tensor written to is of shape \(3,\)"):
        wf.compiler.eval_shape(lambda x, y: x.add_(y), small, large)
