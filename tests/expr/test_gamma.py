"""The gamma function's logarithm, its derivatives and the Hurwitz zeta function against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from tests.expr.arithmetic import run, ulps
from weft import dtypes
from weft.expr import FUNCTIONS, call, variable

DRAW = np.random.default_rng(5)
NEAR = np.concatenate([root + DRAW.uniform(-w, w, 200) for root in (1, 2) for w in (1e-6, 1e-3, 0.2)])
POSITIVE = np.concatenate(
    [DRAW.uniform(0, 5, 500), DRAW.uniform(5, 60, 200), np.logspace(-38, 36, 200), NEAR]
)
NEGATIVE = -DRAW.uniform(0.01, 20, 500)
NEGATIVE = NEGATIVE[np.abs(NEGATIVE - np.round(NEGATIVE)) > 1e-2]
SLOW = {"lgamma": lambda x: mpmath.log(abs(mpmath.gamma(x))) if x < 1e4 else mpmath.loggamma(x),
        "digamma": mpmath.digamma, "trigamma": lambda x: mpmath.polygamma(1, x)}  # fmt: skip


def exact(function: Any, *values: Any) -> Any:
    """Return the function by mpmath, as longdouble."""
    found = [
        mpmath.nstr(function(*(mpmath.mpf(float(v)) for v in row)), 25) for row in zip(*values, strict=True)
    ]
    return np.array(found).astype("longdouble")


def defined(name: str, fused: bool, **values: Any) -> Any:
    """Return the definition in float32, operation by operation."""
    return run(
        call(name, *[variable(key, dtypes.float32) for key in FUNCTIONS[name].parameters]), values, fused
    )


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
def test_lgamma_is_accurate_above_0_and_at_its_roots(fused: bool) -> None:
    x = POSITIVE.astype("float32")
    with mpmath.workdps(60):
        reference = exact(SLOW["lgamma"], x)
    error = ulps(defined("lgamma", fused, x=x), reference)
    worst = int(np.argmax(error))
    assert error[worst] <= FUNCTIONS["lgamma"].accuracy, f"at {x[worst]!r}"


@pytest.mark.parametrize("name", SLOW)
def test_below_0(name: str) -> None:
    x = NEGATIVE.astype("float32")
    reference = exact(SLOW[name], x)
    error = np.abs(defined(name, False, x=x) - reference) / np.maximum(np.abs(reference), 1)
    assert error.max() < 3e-5 if name == "digamma" else error.max() < 2e-6


@pytest.mark.parametrize("name", SLOW)
def test_the_references(name: str) -> None:
    x = np.concatenate([POSITIVE[:300], NEGATIVE[:300]])
    reference = exact(SLOW[name], x).astype("float64")
    np.testing.assert_allclose(FUNCTIONS[name].numpy(x), reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("s", [2, 3, 4, 7, 12])
def test_zeta_of_whole_orders(s: int) -> None:
    q = np.concatenate([POSITIVE[:300], NEGATIVE]).astype("float32")
    q = q[np.abs(q) > 0.05]
    whole = np.full_like(q, s)

    def of(s: Any, q: Any) -> Any:
        return mpmath.polygamma(int(s) - 1, q) * (-1) ** int(s) / mpmath.factorial(int(s) - 1)

    reference = exact(of, whole, q)
    error = np.abs(defined("zeta", False, s=whole, q=q) - reference) / np.abs(reference)
    sum_of_sizes = np.array([float(abs(mpmath.zeta(s, v - mpmath.floor(v)))) for v in q.astype("float64")])
    near_root = np.abs(reference) < 1e-2 * sum_of_sizes
    assert error[~near_root | (q > 0)].max() < 2e-5
    np.testing.assert_allclose(FUNCTIONS["zeta"].numpy(whole, q), reference.astype("float64"), rtol=1e-8)


def test_zeta_elsewhere() -> None:
    s, q = np.array([1.5, 2.5, 1.0001], "float32"), np.array([0.3, 4.0, 2.0], "float32")
    reference = exact(mpmath.zeta, s, q)
    np.testing.assert_allclose(defined("zeta", False, s=s, q=q), reference.astype("float64"), rtol=1e-5)
    s = np.array([1.0, 0.5, 3.0, 2.5, 2.0], "float32")
    q = np.array([2.0, 2.0, -2.0, -0.5, np.nan], "float32")
    np.testing.assert_array_equal(defined("zeta", False, s=s, q=q), [np.inf, np.nan, np.inf, np.nan, np.nan])
