"""Initialisation: bounds, moments and fans against the formulas and PyTorch's functions."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ShapeError
from weft.nn import init


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_gains_are_pytorchs(name: str) -> None:
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    if name == "leaky_relu":
        assert init.calculate_gain(name, 0.3) == torch.nn.init.calculate_gain(name, 0.3)


@pytest.mark.parametrize(
    ("fill", "low", "high"),
    [
        (lambda t: init.uniform_(t, -2, 3), -2.0, 3.0),
        (init.xavier_uniform_, -math.sqrt(6 / 500), math.sqrt(6 / 500)),
        (lambda t: init.xavier_uniform_(t, 2.0), -2 * math.sqrt(6 / 500), 2 * math.sqrt(6 / 500)),
        (init.kaiming_uniform_, -math.sqrt(6 / 300), math.sqrt(6 / 300)),
        (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="linear"), -math.sqrt(3 / 200), math.sqrt(3 / 200)),
    ],
)  # fmt: skip
def test_uniform_fills_its_interval(fill: Any, low: float, high: float, device: Device) -> None:
    wf.manual_seed(0)
    values = fill(wf.empty(200, 300, device=device.name)).numpy()
    width = high - low
    assert low <= values.min() < low + 0.001 * width
    assert high - 0.001 * width < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < 0.01 * width
    assert abs(values.std() - width / math.sqrt(12)) < 0.01 * width


@pytest.mark.parametrize(
    ("fill", "mean", "deviation"),
    [
        (lambda t: init.normal_(t, 1.0, 0.5), 1.0, 0.5),
        (init.xavier_normal_, 0.0, math.sqrt(2 / 500)),
        (init.kaiming_normal_, 0.0, math.sqrt(2 / 300)),
    ],
)
def test_normal_has_its_moments(fill: Any, mean: float, deviation: float, device: Device) -> None:
    wf.manual_seed(0)
    values = fill(wf.empty(200, 300, device=device.name)).numpy()
    assert abs(values.mean() - mean) < 0.02 * deviation
    assert abs(values.std() - deviation) < 0.02 * deviation


@pytest.mark.parametrize("layer", ["linear", "conv"])
def test_layers_start_as_pytorchs_do(layer: str) -> None:
    """The bounds of weights and biases: 1 / sqrt(fan-in) in both."""
    wf.manual_seed(0)
    torch.manual_seed(0)
    ours = wf.nn.Linear(50, 400) if layer == "linear" else wf.nn.Conv2d(8, 400, 5, groups=4)
    theirs = torch.nn.Linear(50, 400) if layer == "linear" else torch.nn.Conv2d(8, 400, 5, groups=4)
    bound = 1 / math.sqrt(50)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        values, expected = own.detach().numpy(), other.detach().numpy()
        assert numpy.abs(values).max() <= bound
        assert numpy.abs(values).max() == pytest.approx(numpy.abs(expected).max(), rel=0.02)
        assert values.std() == pytest.approx(expected.std(), rel=0.1)


def test_constants_and_views(device: Device) -> None:
    t = wf.zeros(3, 4, device=device.name)
    init.ones_(t[:, ::2])
    assert t.tolist() == [[1, 0, 1, 0]] * 3
    assert init.constant_(t, 2.5) is t
    assert t.sum().item() == 30
    init.uniform_(t[1:, 1:3], 5, 6)
    assert (t.numpy()[0] == 2.5).all()
    assert (t.numpy()[1:, 1:3] >= 5).all()
    parameter = wf.nn.Parameter(t)
    assert init.zeros_(parameter) is parameter
    assert parameter.is_leaf
    assert parameter.grad_fn is None


def test_a_seed_gives_the_same_weights_everywhere(device: Device) -> None:
    wf.manual_seed(5)
    here = wf.nn.Linear(4, 3, device=device.name).weight.detach().numpy()
    wf.manual_seed(5)
    numpy.testing.assert_array_equal(here, wf.nn.Linear(4, 3, device="cpu").weight.detach().numpy())


def test_mistakes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"tensor is of shape \(3,\), expected at least 2 dimensions"):
        init.xavier_uniform_(wf.empty(3))
    with pytest.raises(ArgumentError, match="mode is 'fan', expected 'fan_in' or 'fan_out'"):
        init.kaiming_uniform_(wf.empty(3, 3), mode="fan")
    with pytest.raises(ArgumentError, match="nonlinearity is 'swish', expected one of"):
        init.calculate_gain("swish")
    with pytest.raises(ArgumentError, match="std is -1, expected 0 or more"):
        init.normal_(wf.empty(3), std=-1)
