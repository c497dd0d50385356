"""``checkpoint``: gradients of a function with recomputed activations, eager and compiled."""

from __future__ import annotations

import gc

import numpy
import pytest

import weft as wf
from weft.errors import ArgumentError, GradError
from weft.utils.checkpoint import checkpoint, checkpoint_sequential

F = wf.nn.functional


def layers(device, dropout: float = 0.3):
    wf.manual_seed(0)
    make = [wf.nn.Sequential(wf.nn.Linear(6, 6), wf.nn.Tanh(), wf.nn.Dropout(dropout)) for _ in range(3)]
    return wf.nn.Sequential(*make).to(device.name)


def gradients(model, forward, x):
    wf.manual_seed(5)
    for parameter in model.parameters():
        parameter.grad = None
    x = x.detach().requires_grad_()
    loss = (forward(x) ** 2).sum()
    loss.backward()
    return [loss.item(), x.grad.tolist(), *(parameter.grad.tolist() for parameter in model.parameters())]


def same(found, expected) -> None:
    for value, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_without_it(device) -> None:
    model = layers(device)
    x = wf.tensor(numpy.random.default_rng(0).normal(size=(4, 6)), dtype=wf.float32, device=device.name)
    expected = gradients(model, model, x)

    def each(x):
        for layer in model:
            x = checkpoint(layer, x, use_reentrant=False)
        return x

    def nested(x):
        return checkpoint(lambda x: checkpoint(model[1:], checkpoint(model[0], x)), x)

    same(gradients(model, each, x), expected)
    same(gradients(model, nested, x), expected)
    same(gradients(model, lambda x: checkpoint_sequential(model, 2, x), x), expected)


def test_gradients_of_gradients(device) -> None:
    x = wf.tensor([0.5, 1.5], device=device.name, requires_grad=True)

    def twice(f):
        (first,) = wf.autograd.grad(f(x).sum(), x, create_graph=True)
        (second,) = wf.autograd.grad((first * first).sum(), x)
        return second.tolist()

    def f(x):
        return (x.sin() * x.exp()).tanh()

    numpy.testing.assert_allclose(twice(lambda x: checkpoint(f, x)), twice(f), rtol=1e-4)


def test_inner_values_are_not_held(device) -> None:
    x = wf.ones(1000, device=device.name, requires_grad=True)

    def f(x):
        for _ in range(10):
            x = x.sin()
        return x

    def held(forward) -> int:
        gc.collect()
        before = device.memory_stats().in_use
        y = forward(x)
        device.synchronize()
        found = device.memory_stats().in_use - before
        y.sum().backward()
        x.grad = None
        return found

    assert held(f) >= 10 * 4000
    assert held(lambda x: checkpoint(f, x)) <= 3 * 4096


def test_the_function_runs_twice_and_values_go_with_their_nodes(device) -> None:
    runs = []
    x = wf.ones(3, device=device.name, requires_grad=True)

    def f(x):
        runs.append(1)
        return x.exp().sin().sum()

    y = checkpoint(f, x)
    y.backward(retain_graph=True)
    y.backward()
    assert len(runs) == 2
    with wf.no_grad():
        checkpoint(f, x)
    assert len(runs) == 3


def test_random_numbers_are_drawn_again(device) -> None:
    x = wf.ones(64, device=device.name, requires_grad=True)
    y = checkpoint(lambda x: F.dropout(x * 2, 0.5) ** 2, x)
    F.dropout(x, 0.5)
    wf.random.generator.default_generator(device.name).get_state()  # moves the state on the device
    y.sum().backward()
    # y = (4 kept x)^2, so its gradient is 32 where it was kept
    assert (x.grad.numpy() == 2 * y.detach().numpy()).all() and 0 < (x.grad.numpy() > 0).sum() < 64


def test_functions_that_differ_and_wrong_arguments() -> None:
    x = wf.ones(3, device="cpu", requires_grad=True)
    runs = []

    def changing(x):
        runs.append(1)
        return x.sin().cos() if len(runs) == 1 else x.sin()

    with pytest.raises(
        GradError, match="the function is one that keeps 0 values in its second run, expected 1"
    ):
        checkpoint(changing, x).sum().backward()
    with pytest.raises(ArgumentError, match="determinism_check is 'all'"):
        checkpoint(changing, x, determinism_check="all")
    with pytest.raises(ArgumentError, match="segments is 4"):
        checkpoint_sequential([wf.sin, wf.cos], 4, x)
    base = wf.ones(3, device="cpu")
    y = checkpoint(lambda a, b: (a.sin() * b).sum(), x, base)
    base.add_(1)
    with pytest.raises(GradError, match="written in place between the two runs"):
        y.backward()


def test_compiled_functions_recompute_behind_a_barrier(device) -> None:
    model = layers(device)
    x = wf.tensor(numpy.random.default_rng(0).normal(size=(4, 6)), dtype=wf.float32, device=device.name)

    def step(x):
        for layer in model:
            x = checkpoint(layer, x)
        return wf.autograd.grad((x**2).sum(), list(model.parameters()))

    def run(fn):
        wf.manual_seed(5)
        return [result.tolist() for result in fn(x)]

    compiled = wf.jit(step)
    same(run(compiled), run(step))
    ops = [node.op for node in compiled.graph(x).nodes]
    assert ops.count("barrier") == 3 and ops.count("tanh") == 6 and ops.count("dropout") == 6
