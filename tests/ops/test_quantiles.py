"""Quantiles among NaN, covariances with weights, and distinct elements among NaN: as PyTorch's, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, DTypeError, ShapeError

NAN = float("nan")
ROWS = [[1.0, NAN, 3.0, 2.0], [4.0, 0.5, -1.0, 2.0], [NAN, NAN, NAN, NAN]]


@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@pytest.mark.parametrize("kind", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_among_nan(device: Any, name: str, kind: str) -> None:
    found = []
    for module, options in ((wf, {"device": device.name}), (torch, {})):
        x, q = module.tensor(ROWS, **options), module.tensor([0.0, 0.3, 1.0], **options)
        results = [
            getattr(module, name)(x, given, dim, interpolation=kind)
            for given in (q, 0.5)
            for dim in (0, 1, None)
        ]
        found.append([np.asarray(each.tolist()) for each in results])
    for mine, own in zip(*found, strict=True):
        np.testing.assert_allclose(mine, own, rtol=1e-6)


def test_covariances_with_weights(device: Any) -> None:
    draw = np.random.default_rng(0)
    x, much = draw.normal(size=(3, 6)).astype("float32"), draw.uniform(0.1, 1.0, 6).astype("float32")
    often = np.array([1, 2, 1, 3, 1, 2])
    for options in (
        {"fweights": often},
        {"aweights": much},
        {"fweights": often, "aweights": much, "correction": 0},
    ):
        mine = {k: wf.tensor(v, device=device.name) if k != "correction" else v for k, v in options.items()}
        own = {k: torch.tensor(v) if k != "correction" else v for k, v in options.items()}
        found = wf.cov(wf.tensor(x, device=device.name), **mine)
        np.testing.assert_allclose(
            found.numpy(), torch.cov(torch.tensor(x), **own).numpy(), rtol=2e-5, atol=1e-6
        )


def test_nan_is_a_distinct_element_each_time(device: Any) -> None:
    values = [NAN, 1.0, NAN, 1.0, 0.0]
    mine = wf.unique(wf.tensor(values, device=device.name), return_counts=True)
    own = torch.unique(torch.tensor(values), return_counts=True)
    for found, expected in zip(mine, own, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert wf.isin(wf.tensor(values, device=device.name), wf.tensor([NAN, 1.0], device=device.name)).tolist() == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_mistakes_are_told(device: Any) -> None:
    x = wf.ones(2, 3, device=device.name)
    for wrong in (lambda: x.quantile(1.5), lambda: x.quantile(0.5, interpolation="cubic")):
        with pytest.raises(ArgumentError):
            wrong()
    for wrong in (lambda: x.quantile(x), lambda: wf.zeros(0, device=device.name).quantile(0.5), lambda: wf.cov(x[None]),
                  lambda: wf.cov(x, aweights=wf.ones(2, device=device.name))):  # fmt: skip
        with pytest.raises(ShapeError):
            wrong()
    with pytest.raises(DTypeError):
        x.long().quantile(0.5)
    with pytest.raises(TypeError):
        wf.isin(1, 2)
