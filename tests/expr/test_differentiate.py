"""Derivatives of expressions against central differences in float64."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from weft import dtypes
from weft.dtypes import float32, float64, int32
from weft.errors import ExpressionError
from weft.expr import FUNCTIONS, Expr, call, cast, differentiate, evaluate, parse, variable, walk
from weft.expr.functions.table import Function

X, Y, G = (variable(name, float64) for name in "xyg")

DOMAINS: dict[str, tuple[float, float]] = {
    "log": (0.1, 5), "log2": (0.1, 5), "log10": (0.1, 5), "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atanh": (-0.9, 0.9),
    "acosh": (1.1, 5), "log1p": (-0.9, 5), "sqrt": (0.1, 5), "rsqrt": (0.1, 5), "pow": (0.1, 3),
    "div": (0.3, 3), "reciprocal": (0.3, 3), "fmod": (0.3, 3), "mod": (0.3, 3), "tan": (-1.2, 1.2),
    "zeta": (1.2, 3), "hurwitz": (1.2, 3), "lgamma": (0.2, 3), "trigamma": (0.3, 3),
}  # fmt: skip
"""Where a function is smooth, if that is not all of [-3, 3]."""

STEPWISE = {"floor", "ceil", "trunc", "round", "sign", "floordiv"}
DIFFERENTIABLE = sorted(
    name
    for name, row in FUNCTIONS.items()
    if "f" in row.kinds and row.result == "same" and not row.single and (row.derivative or not row.double)
)


def numeric(root: Expr, at: dict[str, Any], name: str, step: float = 1e-6) -> Any:
    above, below = ({**at, name: at[name] + sign * step} for sign in (1, -1))
    return (evaluate(root, above) - evaluate(root, below)) / (2 * step)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_rule_is_the_slope(name: str) -> None:
    function = FUNCTIONS[name]
    low, high = DOMAINS.get(name, (-3, 3))
    random = np.random.default_rng(4)
    at = {parameter: random.uniform(low, high, 300) for parameter in function.parameters}
    if name == "where":
        at["c"] = random.uniform(size=300) < 0.5
    args = [variable(p, dtypes.bool_ if p == "c" else float64) for p in function.parameters]
    root = call(name, *args)
    for argument in args:
        if argument.dtype is not float64:
            continue
        slope = differentiate(root, argument, G)
        expected = numeric(root, at, str(argument.data))
        smooth = np.abs(expected) < 1e3  # a step between the two points makes a difference of 1e6
        if slope is None:
            np.testing.assert_array_equal(expected[smooth], 0)
            assert name in STEPWISE or name == "copysign"
            continue
        got = np.broadcast_to(evaluate(slope, {**at, "g": 2.0}), 300)
        np.testing.assert_allclose(got[smooth], 2 * expected[smooth], rtol=2e-6, atol=2e-7)
        assert np.mean(smooth) > 0.9


SMOOTH_UNARY = ("neg", "sin", "cos", "tanh", "sigmoid", "square", "softplus", "silu", "erf", "gelu")


def smooth(depth: int) -> st.SearchStrategy[Expr]:
    """Expressions that are smooth everywhere, with shared parts, in x and y."""
    leaf = st.sampled_from([X, Y, X * 0.5, Y + 1.0])
    if depth == 0:
        return leaf
    smaller = smooth(depth - 1)
    return st.one_of(
        leaf,
        st.builds(lambda name, a: call(name, a), st.sampled_from(SMOOTH_UNARY), smaller),
        st.builds(
            lambda name, a, b: call(name, a, b), st.sampled_from(["add", "sub", "mul"]), smaller, smaller
        ),
        st.builds(lambda a: a * a + call("tanh", a), smaller),
    )


@given(smooth(4), st.integers(0, 2**31))
def test_derivatives_of_random_expressions_are_their_slopes(root: Expr, seed: int) -> None:
    random = np.random.default_rng(seed)
    at = {"x": random.uniform(-1, 1, 20), "y": random.uniform(-1, 1, 20)}
    tame = np.abs(np.broadcast_to(evaluate(root, at), 20)) < 1e3
    for name in "xy":
        slope = differentiate(root, variable(name, float64), G)
        expected = np.broadcast_to(numeric(root, at, name), 20)
        got = np.broadcast_to(0.0 if slope is None else evaluate(slope, {**at, "g": 1.0}), 20)
        scale = 1 + np.abs(expected)
        np.testing.assert_allclose(got[tame] / scale[tame], expected[tame] / scale[tame], atol=1e-5)


def test_gradients_of_gradients() -> None:
    root = parse("tanh(x) * x ** 3", {"x": float64})
    first = differentiate(root, X, parse("1.0 + g * 0", {"g": float64}))
    assert first is not None
    second = differentiate(first, X, G)
    assert second is not None
    at = {"x": np.linspace(-2, 2, 50), "g": 1.0}
    np.testing.assert_allclose(evaluate(second, at), numeric(first, at, "x"), rtol=1e-6, atol=1e-7)


def test_what_is_constant_almost_everywhere_passes_nothing_on() -> None:
    for source in (
        "floor(x)",
        "float64(x > 0.5)",
        "float64(int32(x))",
        "sign(x) + y",
        "where(x > 0, y, 1.0)",
        "y",
    ):
        assert differentiate(parse(source, {"x": float64, "y": float64}), X, G) is None


def test_values_keep_their_types_through_casts() -> None:
    wide = variable("w", float32)
    slope = differentiate(cast(wide, float64) * X, wide, G)
    assert slope is not None
    assert slope.dtype is float32
    assert repr(slope) == "float32(mul(g, x))"


def test_a_part_used_often_is_differentiated_once() -> None:
    root = X
    for _ in range(60):
        root = root * root
    slope = differentiate(root, X, G)
    assert slope is not None
    assert len(list(walk(slope))) < 400
    assert float(evaluate(slope, {"x": 1.0, "g": 1.0})) == 2.0**60


def test_a_definition_without_a_rule_is_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Function(
        "hump", ("x", "y"), "f", lambda x, y: x * np.exp(-x * x) * y, definition="x * exp(-x * x) * y"
    )
    monkeypatch.setitem(FUNCTIONS, "hump", row)
    at = {"x": np.linspace(-2, 2, 50), "y": np.linspace(1, 3, 50), "g": 1.0}
    for name in "xy":
        slope = differentiate(call("hump", X, Y), variable(name, float64), G)
        assert slope is not None
        np.testing.assert_allclose(
            evaluate(slope, at), numeric(call("hump", X, Y), at, name), rtol=1e-6, atol=1e-8
        )


def test_a_primitive_without_a_rule_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "gamma", Function("gamma", ("x",), "f", "abs", wgsl="gamma({0})"))
    with pytest.raises(
        ExpressionError, match="gamma has no derivative rule; give the op one with derivative="
    ):
        differentiate(call("gamma", X), X, G)


def test_integers_take_no_gradient() -> None:
    n = variable("n", int32)
    assert differentiate(cast(n, float64) * X, n, G) is None
