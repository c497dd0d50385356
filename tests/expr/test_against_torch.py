"""Values and gradients of the functions that PyTorch has too, at ties, edges and special values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.expr.arithmetic import EDGES, run
from weft.dtypes import float32, float64
from weft.expr import call, differentiate, evaluate, variable

UNARY: dict[str, Callable[[Any], Any]] = {
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p,
    "log2": torch.log2, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "sin": torch.sin, "cos": torch.cos,
    "erf": torch.erf, "square": torch.square, "rsqrt": torch.rsqrt, "relu": torch.relu, "sqrt": torch.sqrt,
    "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus, "abs": torch.abs,
    "gelu": torch.nn.functional.gelu, "neg": torch.neg, "reciprocal": torch.reciprocal, "tan": torch.tan,
    "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc, "round": torch.round,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": torch.maximum, "minimum": torch.minimum, "pow": torch.pow, "mod": torch.remainder, "fmod": torch.fmod,
    "floordiv": torch.floor_divide, "div": torch.div, "copysign": torch.copysign,
}  # fmt: skip
TAME = np.concatenate([np.linspace(-3, 3, 61), [0.5, 1.0, -1.0]])  # 0, ties and halves among them


@pytest.mark.parametrize("name", UNARY)
def test_special_values_are_those_of_torch(name: str) -> None:
    x = EDGES[np.abs(EDGES) < 1e38] if name == "gelu" else EDGES  # torch's gelu(inf) is nan
    got = run(call(name, variable("x", float32)), {"x": x}, fused=False)
    expected = UNARY[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=1e-6 if name == "gelu" else 2e-7)


@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_pairs_are_those_of_torch(name: str) -> None:
    x, y = (np.ascontiguousarray(grid.ravel()) for grid in np.meshgrid(EDGES, EDGES))
    got = run(call(name, variable("x", float32), variable("y", float32)), {"x": x, "y": y}, fused=False)
    expected = BINARY[name](torch.from_numpy(x), torch.from_numpy(y)).numpy()
    if name in QUOTIENTS:  # torch's remainder of a long quotient is not exact; NumPy's is
        with np.errstate(all="ignore"):
            long = np.isfinite(x) & np.isfinite(y) & (y != 0) & (np.abs(x / y) >= 2**21)
            expected = np.where(long, QUOTIENTS[name](x, y), expected)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-45)


QUOTIENTS: dict[str, Callable[..., Any]] = {
    "mod": np.remainder, "fmod": np.fmod, "floordiv": np.floor_divide
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_gradients_are_those_of_torch(name: str) -> None:
    x = np.abs(TAME) if name in ("log", "log2", "log1p", "sqrt", "rsqrt") else TAME
    given = torch.tensor(x, requires_grad=True)
    UNARY[name](given).sum().backward()
    slope = differentiate(call(name, variable("x", float64)), variable("x", float64), variable("g", float64))
    got = np.zeros_like(x) if slope is None else evaluate(slope, {"x": x, "g": 1.0})
    assert given.grad is not None
    np.testing.assert_allclose(np.broadcast_to(got, x.shape), given.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in BINARY if name != "floordiv"])
def test_gradients_of_pairs_are_those_of_torch(name: str) -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(TAME, TAME))
    if name == "pow":
        x = np.abs(x)
    if name in ("div", "mod", "fmod"):
        x, y = x[y != 0], y[y != 0]
    given = [torch.tensor(values, requires_grad=True) for values in (x, y)]
    BINARY[name](*given).sum().backward()
    a, b, g = (variable(letter, float64) for letter in "xyg")
    for argument, tensor in zip((a, b), given, strict=True):
        slope = differentiate(call(name, a, b), argument, g)
        got = np.zeros_like(x) if slope is None else evaluate(slope, {"x": x, "y": y, "g": 1.0})
        expected = np.zeros_like(x) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(np.broadcast_to(got, x.shape), expected, rtol=1e-9, atol=1e-12)


def test_clamp_and_its_gradients_are_those_of_torch() -> None:
    x, low, high = (grid.ravel() for grid in np.meshgrid([-2, -1, 0, 1, 2.5], [-1, 0, 2.0], [-0.5, 1, 2.0]))
    given = [torch.tensor(values, requires_grad=True) for values in (x, low, high)]
    result = torch.clamp(*given)
    result.sum().backward()
    names = [variable(name, float64) for name in ("x", "low", "high")]
    at = {"x": x, "low": low, "high": high, "g": 1.0}
    root = call("clamp", *names)
    np.testing.assert_array_equal(evaluate(root, at), result.detach().numpy())
    for argument, tensor in zip(names, given, strict=True):
        slope = differentiate(root, argument, variable("g", float64))
        assert slope is not None
        assert tensor.grad is not None
        np.testing.assert_array_equal(evaluate(slope, at), tensor.grad.numpy(), str(argument))
