"""``wf.compile``: results and gradients of compiled functions and modules, compared with the uncompiled ones."""

from __future__ import annotations

import gc
import weakref

import numpy
import pytest

import weft as wf
from weft import nn
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    GradError,
    NotANumberError,
    UnsupportedError,
)

F = nn.functional


def given(device, *shape: int, seed: int = 0, grad: bool = True):
    values = numpy.random.default_rng(seed).standard_normal(shape)
    return wf.tensor(values, dtype=wf.float32, device=device.name, requires_grad=grad)


def agree(fn, *tensors, bound: float = 1e-5):
    """Compare results and gradients of a function, compiled and not; return the compiled function."""
    compiled = wf.compile(fn)
    expected = _results_and_gradients(fn, tensors)
    for _ in range(2):
        found = _results_and_gradients(compiled, tensors)
        for actual, wanted in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(actual, wanted, rtol=bound, atol=bound)
    assert compiled.compilations == 1
    return compiled


def _results_and_gradients(fn, tensors):
    leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
    result = fn(*leaves)
    results = result if isinstance(result, tuple) else (result,)
    total = sum(((at + 1) * result.sin().sum() for at, result in enumerate(results) if result.requires_grad))
    total.backward()
    return [result.detach().numpy() for result in results] + [
        leaf.grad.numpy() for leaf in leaves if leaf.grad is not None
    ]


# Functions.


def test_several_results_of_which_some_have_no_gradient(device) -> None:
    def f(x, w):
        y = (x @ w).relu()
        return y, y.argmax(1), y.detach() * 2, y.sum()

    x, w = given(device, 3, 4), given(device, 4, 5, seed=1)
    agree(f, x, w)
    results = wf.compile(f)(x, w)
    assert [result.requires_grad for result in results] == [True, False, False, True]


def test_trees_of_arguments_and_results_and_numbers(device) -> None:
    @wf.compile
    def f(batch, scale, *, power: int):
        return {"y": (batch["a"] * scale) ** power, "list": [batch["b"].sum()], "name": "here"}

    a, b = given(device, 3), given(device, 2, seed=1)
    first = f({"a": a, "b": b}, 2.0, power=2)
    second = f({"a": a, "b": b}, 3.0, power=2)  # before the first goes backward: its number is kept
    assert f.compilations == 1 and first["name"] == "here"
    first["y"].sum().backward()
    numpy.testing.assert_allclose(a.grad.numpy(), 2 * 4.0 * a.detach().numpy(), rtol=1e-5)
    a.grad = None
    (second["y"].sum() + second["list"][0]).backward()
    numpy.testing.assert_allclose(a.grad.numpy(), 2 * 9.0 * a.detach().numpy(), rtol=1e-5)
    numpy.testing.assert_allclose(b.grad.numpy(), numpy.ones(2))


def test_gradients_flow_through_the_arguments(device) -> None:
    x = given(device, 4, 3)
    f = wf.compile(lambda a, b: (a * b).tanh())
    middle = x.t() * 2  # not contiguous, and computed
    f(middle, middle).sum().backward()
    found, x.grad = x.grad.numpy(), None
    (middle := x.t() * 2).mul(middle).tanh().sum().backward()
    numpy.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-5)


def test_calls_before_the_first_goes_backward_hold_values_of_their_own(device) -> None:
    f = wf.compile(lambda x: (x.exp() * x).sum())
    tensors = [given(device, 5, seed=seed) for seed in range(3)]
    results = [f(tensor) for tensor in tensors]
    for result in reversed(results):
        result.backward()
    for value in tensors:
        x = value.detach().numpy()
        numpy.testing.assert_allclose(value.grad.numpy(), numpy.exp(x) * (1 + x), rtol=1e-4)


def test_results_without_gradients_give_none(device) -> None:
    """As eagerly: no zeros, which an optimizer with momentum would not take for nothing."""
    trunk, left, right = (given(device, 3, 3, seed=seed) for seed in range(3))

    def f(x):
        hidden = (x @ trunk).tanh()
        return (hidden @ left).sum(), hidden @ right, hidden[0]

    compiled, x = wf.compile(f), given(device, 2, 3, seed=4)
    for chosen in ((0,), (1,), (0, 2), (0, 1, 2), (2,)):
        found = []
        for fn in (f, compiled):
            for value in (x, trunk, left, right):
                value.grad = None
            results = fn(x)
            sum((at + 1) * results[at].sin().sum() for at in chosen).backward()
            found.append([value.grad for value in (x, trunk, left, right)])
        for actual, wanted in zip(*found, strict=True):
            assert (actual is None) == (wanted is None)
            if actual is not None:
                numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-6)
    assert compiled.compilations == 1


def test_arguments_and_parameters_as_results(device) -> None:
    w = given(device, 3, seed=1)
    f = wf.compile(lambda x: (x, w, x + w))
    x = given(device, 3)
    same, weight, both = f(x)
    assert same.requires_grad and weight.requires_grad
    (same.sum() + 2 * weight.sum() + both.sum()).backward()
    assert x.grad.tolist() == [2.0] * 3 and w.grad.tolist() == [3.0] * 3


def test_in_place_writes_within_the_function(device) -> None:
    def f(x):
        y = x * 2
        y[1] = 0.0
        y.add_(x.sin())
        return y.exp_()

    agree(f, given(device, 4))


def test_functions_with_a_gradient_of_their_own(device) -> None:
    class Double(wf.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x.cos()

    agree(lambda x: Double.apply(x.exp()), given(device, 4))


def test_random_numbers_are_those_of_the_eager_run_and_the_same_in_the_gradient(device) -> None:
    def f(x):
        return F.dropout(x, 0.5) * wf.rand_like(x)

    x = given(device, 64)
    runs = []
    for fn in (f, wf.compile(f)):
        wf.manual_seed(3)
        for _ in range(2):
            x.grad = None
            y = fn(x)
            y.sum().backward()
            runs.append((y.detach().numpy(), x.grad.numpy(), wf.rand(2, device=device.name).numpy()))
    for actual, wanted in zip(runs[:2], runs[2:], strict=True):
        for a, b in zip(actual, wanted, strict=True):
            numpy.testing.assert_array_equal(a, b)
    y, grad, _ = runs[2]
    numpy.testing.assert_allclose(grad * x.detach().numpy(), y, rtol=1e-5, atol=1e-6)


def test_the_backward_pass_reads_the_earlier_state(device) -> None:
    counter = wf.ones(3, device=device.name)

    def f(x):
        y = x * counter.clone()
        with wf.no_grad():
            counter.add_(1)
        return y.sin()

    x = given(device, 3)
    compiled = wf.compile(f)
    for turn in range(1, 4):
        x.grad = None
        compiled(x).sum().backward()
        values = x.detach().numpy() * turn
        numpy.testing.assert_allclose(x.grad.numpy(), turn * numpy.cos(values), rtol=1e-5)
    assert counter.tolist() == [4.0] * 3 and compiled.compilations == 1


# The tape.


def test_backward_twice_needs_retain_graph(device) -> None:
    x = given(device, 3)
    result = wf.compile(lambda x: (x * x).sum())(x)
    result.backward(retain_graph=True)
    result.backward()
    numpy.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)
    with pytest.raises(GradError, match="a second time"):
        result.backward()


def test_saved_values_go_after_backward(device) -> None:
    x, w = given(device, 8, 8), given(device, 8, 8, seed=1)
    result = wf.compile(lambda x: ((x @ w).exp() @ w).sum())(x)
    node = result.grad_fn
    kept = [weakref.ref(value.data.storage) for value in node._kept if value.itself]
    assert kept
    result.backward()
    gc.collect()
    assert not any(value() is not None for value in kept)


def test_a_parameter_that_is_written_before_backward_is_an_error(device) -> None:
    x, w = given(device, 3), given(device, 3, seed=1)
    result = wf.compile(lambda x: (x * w).sum())(x)
    with wf.no_grad():
        w.add_(1)
    with pytest.raises(GradError, match="modified by an in-place operation"):
        result.backward()


def test_a_result_that_is_written_before_backward_is_an_error(device) -> None:
    x = given(device, 4, 4)
    result = wf.compile(lambda x: (x @ x).softmax(1))(x)
    result.detach().zero_()
    with pytest.raises(GradError, match="modified by an in-place operation"):
        result.sum().backward()


def test_a_gradient_of_a_gradient_is_an_error_that_names_jit(device) -> None:
    x = given(device, 3)
    (grad,) = wf.autograd.grad(wf.compile(lambda x: (x**3).sum())(x), x, create_graph=True)
    numpy.testing.assert_allclose(grad.detach().numpy(), 3 * x.detach().numpy() ** 2, rtol=1e-5)
    with pytest.raises(GradError, match=r"weft\.jit"):
        grad.sum().backward()


def test_gradients_of_some_inputs(device) -> None:
    x, y = given(device, 3), given(device, 3, seed=1)
    result = wf.compile(lambda x, y: (x * y).sum())(x, y)
    (found,) = wf.autograd.grad(result, y)
    numpy.testing.assert_array_equal(found.numpy(), x.detach().numpy())
    assert x.grad is None and y.grad is None


def test_hooks_on_results_arguments_and_parameters_run_once(device) -> None:
    x, w = given(device, 3), given(device, 3, seed=1)
    calls = []
    x.register_hook(lambda grad: calls.append("x"))
    w.register_hook(lambda grad: calls.append("w") or grad * 10)
    f = wf.compile(lambda x: x * w)
    result = f(x)
    result.register_hook(lambda grad: calls.append("result") or grad * 2)
    result.retain_grad()
    result.sum().backward()
    assert sorted(calls) == ["result", "w", "x"]
    assert result.grad.tolist() == [2.0] * 3
    numpy.testing.assert_allclose(w.grad.numpy(), 20 * x.detach().numpy(), rtol=1e-6)


def test_without_gradients_there_is_one_graph(device) -> None:
    f = wf.compile(lambda x: (x.exp() * x).sum())
    with wf.no_grad():
        assert not f(given(device, 3)).requires_grad
    assert not f(given(device, 3, grad=False)).requires_grad
    assert f.compilations == 2
    assert f(given(device, 3)).requires_grad
    assert f.compilations == 3


def test_a_step_that_goes_backward_itself(device) -> None:
    w = given(device, 3)
    optimizer = wf.optim.SGD([w], lr=0.1)

    @wf.compile
    def step(x):
        optimizer.zero_grad()
        loss = (w * x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    x = given(device, 3, seed=1, grad=False)
    expected = w.detach().numpy() - 0.2 * w.detach().numpy() * x.numpy() ** 2
    loss = step(x)
    numpy.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-5)
    assert w.grad is not None
    with pytest.raises(GradError, match="a second time"):
        loss.backward()


# With other parts.


def test_a_compiled_function_in_jit_is_part_of_the_graph(device) -> None:
    inner = wf.compile(lambda x: x.sin() * x)

    @wf.jit
    def grad(x):
        return wf.autograd.grad(inner(x).sum(), x)[0]

    x = given(device, 3)
    values = x.detach().numpy()
    numpy.testing.assert_allclose(
        grad(x).numpy(), numpy.cos(values) * values + numpy.sin(values), rtol=1e-4, atol=1e-6
    )
    assert inner.compilations == 0
    agree(lambda x: inner(x).exp(), x)


def test_checkpoints_around_and_inside(device) -> None:
    checkpoint = wf.utils.checkpoint.checkpoint
    w = given(device, 4, 4, seed=1)
    inner = wf.compile(lambda x: (x @ w).tanh() @ w)
    x = given(device, 3, 4)
    expected = _results_and_gradients(lambda x: (x @ w).tanh() @ w, (x,))
    w.grad = None
    found = _results_and_gradients(lambda x: checkpoint(inner, x), (x,))
    for actual, wanted in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-5)
    agree(lambda x: checkpoint(lambda y: F.dropout(y @ y.t(), 0.0).exp(), x).sum(), x, bound=1e-4)


def test_nans_are_named_in_both_graphs(device) -> None:
    x = wf.tensor([0.0, 1.0], device=device.name, requires_grad=True)
    f = wf.compile(lambda x: (x.sqrt() * 0).sum())
    f(x)
    with wf.debug(nan=True):
        result = f(x)
        with pytest.raises(NotANumberError):
            result.backward()


def test_methods_and_bounded_caches(device) -> None:
    class Scaling:
        def __init__(self, by: float) -> None:
            self.by = by

        @wf.compile(max_cached=2)
        def run(self, x):
            return (x * self.by).sum()

    two, three = Scaling(2.0), Scaling(3.0)
    x = given(device, 3)
    (two.run(x) + three.run(x)).backward()
    assert x.grad.tolist() == [5.0] * 3
    for size in (2, 3, 4):
        two.run(given(device, size))
    assert len(two.run._programs) == 2


def test_freezing_a_parameter_recompiles(device) -> None:
    w = given(device, 3, seed=1)
    f = wf.compile(lambda x: (x * w).sum())
    f(given(device, 3)).backward()
    assert w.grad is not None
    w.requires_grad_(False)
    w.grad = None
    f(given(device, 3)).backward()
    assert w.grad is None and f.compilations == 2


# Mistakes.


@pytest.mark.parametrize(
    "options", [{"backend": "eager"}, {"mode": "fastest"}, {"dynamic": True}, {"options": {"a": 1}}]
)
def test_options_without_a_meaning_are_refused(options) -> None:
    with pytest.raises(UnsupportedError, match=f"compile: {next(iter(options))}"):
        wf.compile(lambda x: x, **options)


def test_other_mistakes(device) -> None:
    with pytest.raises(ArgumentTypeError, match="a function or a module"):
        wf.compile(3)
    with pytest.raises(ArgumentError, match="max_cached"):
        wf.compile(lambda x: x, max_cached=0)
    with pytest.raises(ArgumentTypeError, match="not compiled"):
        wf.compile(wf.compile(nn.Linear(2, 2)))
    f = lambda x: x  # noqa: E731
    assert wf.compile(f, disable=True) is f
    x = given(device, 3)
    with pytest.raises(UnsupportedError, match="written in place"):
        wf.compile(lambda x: x.add_(1))(given(device, 3, grad=False))
    assert not x.grad_fn
    outside = x * 2
    with pytest.raises(UnsupportedError, match="has a history"):
        wf.compile(lambda y: y * outside)(x)
