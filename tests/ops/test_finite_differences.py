"""``gradient`` at points that are not evenly spaced, its mistakes, and ``float_power`` of other types than float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, DTypeError, ShapeError

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
POINTS = np.array([0.0, 1.0, 1.5, 4.0, 4.25], "float32")


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("count", [3, 5])
def test_gradient_at_points_equals_torch(device, order: int, count: int) -> None:
    x = wf.tensor(X[:count], device=device.name, requires_grad=True)
    theirs = torch.tensor(X[:count], requires_grad=True)
    points = wf.tensor(POINTS[:count], device=device.name)
    (ours,) = wf.gradient(x, spacing=[points], dim=0, edge_order=order)
    (expected,) = torch.gradient(theirs, spacing=[torch.tensor(POINTS[:count])], dim=0, edge_order=order)
    np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    by_numpy = np.gradient(X[:count].astype("float64"), POINTS[:count], axis=0, edge_order=order)
    np.testing.assert_allclose(ours.detach().numpy(), by_numpy, rtol=1e-5, atol=1e-5)
    (ours * ours).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_gradient_of_two_samples() -> None:
    for spacing in (0.5, [wf.tensor([1.0, 1.5], device="cpu")]):
        assert wf.gradient(wf.tensor([1.0, 4.0], device="cpu"), spacing=spacing)[0].tolist() == [6.0, 6.0]


def test_mistakes() -> None:
    x = wf.ones(4, 4, device="cpu")
    with pytest.raises(ArgumentError, match="1 or 2"):
        wf.gradient(x, edge_order=3)
    with pytest.raises(ArgumentError, match="one for each of 2 dimensions"):
        wf.gradient(x, spacing=[1.0])
    with pytest.raises(ShapeError, match="distinct dimensions"):
        wf.gradient(x, dim=(0, 0))
    with pytest.raises(ShapeError, match="at least 3 samples"):
        wf.gradient(x[:2], edge_order=2)
    with pytest.raises(ShapeError, match=r"\(4,\)"):
        wf.gradient(x, spacing=[wf.ones(3, device="cpu"), 1.0])
    for dtype in (wf.uint8, wf.bool):
        with pytest.raises(DTypeError, match="signed integers"):
            wf.gradient(x.to(dtype))


@pytest.mark.parametrize("name", ["float32", "float16", "int64", "bool"])
def test_float_power_is_of_double_precision(name: str) -> None:
    ours, theirs = (m.tensor([1, 0, 1]).to(getattr(m, name)) for m in (wf, torch))
    ours = ours.to("cpu")
    for exponent in (3, 0.1, -2):
        given, expected = ours.float_power(exponent), theirs.float_power(exponent)
        assert given.dtype is wf.float64
        np.testing.assert_allclose(given.numpy(), expected.numpy(), rtol=1e-14)


def test_float_power_needs_a_device_with_float64() -> None:
    base = wf.tensor([1.1, 2.0], device="cpu")
    assert wf.float_power(base, 2).tolist() == torch.float_power(torch.tensor([1.1, 2.0]), 2).tolist()


@pytest.mark.webgpu
def test_float_power_is_refused_without_float64() -> None:
    with pytest.raises(DTypeError, match="float64 is not available"):
        wf.float_power(wf.ones(2, device="webgpu:software"), 2)
