"""Transforms of transforms against ``torch.func``: Jacobians, Hessians, per-sample gradients, graphs, loops, models."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.func.pairs import IDS, PROGRAMS, Program, assert_same, draws, here, there
from weft import func
from weft.compiler import scan, while_loop
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
theirs = torch.func


def vector(m: Any, x: Any) -> Any:
    return (x.softmax(-1) @ x.T).cumsum(0) * x.sum()


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_jacobians_equal_torch(device: Any, name: str) -> None:
    (array,) = draws([(3, 4)], wf.float32)
    own, other = getattr(func, name), getattr(theirs, name)
    expected = other(lambda x: vector(torch, x))(torch.tensor(array))
    (x,) = here([array], device.name)
    assert_same(own(lambda x: vector(wf, x))(x), expected, name, 4)
    assert_same(own(lambda x: vector(wf, x), chunk_size=5)(x), expected, f"{name} in chunks", 4)
    assert_same(wf.jit(own(lambda x: vector(wf, x)))(x), expected, f"jit {name}", 4)


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_jacobians_of_trees(name: str) -> None:
    def function(tree: Any, y: Any, scale: Any) -> Any:
        return {"a": tree["x"] * y.sum() * scale, "b": (y @ tree["x"], y[0])}, tree["x"] + 1

    arrays = draws([(2,), (3, 2)], wf.float64)
    made = []
    for module, tensors in ((func, here(arrays, "cpu")), (theirs, there(arrays))):
        x, y = tensors
        made.append(getattr(module, name)(function, argnums=(0, 1), has_aux=True)({"x": x}, y, 2.0))
    assert_same(made[0], made[1])
    assert tuple(made[0][0]["b"][0][1].shape) == (3, 3, 2)


@pytest.mark.parametrize("program", [program for program in PROGRAMS if program.name in ("pointwise", "softmax", "products")],
                         ids=lambda value: value.name)  # fmt: skip
def test_hessian_equals_torch(device: Any, program: Program) -> None:
    arrays = draws(program.shapes, wf.float32)
    expected = theirs.hessian(program.there)(*there(arrays))
    assert_same(func.hessian(program.here)(*here(arrays, device.name)), expected, program.name, 8)
    assert_same(wf.jit(func.hessian(program.here))(*here(arrays, device.name)), expected, program.name, 8)
    if device.supports(wf.float64):
        wide = draws(program.shapes, wf.float64)
        assert_same(
            func.hessian(program.here)(*here(wide, "cpu")), theirs.hessian(program.there)(*there(wide))
        )


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_hessian_vector_products_in_every_order(program: Program) -> None:
    arrays, directions = draws(program.shapes, wf.float64), draws(program.shapes, wf.float64, 1)
    places = tuple(range(len(arrays)))
    x, v = tuple(here(arrays, "cpu")), tuple(here(directions, "cpu"))
    inputs = [value.requires_grad_() for value in there(arrays)]
    first = torch.autograd.grad(program.there(*inputs), inputs, create_graph=True)
    dot = sum((g * t).sum() for g, t in zip(first, there(directions), strict=True))
    expected = torch.autograd.grad(dot, inputs)

    def along(*xs: Any) -> Any:
        return sum((g * t).sum() for g, t in zip(func.grad(program.here, places)(*xs), v, strict=True))

    def derivative(place: int) -> Any:
        """The sum of the gradient with respect to one argument, in forward mode."""
        ones = tuple(
            wf.ones_like(tensor) if at == place else wf.zeros_like(tensor) for at, tensor in enumerate(x)
        )
        return lambda *xs: func.jvp(program.here, xs, ones)[1]

    orders = {
        "forward over reverse": func.jvp(func.grad(program.here, places), x, v)[1],
        "reverse over reverse": func.grad(along, places)(*x),
        "reverse over forward": func.grad(lambda *xs: func.jvp(program.here, xs, v)[1], places)(*x),
        "forward over forward": tuple(func.jvp(derivative(at), x, v)[1] for at in places),
    }
    totals = tuple(wanted.sum() for wanted in expected)
    for name, found in orders.items():
        assert_same(
            found, totals if name == "forward over forward" else expected, f"{program.name}: {name}", 20
        )


# Gradients of each example.


class Convolutional(wf.nn.Module):
    """A small network for images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = wf.nn.Conv2d(1, 4, 3, padding=1)
        self.second = wf.nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.norm = wf.nn.GroupNorm(2, 6)
        self.out = wf.nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        x = wf.nn.functional.max_pool2d(self.first(x).relu(), 2)
        return self.out(self.norm(self.second(x)).tanh().mean((-2, -1)))


class Layers(wf.nn.Module):
    """A perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = wf.nn.Sequential(
            wf.nn.Linear(64, 8), wf.nn.GELU(), wf.nn.LayerNorm(8), wf.nn.Linear(8, 3)
        )

    def forward(self, x: Any) -> Any:
        return self.layers(x.flatten(1))


def example_loss(model: Any) -> Any:
    def loss(parameters: Any, x: Any, target: Any) -> Any:
        scores = func.functional_call(model, parameters, x.unsqueeze(0))
        return wf.nn.functional.cross_entropy(scores, target.unsqueeze(0))

    return loss


@pytest.mark.parametrize("make", [Convolutional, Layers])
def test_gradients_of_each_example(device: Any, make: Any) -> None:
    wf.manual_seed(0)
    model = make().to(device.name)
    x = wf.tensor(draws([(5, 1, 8, 8)], wf.float32)[0], device=device.name)
    target = wf.tensor([0, 1, 2, 1, 0], device=device.name)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    each = func.vmap(func.grad(example_loss(model)), in_dims=(None, 0, 0))
    for found in (each(parameters, x, target), wf.jit(each)(parameters, x, target)):
        for n in range(5):
            model.zero_grad()
            wf.nn.functional.cross_entropy(model(x[n : n + 1]), target[n : n + 1]).backward()
            for name, own in model.named_parameters():
                np.testing.assert_allclose(found[name][n].numpy(), own.grad.numpy(), rtol=2e-4, atol=2e-6)
    # by closure, without functional_call, the parameters are constants: the gradients of each example's input
    by_x = func.vmap(func.grad(lambda x, t: wf.nn.functional.cross_entropy(model(x[None]), t[None])))(
        x, target
    )
    leaf = x.clone().requires_grad_()
    wf.nn.functional.cross_entropy(model(leaf), target, reduction="sum").backward()
    np.testing.assert_allclose(by_x.detach().numpy(), leaf.grad.numpy(), rtol=2e-4, atol=2e-6)
    assert by_x.requires_grad  # the model's parameters do, outside


def dispatches(step: Any) -> int:
    """The dispatches of the program that a jitted function ran last."""
    executor = step._programs[0]._executor
    return sum(1 for _ in getattr(executor, "replay", executor).plan.dispatches())


def test_a_graph_of_many_samples_has_as_many_kernels_as_one_of_few(device: Any) -> None:
    model = Layers().to(device.name)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    step = wf.jit(func.vmap(func.grad(example_loss(model)), in_dims=(None, 0, 0)))
    counts = {}
    for samples in (2, 32):
        x = wf.zeros(samples, 1, 8, 8, device=device.name)
        step(parameters, x, wf.zeros(samples, dtype=wf.int64, device=device.name))
        counts[samples] = dispatches(step)
    assert counts[32] <= counts[2] + 1, counts  # sizes may decide between kernels, never copies of them
    whole = wf.jit(func.grad(lambda p, x, t: func.vmap(example_loss(model), (None, 0, 0))(p, x, t).sum()))
    whole(parameters, x, wf.zeros(32, dtype=wf.int64, device=device.name))
    assert counts[32] <= 2 * dispatches(whole)


def test_an_outer_backward_goes_through_transforms() -> None:
    arrays = draws([(4, 3), (3, 2)], wf.float64)
    made = []
    for module, tensors in ((func, here(arrays, "cpu")), (theirs, there(arrays))):
        x, w = tensors
        w.requires_grad_()

        def penalty(x: Any, w: Any, m: Any = module) -> Any:
            each = m.vmap(m.grad(lambda x, w: ((x @ w).tanh() ** 2).sum()), in_dims=(0, None))(x, w)
            return (each**2).sum() + m.vmap(m.jacrev(lambda x: (x @ w).sin()))(x).sum()

        penalty(x, w).backward()
        made.append(w.grad)
    assert_same(made[0], made[1])


def test_tapes_and_targets_inside_of_vmap() -> None:
    x = wf.tensor(draws([(3, 2)], wf.float32)[0])

    def by_hand(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        return wf.autograd.grad((leaf**3).sum(), leaf)[0]

    def accumulated(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        (leaf**3).sum().backward()
        return leaf.grad

    def into(x: Any) -> Any:
        target = wf.zeros_like(x) + 0 * x
        wf.mul(3 * x, x, out=target)
        return target

    for function in (by_hand, accumulated, into):
        for found in (func.vmap(function)(x), wf.jit(func.vmap(function))(x)):
            np.testing.assert_allclose(found.numpy(), (3 * x * x).numpy(), rtol=1e-5)


def test_autocast_around_and_inside_of_transforms() -> None:
    layer, x = wf.nn.Linear(4, 3, device="cpu"), wf.tensor(draws([(3, 4)], wf.float32)[0], device="cpu")
    parameters = {name: parameter.detach() for name, parameter in layer.named_parameters()}

    def loss(parameters: Any, x: Any) -> Any:
        scores = func.functional_call(layer, parameters, x)
        assert scores.dtype is wf.bfloat16
        return scores.exp().sum()

    def inside(parameters: Any, x: Any) -> Any:
        with wf.autocast("cpu"):
            return loss(parameters, x)

    with wf.autocast("cpu"):
        around = func.vmap(func.grad(loss), in_dims=(None, 0))(parameters, x)
    within = func.vmap(func.grad(inside), in_dims=(None, 0))(parameters, x)
    for n in range(3):
        layer.zero_grad()
        with wf.autocast("cpu"):
            total = layer(x[n]).exp().sum()
        total.backward()
        for name, own in layer.named_parameters():
            assert around[name][n].tolist() == within[name][n].tolist() == own.grad.tolist()


def test_no_samples_and_types_alone() -> None:
    none = wf.zeros(0, 3)
    assert tuple(func.vmap(lambda x: x @ x)(none).shape) == (0,)
    assert tuple(func.vmap(func.grad(lambda x: (x**2).sum()))(none).shape) == (0, 3)
    typed = wf.ops.TensorType((4, 3), wf.float32)
    assert (
        repr(wf.compiler.eval_shape(func.vmap(func.hessian(lambda x: (x**2).sum())), typed))
        == "float32[4, 3, 3]"
    )


def test_threads_have_levels_of_their_own() -> None:
    found: dict[int, float] = {}

    def work(scale: int) -> None:
        for _ in range(20):
            x = wf.full((4, 3), float(scale))
            found[scale] = func.vmap(func.grad(lambda x: (x**2).sum() * scale))(x).sum().item()

    threads = [threading.Thread(target=work, args=(scale,)) for scale in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {scale: 24.0 * scale * scale for scale in range(1, 4)}


# Loops, models.


@pytest.mark.parametrize("make", [lambda: wf.nn.LSTM(4, 3, batch_first=True),
                                  lambda: wf.nn.MultiheadAttention(4, 2, batch_first=True)])  # fmt: skip
def test_recurrent_and_attention_layers_have_gradients_of_each_example(make: Any) -> None:
    wf.manual_seed(2)
    layer = make()
    several = (lambda x: (x, x, x)) if isinstance(layer, wf.nn.MultiheadAttention) else (lambda x: (x,))
    parameters = {name: parameter.detach() for name, parameter in layer.named_parameters()}
    x = wf.tensor(draws([(3, 5, 4)], wf.float32)[0])

    def loss(parameters: Any, x: Any) -> Any:
        return func.functional_call(layer, parameters, several(x))[0].square().sum()

    each = func.vmap(func.grad(loss), in_dims=(None, 0))
    for found in (each(parameters, x), wf.jit(each)(parameters, x)):
        for n in range(3):
            layer.zero_grad()
            layer(*several(x[n]))[0].square().sum().backward()
            for name, own in layer.named_parameters():
                np.testing.assert_allclose(found[name][n].numpy(), own.grad.numpy(), rtol=2e-4, atol=2e-6)


def test_loops_under_transforms() -> None:
    def looped(x: Any) -> Any:
        carry, ys = scan(lambda c, e: (c * e.sin(), c * e), wf.ones(()), x)
        return carry + (ys**2).sum()

    x = wf.tensor(draws([(2, 5)], wf.float32)[0])
    for transformed in (
        func.vmap(looped),
        func.vmap(func.grad(looped)),
        func.grad(lambda x: func.vmap(looped)(x).sum()),
        func.vmap(func.hessian(looped)),
        lambda x: func.jvp(func.vmap(looped), (x,), (x,))[1],
    ):
        np.testing.assert_allclose(
            wf.jit(transformed)(x).numpy(), transformed(x).numpy(), rtol=2e-5, atol=1e-6
        )


def test_loops_of_unknown_length_step_by_step() -> None:
    def eighth(x: Any) -> Any:
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * x), (wf.tensor(0), x))[1].sum()

    x = wf.tensor([1.0, 2.0])
    assert func.jvp(eighth, (x,), (x,))[1].item() == 8 * 257.0
    assert func.vmap(eighth)(wf.stack([x, x])).tolist() == [257.0, 257.0]
    assert func.grad(lambda x: func.vmap(eighth)(x[None]).sum())(x).tolist() == [8.0, 1024.0]
    with pytest.raises(UnsupportedError, match="while_loop: a gradient is needed"):
        func.grad(eighth)(x)


def test_models_as_functions(device: Any) -> None:
    wf.manual_seed(1)
    models = [Layers().to(device.name) for _ in range(3)]
    x = wf.tensor(draws([(4, 1, 8, 8)], wf.float32)[0], device=device.name)
    parameters, buffers = func.stack_module_state(models)
    assert buffers == {}
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in parameters.values())
    run = func.vmap(lambda p, x: func.functional_call(models[0], p, x), in_dims=(0, None))
    for found in (run(parameters, x), wf.jit(run)(parameters, x), wf.jit(run)(parameters, x)):
        for n, model in enumerate(models):
            np.testing.assert_allclose(
                found[n].detach().numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6
            )
    run(parameters, x).sum().backward()
    assert all(parameter.grad is not None for parameter in parameters.values())
    assert all(parameter.grad is None for parameter in models[0].parameters())


def test_functional_call_restores_the_module_and_its_trace() -> None:
    layer = wf.nn.Linear(2, 1)
    weight, bias = layer.weight, layer.bias
    call = wf.jit(lambda w, x: func.functional_call(layer, {"weight": w}, (x,)) + layer(x))
    x = wf.tensor([1.0, 2.0])
    for w in (wf.ones(1, 2), wf.zeros(1, 2)):
        expected = (x * w).sum() + bias + layer(x)
        np.testing.assert_allclose(call(w, x).detach().numpy(), expected.detach().numpy(), rtol=1e-6)
    assert call.compilations == 1
    assert layer.weight is weight
    with pytest.raises(ShapeError):
        func.functional_call(layer, {"weight": wf.ones(1, 3)}, x)
    assert layer.weight is weight


def test_tied_weights() -> None:
    class Tied(wf.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = wf.nn.Linear(2, 2, bias=False), wf.nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    model, x, two = Tied(), wf.ones(2), wf.eye(2) * 2
    assert func.functional_call(model, {"a.weight": two}, x).tolist() == [4.0, 4.0]
    apart = func.functional_call(model, {"a.weight": two, "b.weight": wf.eye(2)}, x, tie_weights=False)
    assert apart.tolist() == [2.0, 2.0]
    with pytest.raises(ArgumentError, match="another tensor than under its other names"):
        func.functional_call(model, {"a.weight": two, "b.weight": wf.eye(2)}, x)


def test_mistakes() -> None:
    layer, x = wf.nn.Linear(2, 1), wf.ones(2)
    with pytest.raises(ArgumentError, match="the name is 'w', expected one of weight, bias"):
        func.functional_call(layer, {"w": x}, x)
    with pytest.raises(ArgumentError, match="'weight', twice"):
        func.functional_call(layer, ({"weight": x}, {"weight": x}), x)
    with pytest.raises(ArgumentError, match="bias is missing, expected one of the given"):
        func.functional_call(layer, {"weight": wf.ones(1, 2)}, x, strict=True)
    with pytest.raises(ArgumentTypeError, match="weight is of type float"):
        func.functional_call(layer, {"weight": 1.0}, x)  # type: ignore[dict-item]
    with pytest.raises(ArgumentTypeError, match="module is of type function"):
        func.functional_call(lambda x: x, {}, x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="models is empty"):
        func.stack_module_state([])
    with pytest.raises(ArgumentError, match="Linear, ReLU"):
        func.stack_module_state([layer, wf.nn.ReLU()])
    with pytest.raises(ShapeError, match="of several shapes"):
        func.stack_module_state([layer, wf.nn.Linear(3, 1)])
    norm = wf.nn.BatchNorm1d(2)
    with pytest.raises(UnsupportedError, match="a captured tensor of the function that grad transforms"):
        func.grad(lambda x: norm(x).sum())(wf.ones(3, 2))
    with pytest.raises(ArgumentTypeError, match="the function's result is a float"):
        func.jacrev(lambda x: 1.0)(x)
