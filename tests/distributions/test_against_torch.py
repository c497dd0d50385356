"""Distributions against PyTorch's: log-probabilities, entropies, moments, divergences and their gradients; and draws."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, WeftError

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype("float32")


def positive(*shape: int) -> Any:
    return np.exp(normal(*shape) * 0.5)


def factor(*shape: int) -> Any:
    return (np.tril(normal(*shape)) + 2 * np.eye(shape[-1])).astype("float32")


def probabilities(*shape: int) -> Any:
    return RNG.uniform(0.05, 0.95, size=shape).astype("float32")


def covariance(*shape: int) -> Any:
    lower = factor(*shape)
    return lower @ np.swapaxes(lower, -1, -2)


# name: class, parameters of two distributions, values
CASES: dict[str, tuple[str, list[dict[str, Any]], Any]] = {
    "normal": ("Normal", [{"loc": normal(3, 4), "scale": positive(4)} for _ in range(2)], normal(2, 3, 4)),
    "log normal": ("LogNormal", [{"loc": normal(4), "scale": positive(4)} for _ in range(2)], positive(3, 4)),
    "uniform": ("Uniform", [{"low": -2 - positive(4), "high": 2 + positive(4)}, {"low": normal(4) - 9, "high": normal(4) + 9}],
                RNG.uniform(-2, 2, (3, 4)).astype("float32")),
    "exponential": ("Exponential", [{"rate": positive(3, 1)} for _ in range(2)], positive(3, 4)),
    "laplace": ("Laplace", [{"loc": normal(4), "scale": positive(4)} for _ in range(2)], normal(3, 4)),
    "gamma": ("Gamma", [{"concentration": positive(4), "rate": positive(3, 1)} for _ in range(2)], positive(3, 4)),
    "chi2": ("Chi2", [{"df": positive(4) + 1} for _ in range(2)], positive(3, 4)),
    "beta": ("Beta", [{"concentration1": positive(4), "concentration0": positive(4)} for _ in range(2)], probabilities(3, 4)),
    "dirichlet": ("Dirichlet", [{"concentration": positive(2, 5)} for _ in range(2)],
                  RNG.dirichlet(np.ones(5), (3, 2)).astype("float32")),
    "student": ("StudentT", [{"df": positive(4) + 5, "loc": normal(4), "scale": positive(4)} for _ in range(2)], normal(3, 4)),
    "bernoulli": ("Bernoulli", [{"probs": probabilities(4)} for _ in range(2)], RNG.integers(0, 2, (3, 4)).astype("float32")),
    "bernoulli of logits": ("Bernoulli", [{"logits": normal(4)} for _ in range(2)], RNG.integers(0, 2, (3, 4)).astype("float32")),
    "categorical": ("Categorical", [{"probs": positive(2, 5)} for _ in range(2)], RNG.integers(0, 5, (3, 2))),
    "categorical of logits": ("Categorical", [{"logits": normal(2, 5)} for _ in range(2)], RNG.integers(0, 5, (3, 2))),
    "one-hot": ("OneHotCategorical", [{"logits": normal(2, 5)} for _ in range(2)], np.eye(5, dtype="float32")[[[1, 2], [0, 4]]]),
    "multivariate": ("MultivariateNormal", [{"loc": normal(2, 3), "scale_tril": factor(3, 3)} for _ in range(2)], normal(4, 2, 3)),
    "multivariate of covariances": (
        "MultivariateNormal", [{"loc": normal(3), "covariance_matrix": covariance(2, 3, 3)} for _ in range(2)], normal(2, 3)),
}  # fmt: skip
JOINED = ("normal", "laplace", "bernoulli")


def made(lib: Any, name: str, which: int, device: str = "cpu") -> tuple[Any, list[Any]]:
    """A distribution and its parameters."""
    kind, parameters, _ = CASES[name]
    options = {"device": device} if lib is wf else {}
    given = {
        key: lib.tensor(value, requires_grad=True, **options) for key, value in parameters[which].items()
    }
    return getattr(lib.distributions, kind)(**given), list(given.values())


def host(value: Any) -> Any:
    return value.detach().cpu().numpy()


def compare(ours: Any, theirs: Any, own: list[Any], other: list[Any], lower: bool = False) -> None:
    """Values, and gradients of their sum."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(host(ours), host(theirs), rtol=2e-5, atol=2e-6)
    if not theirs.requires_grad:
        return
    left = wf.autograd.grad(ours.sum(), own, allow_unused=True)
    right = torch.autograd.grad(theirs.sum(), other, allow_unused=True)
    for mine, yours in zip(left, right, strict=True):
        found = np.zeros(1) if mine is None else host(mine)
        expected = np.zeros(1) if yours is None else host(yours)
        if lower:  # PyTorch gives gradients of what lies above the diagonal, and is no part of the factor
            expected = np.tril(expected) if expected.shape[-2:] == (3, 3) else expected
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_against_pytorch(device: Any, name: str) -> None:
    value = CASES[name][2]
    for part in ("log_prob", "entropy", "mean", "variance", "stddev", "cdf"):
        ours, own = made(wf, name, 0, device.name)
        theirs, other = made(torch, name, 0)
        assert (tuple(ours.batch_shape), tuple(ours.event_shape)) == (
            tuple(theirs.batch_shape),
            tuple(theirs.event_shape),
        )
        assert ours.has_rsample == theirs.has_rsample
        given = (
            [(wf.tensor(value, device=device.name), torch.tensor(value))]
            if part in ("log_prob", "cdf")
            else [(None, None)]
        )
        for left, right in given:
            try:
                expected = getattr(theirs, part) if right is None else getattr(theirs, part)(right)
                expected = expected() if callable(expected) else expected
            except NotImplementedError:
                continue
            if part == "mean" and name.startswith("categorical"):
                continue  # NaN in PyTorch: classes have no mean
            if part in ("variance", "stddev") and name.startswith("categorical"):
                continue
            try:
                found = getattr(ours, part) if left is None else getattr(ours, part)(left)
            except UnsupportedError:
                assert part == "cdf"
                continue
            compare(found() if callable(found) else found, expected, own, other)


@pytest.mark.parametrize("name", CASES)
def test_divergences(device: Any, name: str) -> None:
    pairs = [[made(lib, name, which, device.name) for which in (0, 1)] for lib in (wf, torch)]
    (p, own), (q, own_q) = pairs[0]
    (r, other), (s, other_s) = pairs[1]
    if name == "student":
        with pytest.raises(UnsupportedError):
            wf.distributions.kl_divergence(p, q)
        return
    compare(
        wf.distributions.kl_divergence(p, q),
        torch.distributions.kl_divergence(r, s),
        own + own_q,
        other + other_s,
        lower=name == "multivariate",
    )


@pytest.mark.parametrize("name", JOINED)
def test_independent(device: Any, name: str) -> None:
    value = CASES[name][2]
    ours, own = made(wf, name, 0, device.name)
    theirs, other = made(torch, name, 0)
    joined, expected = wf.distributions.Independent(ours, 1), torch.distributions.Independent(theirs, 1)
    assert (joined.batch_shape, joined.event_shape) == (
        tuple(expected.batch_shape),
        tuple(expected.event_shape),
    )
    compare(
        joined.log_prob(wf.tensor(value, device=device.name)),
        expected.log_prob(torch.tensor(value)),
        own,
        other,
    )
    assert joined.sample((2,)).shape == (2, *ours.batch_shape)
    twin, twice = (
        lib.distributions.Independent(made(lib, name, 1, device.name)[0], 1) for lib in (wf, torch)
    )
    np.testing.assert_allclose(
        host(wf.distributions.kl_divergence(joined, twin)),
        host(torch.distributions.kl_divergence(expected, twice)),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_moments(device: Any, name: str) -> None:
    wf.manual_seed(3)
    ours, own = made(wf, name, 0, device.name)
    theirs, _ = made(torch, name, 0)
    count = 20_000
    drawn = ours.sample((count,))
    assert tuple(drawn.shape) == (count, *theirs.batch_shape, *theirs.event_shape)
    assert str(drawn.dtype).rpartition(".")[2] == str(theirs.sample().dtype).rpartition(".")[2]
    assert not drawn.requires_grad
    values = host(drawn).astype("float64")
    if name.startswith("categorical"):
        values, mean = np.eye(5)[values.astype(int)], host(theirs.probs)
        variance = mean * (1 - mean)
    else:
        mean, variance = host(theirs.mean), host(theirs.variance)
    error = np.sqrt(variance / count)
    assert (np.abs(values.mean(0) - mean) < 5 * error + 1e-6).all()
    if name not in ("log normal", "student"):  # whose fourth moment is too large
        np.testing.assert_allclose(values.var(0), variance, rtol=0.15)
    if ours.has_rsample:
        rsample = ours.rsample((3,))
        (gradient, *_) = wf.autograd.grad(rsample.sum(), own)
        assert bool(gradient.isfinite().all())
        assert bool((gradient != 0).any())


def test_gradients_of_draws_are_those_of_the_formula() -> None:
    loc, scale = wf.zeros(1000, requires_grad=True), wf.ones(1000, requires_grad=True)
    drawn = wf.distributions.Normal(loc, scale).rsample()
    drawn.sum().backward()
    assert loc.grad is not None
    assert scale.grad is not None
    np.testing.assert_array_equal(loc.grad.numpy(), 1)
    np.testing.assert_allclose(scale.grad.numpy(), drawn.detach().numpy(), rtol=1e-6)


def test_impossible_classes_are_never_drawn() -> None:
    d = wf.distributions.Categorical(probs=wf.tensor([0.0, 0.5, 0.0, 0.5, 0.0]))
    assert set(d.sample((5000,)).tolist()) == {1, 3}


def test_seeds_repeat_draws(device: Any) -> None:
    d, _ = made(wf, "normal", 0, device.name)
    seen = []
    for _ in range(2):
        wf.manual_seed(5)
        seen.append(host(d.sample((3,))))
    np.testing.assert_array_equal(*seen)


def test_in_a_compiled_function(device: Any) -> None:
    logits = wf.tensor(normal(3, 5), device=device.name)
    action = wf.tensor([0, 4, 2], device=device.name)

    def loss(logits: Any, action: Any) -> Any:
        policy = wf.distributions.Categorical(logits=logits)
        return -(policy.log_prob(action)).mean() - policy.entropy().mean() + policy.sample().float().sum() * 0

    np.testing.assert_allclose(host(wf.jit(loss)(logits, action)), host(loss(logits, action)), rtol=1e-5)


D = wf.distributions
MISTAKES: dict[str, tuple[Any, type[WeftError], str]] = {
    "scale": (lambda: D.Normal(0.0, wf.tensor([1.0, -1.0])), ArgumentError, "scale"),
    "nan scale": (lambda: D.Normal(0.0, wf.tensor([float("nan")])), ArgumentError, "scale"),
    "text": (lambda: D.Normal("0", 1.0), ArgumentTypeError, "loc"),
    "bounds": (lambda: D.Uniform(1.0, 0.0), ArgumentError, "high"),
    "both": (lambda: D.Categorical(wf.ones(2), wf.ones(2)), ArgumentError, "one of them"),
    "none": (lambda: D.Bernoulli(), ArgumentError, "one of them"),
    "negative": (lambda: D.Categorical(wf.tensor([1.0, -1.0])), ArgumentError, "probs"),
    "class": (lambda: D.Categorical(wf.ones(2)).log_prob(wf.tensor(2)), ArgumentError, "value"),
    "value": (lambda: D.Bernoulli(0.5).log_prob(wf.tensor(0.5)), ArgumentError, "value"),
    "number": (lambda: D.Normal(0.0, 1.0).log_prob(0.5), ArgumentTypeError, "value"),
    "rsample": (lambda: D.Bernoulli(0.5).rsample(), UnsupportedError, "sample"),
    "dims": (lambda: D.Independent(D.Normal(0.0, 1.0), 1), ArgumentError, "reinterpreted_batch_ndims"),
    "matrix": (lambda: D.MultivariateNormal(wf.zeros(2), wf.ones(3, 3)), ShapeError, "matrix"),
    "indefinite": (lambda: D.MultivariateNormal(wf.zeros(2), -wf.eye(2)), ArgumentError, "positive definite"),
    "precision": (lambda: D.MultivariateNormal(wf.zeros(2), precision_matrix=wf.eye(2)), UnsupportedError, "precision"),
    "kl": (lambda: D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5)), UnsupportedError, "Normal and Bernoulli"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, error, text = MISTAKES[name]
    with pytest.raises(error, match=text):
        call()


def test_unchecked_parameters() -> None:
    assert np.isnan(host(D.Normal(wf.zeros(1), -wf.ones(1), validate_args=False).log_prob(wf.zeros(1))))
    assert D.Uniform(0.0, 1.0, validate_args=False).log_prob(wf.tensor(2.0)).item() == -np.inf


@pytest.mark.parametrize("how", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("name", CASES)
def test_copies(name: str, how: Any) -> None:
    kind, parameters, value = CASES[name]
    d = getattr(D, kind)(**{key: wf.tensor(each) for key, each in parameters[0].items()})
    np.testing.assert_array_equal(host(how(d).log_prob(wf.tensor(value))), host(d.log_prob(wf.tensor(value))))
