"""``split``: forward and backward graph compute the joint graph, and the saved tensors are minimal."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weft as wf
from weft.compiler.trace import record
from weft.errors import UnsupportedError
from weft.graph import Graph, interpret
from weft.graph.grad.absent import without
from weft.graph.grad.partition import _costs, _cut, _JointGraph, repeatable, saved_bytes, split
from weft.tensors.tensor import Tensor


def joint(fn, *tensors) -> tuple[Graph, int, int]:
    """The graph of a function with its gradients, the number of its seeds and of its results."""

    def enter(tracing, position, leaf):
        return Tensor.wrap(tracing.input(leaf.shape, leaf.dtype, "cpu")).requires_grad_(leaf.requires_grad)

    found = record("f", fn, tensors, {}, enter, deriving=True)
    assert found.derived is not None
    return found.graph, len(found.derived.results), found.results


def tensor(*shape: int, seed: int = 0):
    values = numpy.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return wf.tensor(values, dtype=wf.float64, device="cpu", requires_grad=True)


UNARY = ("sin", "exp", "tanh", "sqrt", "neg", "square", "sigmoid")


@st.composite
def programs(draw):
    """A function of two matrices: pointwise ops, products, folds, views and broadcasts in any order."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from((*UNARY, "add", "mul", "matmul", "sum", "view", "slice")),
                st.integers(0, 30),
                st.integers(0, 30),
            ),
            min_size=1,
            max_size=10,
        )
    )

    def run(x, y):
        values = [x, y]
        for name, first, second in steps:
            a, b = values[first % len(values)], values[second % len(values)]
            if name in UNARY:
                made = getattr(a.sigmoid() + 0.5, name)()
            elif name == "matmul":
                made = (a @ b) * 0.25
            elif name == "sum":
                made = a + b.sum(1, keepdim=True) * 0.1
            elif name == "view":
                made = a.t() * b
            elif name == "slice":
                made = wf.cat([a[1:], b[:1]], 0)
            else:
                made = getattr(a, name)(b)
            values.append(made)
        return values[-1].sum(), values[len(values) // 2]

    return run


def values(seed: int, *vars_):
    draw = numpy.random.default_rng(seed)
    return [
        wf.tensor(draw.uniform(0.5, 1.5, var.type.shape), dtype=wf.float64, device="cpu") for var in vars_
    ]


@given(programs())
def test_forward_and_backward_equal_the_joint_graph(run) -> None:
    graph, seeds, results = joint(run, tensor(3, 3), tensor(3, 3, seed=1))
    found = split(graph, seeds, results)
    inputs = values(0, *graph.inputs)
    expected, _ = interpret(graph, inputs, [])
    made, _ = interpret(found.forward, inputs[: len(inputs) - seeds], [])
    known = dict(zip([source.id for source in found.forward.inputs], inputs, strict=False))
    known |= {output.id: value for output, value in zip(found.forward.outputs, made, strict=True)}
    gradients, _ = interpret(
        found.backward, [*(known[var.id] for var in found.saved), *inputs[len(inputs) - seeds :]], []
    )
    for actual, wanted in zip([*made[:results], *gradients], expected, strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
    forward = {out.id: node for node in found.forward.nodes for out in node.outputs}
    again = [node for node in found.backward.nodes if node.outputs[0].id in forward]
    assert all(repeatable(node) for node in again)


def wide(x, y):
    a = (x.exp() + y).sin()
    b = (a @ y).tanh()
    return (b * a.sum(1, keepdim=True)).sigmoid().sum()


def test_no_smaller_set_of_values_would_do() -> None:
    graph, seeds, results = joint(wide, tensor(4, 4), tensor(4, 4, seed=1))
    parts = _JointGraph(graph, len(graph.inputs) - seeds, results)
    chosen = _cut(parts, ())
    every = {var.id: var for var in parts.in_order() if var.id not in parts.dependent}

    def enough(saved) -> bool:
        """Whether all that the gradients read can be had from some values."""
        stack, seen = list(parts.wanted.values()), set()
        while stack:
            var = stack.pop()
            if var.id in saved or var.id in seen:
                continue
            seen.add(var.id)
            node = parts.remaker.get(var.id)
            if node is None or not parts.may_recompute(node):
                return False
            stack += [source for source in node.inputs if hasattr(source, "id")]
        return True

    assert enough(chosen)
    cost = _costs(parts, ())
    least = min(
        sum(cost(every[id_]) for id_ in some)
        for count in range(len(chosen) + 1)
        for some in itertools.combinations(every, count)
        if enough(some)
    )
    assert sum(cost(every[id_]) for id_ in chosen) == least


def test_a_chain_of_pointwise_operations_saves_its_argument_alone() -> None:
    graph, seeds, results = joint(lambda x: x.sin().exp().tanh().sum(), tensor(100))
    found = split(graph, seeds, results)
    assert saved_bytes(found) == 0 and found.saved == found.forward.inputs


def test_a_mask_is_saved_and_not_drawn_again() -> None:
    graph, seeds, results = joint(
        lambda x: wf.nn.functional.dropout(x.exp(), 0.5).square().sum(),
        tensor(100).to(wf.float32).detach().requires_grad_(),
    )
    found = split(graph, seeds, results)
    assert [var.type.dtype for var in found.computed] == [wf.bool]
    assert "dropout" not in [node.op for node in found.backward.nodes]


@pytest.mark.parametrize("norm", [
    lambda x, w, b: wf.nn.functional.layer_norm(x, (4,), w, b),
    lambda x, w, b: wf.nn.functional.layer_norm(x, (4,), w),
    lambda x, w, b: wf.nn.functional.rms_norm(x, (4,)),
    lambda x, w, b: wf.nn.functional.group_norm(x, 2, w, b),
])  # fmt: skip
def test_the_result_of_a_norm_is_recomputed_from_its_statistics(norm) -> None:
    x, w, b = tensor(6, 4), tensor(4, seed=1), tensor(4, seed=2)
    graph, seeds, results = joint(lambda x, w, b: (norm(x.sin() @ x.t() @ x, w, b) @ w).sum(), x, w, b)
    found = split(graph, seeds, results)
    assert "normalize_by" in [node.op for node in found.backward.nodes]
    assert "norm" not in [node.op for node in found.backward.nodes]
    product, *statistics = found.computed[-3:]
    assert product.type.shape == (6, 4) and all(statistic.type.shape[-1] == 1 for statistic in statistics)
    inputs = values(0, *graph.inputs)
    expected, _ = interpret(graph, inputs, [])
    made, _ = interpret(found.forward, inputs[:-seeds], [])
    known = {source.id: value for source, value in zip(graph.inputs, inputs, strict=True)}
    known |= {output.id: value for output, value in zip(found.forward.outputs, made, strict=True)}
    gradients, _ = interpret(found.backward, [*(known[var.id] for var in found.saved), *inputs[-seeds:]], [])
    for actual, wanted in zip(gradients, expected[results:], strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)


def test_the_forward_graph_computes_only_required_values() -> None:
    graph, seeds, results = joint(lambda x: x.relu().sum(), tensor(100))
    found = split(graph, seeds, results)
    assert [node.op for node in found.forward.nodes] == ["relu", "sum"] and not found.computed


def test_inputs_that_are_gone_by_then_are_copied() -> None:
    graph, seeds, results = joint(lambda x: (x * x).sum(), tensor(3))
    assert not split(graph, seeds, results).computed
    found = split(graph, seeds, results, volatile={0})
    assert found.computed == (graph.inputs[0],) and found.forward.outputs[-1] == graph.inputs[0]


def test_a_state_that_depends_on_a_gradient_is_an_error() -> None:
    seen = wf.zeros(3, dtype=wf.float64, device="cpu")

    def run(x):
        y = x * 2
        y.register_hook(lambda grad: (seen.copy_(grad), None)[1])
        return y.sum()

    graph, seeds, results = joint(run, tensor(3))
    with pytest.raises(UnsupportedError, match="depends on a gradient of the backward pass"):
        split(graph, seeds, results)


def test_absent_gradients_take_their_part_of_the_graph_with_them() -> None:
    def heads(x, w, v):
        hidden = x.sin()
        return (hidden @ w).sum(), (hidden * v).sum(), wf.cat([hidden, v]).exp().sum()

    graph, seeds, results = joint(heads, tensor(3, 3), tensor(3, 3, seed=1), tensor(3, 3, seed=2))
    backward = split(graph, seeds, results).backward
    own = backward.inputs[-seeds:]
    inputs = values(0, *backward.inputs)
    for absent in itertools.chain(
        itertools.combinations(range(seeds), 1), itertools.combinations(range(seeds), 2)
    ):
        gone = {own[at].id for at in absent}
        found, kept = without(backward, own, gone)
        assert len(found.inputs) == len(backward.inputs) - len(absent) and len(found.nodes) < len(
            backward.nodes
        )
        zeroed = [
            value * 0 if var.id in gone else value for var, value in zip(backward.inputs, inputs, strict=True)
        ]
        expected, _ = interpret(backward, zeroed, [])
        left = [value for var, value in zip(backward.inputs, inputs, strict=True) if var.id not in gone]
        made, _ = interpret(found, left, [])
        for at, wanted in enumerate(expected):
            if at in kept:
                numpy.testing.assert_allclose(made[kept.index(at)].numpy(), wanted.numpy(), rtol=1e-12)
            else:
                assert not wanted.numpy().any()
