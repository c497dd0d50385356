"""Gamma variables: their distribution, and the gradient to their shape, against mpmath and closed forms."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import weft as wf
from weft.random.gamma import log_gamma_variables, log_slope


@pytest.mark.parametrize("shape", [0.01, 0.3, 1.0, 2.5, 40.0, 1e4])
def test_the_distribution(device: Any, shape: float) -> None:
    """The largest distance from the distribution function (Kolmogorov and Smirnov): beyond 1.95 once in a thousand."""
    wf.manual_seed(7)
    count = 20_000
    drawn = log_gamma_variables(wf.full((count,), shape, device=device.name)).numpy().astype("float64")
    drawn = np.sort(drawn)
    places = np.linspace(0, count - 1, 200).astype(int)
    logarithms = drawn[places]
    below = (
        np.exp(logarithms) < 1e-3
    )  # gammainc loses these; there it is z ** shape / gamma(shape + 1), nearly
    series = np.exp(np.minimum(shape * logarithms - float(mpmath.loggamma(shape + 1)), 0))
    values = torch.special.gammainc(
        torch.full((200,), shape, dtype=torch.float64), torch.tensor(np.exp(logarithms))
    )
    expected = np.where(below, series, values.numpy())
    assert np.abs(expected - (places + 0.5) / count).max() * np.sqrt(count) < 1.95


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 3.0, 30.0, 1000.0])
def test_the_slope_is_that_of_the_quantile(device: Any, shape: float) -> None:
    with mpmath.workdps(40):
        values = [shape * scale for scale in (0.05, 0.5, 0.9, 1.0, 1.1, 1.5, 4.0)] if shape < 50 else [
            shape + sigma * np.sqrt(shape) for sigma in (-3, -1, 0, 0.5, 2)]  # fmt: skip
        values = np.array(values, "float32").astype("float64")
        expected = []
        for z in values:
            step = mpmath.mpf(10) ** -12 * shape
            high, low = (mpmath.gammainc(shape + s * step, 0, z, regularized=True) for s in (1, -1))
            density = mpmath.mpf(z) ** (shape - 1) * mpmath.exp(-z) / mpmath.gamma(shape)
            expected.append(float(-(high - low) / (2 * step) / density / z))
    found = log_slope(
        wf.full((len(values),), shape, device=device.name),
        wf.tensor(np.log(values).astype("float32"), device=device.name),
    ).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3 if shape > 50 else 1e-4)


def test_gradients_of_expectations(device: Any) -> None:
    """The mean of z has the slope 1 in the shape; that of log z has trigamma's."""
    wf.manual_seed(2)
    for shape in (0.4, 2.0, 9.0):
        a = wf.full((40_000,), shape, device=device.name, requires_grad=True)
        logarithm = log_gamma_variables(a)
        for value, slope in ((logarithm.exp(), 1.0), (logarithm, float(mpmath.polygamma(1, shape)))):
            (grad,) = wf.autograd.grad(value.sum(), a, retain_graph=True)
            error = grad.numpy().std() / 200
            assert abs(grad.mean().item() - slope) < 5 * error + 1e-3


def test_seeds_repeat_draws_and_types(device: Any) -> None:
    seen = []
    for _ in range(2):
        wf.manual_seed(5)
        a = wf.tensor([0.5, 3.0], device=device.name)
        seen.append(wf.distributions.Dirichlet(a).sample((4,)).numpy())
    np.testing.assert_array_equal(*seen)
    half = wf.distributions.Gamma(wf.tensor([2.0], dtype=wf.float16, device=device.name), 1.0)
    assert half.sample((3,)).dtype is wf.float16
    tiny = wf.distributions.Dirichlet(wf.full((5,), 1e-3, device=device.name)).sample((100,))
    np.testing.assert_allclose(tiny.sum(-1).numpy(), 1, rtol=1e-5)
    assert wf.distributions.Gamma(wf.tensor(1e-3), 1.0).sample((100,)).min().item() > 0


def test_in_a_compiled_function(device: Any) -> None:
    a = wf.tensor([0.5, 3.0], device=device.name, requires_grad=True)

    def draw(a: Any) -> Any:
        return wf.distributions.Gamma(a, 2.0, validate_args=False).rsample((50,)).sum(0)

    made = []
    for call in (draw, wf.jit(draw)):
        wf.manual_seed(9)
        made.append(call(a).detach().numpy())
    np.testing.assert_allclose(*made, rtol=1e-4)


def test_mixed_divergences() -> None:
    D, T = wf.distributions, torch.distributions
    ours = (
        D.kl_divergence(D.Exponential(2.0), D.Gamma(3.0, 0.5)),
        D.kl_divergence(D.Gamma(3.0, 0.5), D.Exponential(2.0)),
    )
    pairs = ((T.Exponential(2.0), T.Gamma(3.0, 0.5)), (T.Gamma(3.0, 0.5), T.Exponential(2.0)))
    for found, (p, q) in zip(ours, pairs, strict=True):
        np.testing.assert_allclose(found.numpy(), T.kl_divergence(p, q).numpy(), rtol=1e-5)
    with pytest.raises(wf.errors.ArgumentError, match="concentration"):
        D.Gamma(0.0, 1.0)
    with pytest.raises(wf.errors.ArgumentTypeError, match="Dirichlet"):
        D.Dirichlet(1.0)
    with pytest.raises(wf.errors.ArgumentError, match="sum 1"):
        D.Dirichlet(wf.ones(2)).log_prob(wf.ones(2))
