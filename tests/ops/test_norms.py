"""Every function that takes a p-norm against NumPy and PyTorch, for every kind of order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
import weft.nn.functional as F
from tests.ops.arrays import from_weft, to_weft
from weft.nn import utils

ORDERS = (0.5, 1, 1.5, 2, 3, math.inf)
"""Orders that every function takes."""
SIGNED_ORDERS = (*ORDERS, 0, -1.5, -math.inf)
"""Orders that norms take as well."""

X = np.array([[3.0, -4.0, 0.5], [0.0, 2.0, -1.0], [1.0, 1.5, -0.25]], "float32")
Y = np.array([[1.0, 2.0, -2.5], [0.25, 0.0, 1.0], [-1.0, 3.0, 2.0]], "float32")


def p_norm(x: Any, p: float, axis: int | None = -1) -> Any:
    """The norm in float64."""
    flat = x.astype("float64") if axis is not None else x.astype("float64").reshape(-1)
    with np.errstate(divide="ignore"):
        return np.linalg.norm(flat, p, axis=-1)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[float], Any]]] = {
    "pairwise_distance": (
        lambda x, y, p: F.pairwise_distance(x, y, p, eps=0.0),
        lambda p: p_norm(X - Y, p),
    ),
    "normalize": (
        lambda x, y, p: F.normalize(x, p, dim=1),
        lambda p: X / p_norm(X, p)[:, None],
    ),
    "dist": (lambda x, y, p: wf.dist(x, y, p), lambda p: p_norm(X - Y, p, None)),
    "cdist": (
        lambda x, y, p: wf.cdist(x, y, p),
        lambda p: p_norm(X[:, None] - Y[None], p),
    ),
    "pdist": (
        lambda x, y, p: F.pdist(x, p),
        lambda p: p_norm(X[[0, 0, 1]] - X[[1, 2, 2]], p),
    ),
    "get_total_norm": (
        lambda x, y, p: utils.get_total_norm([x, y], p),
        lambda p: p_norm(np.stack([X, Y]), p, None),
    ),
    "triplet_margin_loss": (
        lambda x, y, p: F.triplet_margin_loss(x, y, x * 0.0, 100.0, p, 0.0, reduction="none"),
        lambda p: p_norm(X - Y, p) - p_norm(X, p) + 100.0,
    ),
    "renorm": (
        lambda x, y, p: wf.renorm(x, p, 0, 0.1),
        lambda p: X * (0.1 / (p_norm(X, p)[:, None] + 1e-7)),
    ),
}
"""Each function of two matrices and an order, and its reference."""

NORMS: dict[str, Callable[[Any, float], Any]] = {
    "vector_norm": lambda x, p: wf.linalg.vector_norm(x, p, 1),
    "norm": lambda x, p: x.norm(p, 1),
    "linalg.norm": lambda x, p: wf.linalg.norm(x, p, 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("p", ORDERS)
def test_functions_of_a_norm(device: Any, name: str, p: float) -> None:
    """The value of each function for each order that it takes."""
    call, expected = FUNCTIONS[name]
    got = from_weft(call(to_weft(X, device.name), to_weft(Y, device.name), p))
    np.testing.assert_allclose(got, expected(p), rtol=2e-6)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("p", SIGNED_ORDERS)
def test_norms(device: Any, name: str, p: float) -> None:
    """The value of each norm for each order, zeros among the elements."""
    got = from_weft(NORMS[name](to_weft(X, device.name), p))
    np.testing.assert_allclose(got, p_norm(X, p), rtol=2e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_gradients_at_zero_elements(device: Any, p: float) -> None:
    """An element that is 0, and a vector of zeros, get the gradient that PyTorch gives them, for every function."""
    torch = pytest.importorskip("torch")
    given = np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]], "float32")
    for ours, theirs in (
        (lambda x: wf.linalg.vector_norm(x, p, 1), lambda x: torch.linalg.vector_norm(x, p, 1)),
        (lambda x: F.normalize(x, p, 1), lambda x: torch.nn.functional.normalize(x, p, 1)),
        (
            lambda x: F.pairwise_distance(x, x.detach() * 0, p, 0.0),
            lambda x: torch.nn.functional.pairwise_distance(x, x.detach() * 0, p, 0.0),
        ),
    ):
        x, own = to_weft(given, device.name, True), torch.tensor(given, requires_grad=True)
        ours(x).sum().backward()
        theirs(own).sum().backward()
        np.testing.assert_allclose(from_weft(x.grad), own.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_total_norm_of_half_gradients(device: Any, p: float) -> None:
    """float16 gradients whose powers leave float16 have the norm that float32 gives them."""
    given = np.full((4, 16), 300.0, "float16")
    total = utils.get_total_norm([to_weft(given, device.name)] * 2, p)
    np.testing.assert_allclose(from_weft(total), p_norm(np.stack([given, given]), p, None), rtol=1e-5)
