"""``erfinv``, ``lgamma`` and its derivatives over their ranges, and at their ends, against PyTorch and mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError


def far(found: Any, expected: Any, least: float) -> float:
    return float((np.abs(found.astype("float64") - expected) / np.maximum(np.abs(expected), least)).max())


def test_erfinv_over_its_range(device: Any) -> None:
    x = np.concatenate(
        [np.linspace(-0.9999, 0.9999, 4001), 1 - np.logspace(-1, -7, 50), np.logspace(-30, -1, 50)]
    )
    single = x.astype("float32")
    found = wf.tensor(single, device=device.name).erfinv().numpy()
    assert far(found, torch.erfinv(torch.tensor(single.astype("float64"))).numpy(), 1e-37) < 1e-6
    if device.supports(wf.float64):
        wide = wf.tensor(x, dtype=wf.float64, device=device.name).erfinv().numpy()
        assert far(wide, torch.erfinv(torch.tensor(x)).numpy(), 1e-300) < 1e-14


def test_digamma_over_its_range(device: Any) -> None:
    x = np.concatenate([np.linspace(-5.95, 20.0, 3001), np.logspace(-6, 6, 100)])
    x = x[np.abs(x - np.round(x)) > 1e-3] if device.name != "cpu" else x
    single = x.astype("float32")
    expected = torch.digamma(torch.tensor(single.astype("float64"))).numpy()
    near = np.abs(single - np.round(single)) > 1e-2
    found = wf.tensor(single, device=device.name).digamma().numpy()
    assert far(found[near], expected[near], 1.0) < 2e-5
    if device.supports(wf.float64):
        wide = wf.tensor(x, dtype=wf.float64, device=device.name).digamma().numpy()
        own = torch.digamma(torch.tensor(x)).numpy()
        near = np.abs(x - np.round(x)) > 1e-2
        assert far(wide[near], own[near], 1.0) < 1e-12


def test_lgamma_over_its_range(device: Any) -> None:
    x = np.concatenate(
        [np.linspace(0.01, 20.0, 2001), 1 + np.linspace(-1e-3, 1e-3, 200), np.logspace(-6, 30, 100)]
    )
    expected = torch.lgamma(torch.tensor(x.astype("float32").astype("float64"))).numpy()
    found = wf.tensor(x.astype("float32"), device=device.name).lgamma().numpy()
    assert far(found, expected, 1e-30) < 5e-7
    below = -np.linspace(0.013, 29.97, 701)
    expected = torch.lgamma(torch.tensor(below.astype("float32").astype("float64"))).numpy()
    found = wf.tensor(below.astype("float32"), device=device.name).lgamma().numpy()
    assert far(found, expected, 1.0) < 1e-6
    if device.supports(wf.float64):
        both = np.concatenate([x, below])
        wide = wf.tensor(both, dtype=wf.float64, device=device.name).lgamma().numpy()
        assert far(wide, torch.lgamma(torch.tensor(both)).numpy(), 1e-2) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 5])
def test_polygamma_over_its_range(device: Any, n: int) -> None:
    x = np.concatenate([np.linspace(0.05, 20.0, 151), np.linspace(-5.95, -0.05, 60)])
    x = x[np.abs(x - np.round(x)) > 1e-2].astype("float32")
    expected = np.array([float(mpmath.polygamma(n, float(value))) for value in x])
    found = wf.tensor(x, device=device.name).polygamma(n).numpy()
    assert far(found, expected, 1e-30) < 1e-5
    if device.supports(wf.float64):
        wide = wf.tensor(x.astype("float64"), dtype=wf.float64, device=device.name).polygamma(n).numpy()
        assert far(wide, expected, 1e-30) < 1e-12


def test_mistakes_and_places() -> None:
    with pytest.raises(ArgumentError, match="n is -1"):
        wf.polygamma(-1, wf.ones(2))
    with pytest.raises(ArgumentError, match="p is 0"):
        wf.mvlgamma(wf.ones(2), 0)
    with pytest.raises(ArgumentError, match="p is 1000000000"):
        wf.mvlgamma(wf.ones(2), 10**9)
    x = wf.tensor([1.5, 2.5])
    assert wf.special.gammaln is wf.lgamma
    assert wf.special.multigammaln is wf.mvlgamma
    assert wf.special.polygamma is wf.polygamma
    expected = torch.tensor([1.5, 2.5]).polygamma_(2).numpy()
    np.testing.assert_allclose(x.clone().polygamma_(2).numpy(), expected, rtol=1e-5)
    expected = torch.tensor([1.5, 2.5]).mvlgamma_(p=2).numpy()
    np.testing.assert_allclose(x.clone().mvlgamma_(p=2).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["erfinv", "digamma", "lgamma"])
def test_ends(device: Any, name: str) -> None:
    ends = [0.0, -0.0, 1.0, -1.0, -2.0, 2.0, float("inf"), float("nan")]
    found = getattr(wf.tensor(ends, device=device.name), name)().numpy()
    np.testing.assert_allclose(found, getattr(torch.tensor(ends), name)().numpy(), rtol=1e-5)
    assert getattr(wf.special, name.replace("lgamma", "gammaln")) is getattr(wf, name)
