"""Parametrizations and the norms of weights: values, gradients and state-dict keys against PyTorch."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, WeftError

OPTIONS: dict[str, dict[str, Any]] = {"weight_norm": {"dim": 0}, "spectral_norm": {"n_power_iterations": 2}}
LAYERS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "linear": ("Linear", (3, 4), (2, 3)),
    "convolution": ("Conv2d", (2, 3, 3), (1, 2, 5, 5)),
    "transposed": ("ConvTranspose1d", (2, 3, 3), (1, 2, 5)),
}


def made(lib: Any, layer: str, name: str, new: bool) -> Any:
    kind, sizes, _ = LAYERS[layer]
    home = lib.nn.utils.parametrizations if new else lib.nn.utils
    return getattr(home, name)(getattr(lib.nn, kind)(*sizes), **OPTIONS[name])


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of:FutureWarning")  # PyTorch's own
@pytest.mark.parametrize("new", [True, False], ids=["parametrization", "older form"])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_norms_of_weights(device: Any, layer: str, name: str, new: bool) -> None:
    theirs, ours = made(torch, layer, name, new), made(wf, layer, name, new).to(device.name)
    state = {key: value.detach().clone().numpy() for key, value in theirs.state_dict().items()}
    assert set(ours.state_dict()) == set(state)
    ours.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=LAYERS[layer][2]).astype("float32")
    for mode in (True, True, False):
        found, expected = (
            ours.train(mode)(wf.tensor(x, device=device.name)),
            theirs.train(mode)(torch.tensor(x)),
        )
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
        ours.zero_grad()
        theirs.zero_grad()
        found.square().sum().backward()
        expected.square().sum().backward()
        grads = {key: value.grad.numpy() for key, value in theirs.named_parameters()}
        for key, value in ours.named_parameters():
            np.testing.assert_allclose(value.grad.numpy(), grads.pop(key), rtol=1e-3, atol=1e-4)
        assert not grads
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[key].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_removing(name: str) -> None:
    x = wf.ones(2, 3)
    for new in (True, False):
        layer = made(wf, "linear", name, new).eval()
        before = layer(x).detach().numpy()
        if new:
            wf.nn.utils.parametrize.remove_parametrizations(layer, "weight")
            assert type(layer) is wf.nn.Linear
        else:
            getattr(wf.nn.utils, f"remove_{name}")(layer)
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        assert sorted(key for key, _ in layer.named_parameters()) == ["bias", "weight"]
        np.testing.assert_allclose(layer(x).detach().numpy(), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_apart(how: Any) -> None:
    layer = made(wf, "linear", "weight_norm", True)
    twin = how(layer)
    np.testing.assert_array_equal(twin.weight.detach().numpy(), layer.weight.detach().numpy())
    with wf.no_grad():
        twin.parametrizations.weight.original0.mul_(2.0)
    np.testing.assert_allclose(twin.weight.detach().numpy(), 2 * layer.weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("new", [True, False], ids=["parametrization", "older form"])
def test_training_in_a_compiled_step(device: Any, new: bool) -> None:
    x = wf.tensor(np.random.default_rng(1).normal(size=(4, 3)).astype("float32"), device=device.name)
    losses = []
    for compiled in (False, True):
        wf.manual_seed(4)
        layer = made(wf, "linear", "weight_norm", new).to(device.name)
        optimizer = wf.optim.SGD(layer.parameters(), lr=0.1)

        def step(layer: Any = layer, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = layer(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        call = wf.jit(step) if compiled else step
        losses.append([call().item() for _ in range(4)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][3] < losses[0][0]


class Symmetric(wf.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Doubled(wf.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2


def test_assignment_chains_and_cache() -> None:
    parametrize = wf.nn.utils.parametrize
    layer = parametrize.register_parametrization(wf.nn.Linear(3, 3), "weight", Symmetric())
    value = wf.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    layer.weight = value
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value.numpy())
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), 2 * value.numpy())
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert sorted(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.weight is not layer.weight
    with parametrize.cached():
        assert layer.weight is layer.weight
    with pytest.raises(ArgumentError, match="right_inverse"):
        layer.weight = value
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value.triu().numpy())


class Cut(wf.nn.Module):
    def forward(self, x: Any) -> Any:
        return x[:1]


_register = wf.nn.utils.parametrize.register_parametrization
MISTAKES: dict[str, tuple[Any, type[WeftError], str]] = {
    "name": (lambda: _register(wf.nn.Linear(2, 2), "wait", Doubled()), ArgumentError, "tensor_name"),
    "shape": (lambda: _register(wf.nn.Linear(2, 2), "weight", Cut()), ArgumentError, r"float32 \(1, 2\)"),
    "function": (lambda: _register(wf.nn.Linear(2, 2), "weight", abs), ArgumentTypeError, "a Module"),
    "none": (lambda: wf.nn.utils.parametrize.remove_parametrizations(wf.nn.Linear(2, 2), "weight"), ArgumentError, "parametrized"),
    "old": (lambda: wf.nn.utils.remove_weight_norm(wf.nn.Linear(2, 2)), ArgumentError, "with this norm"),
    "twice": (lambda: wf.nn.utils.weight_norm(wf.nn.utils.weight_norm(wf.nn.Linear(2, 2))), ArgumentError, "without this norm"),
    "steps": (lambda: wf.nn.utils.spectral_norm(wf.nn.Linear(2, 2), n_power_iterations=0), ArgumentError, "n_power_iterations"),
    "absent": (lambda: wf.nn.utils.parametrizations.orthogonal(wf.nn.Linear(2, 2)), UnsupportedError, "orthogonal"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, error, text = MISTAKES[name]
    with pytest.raises(error, match=text):
        call()
