"""``erfinv`` and ``digamma`` against SciPy over their ranges, and at their ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import weft as wf


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


@pytest.mark.parametrize("name", ["erfinv", "digamma"])
def test_ends(device: Any, name: str) -> None:
    ends = [0.0, -0.0, 1.0, -1.0, -2.0, 2.0, float("inf"), float("nan")]
    found = getattr(wf.tensor(ends, device=device.name), name)().numpy()
    np.testing.assert_allclose(found, getattr(torch.tensor(ends), name)().numpy(), rtol=1e-5)
    assert getattr(wf.special, name) is getattr(wf, name)
