"""Compiled kernels on WebGPU compute what is written: no constant and no shared part is joined across an operation."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.ops.arrays import from_weft, to_weft
from weft import float32
from weft.expr import parse
from weft.expr.wgsl_exact import joined_operands

Array = Any
VALUES = np.array(
    [1e-9, 3.0, 1e10, -7.25, 1e30, -1e30, 1.0, 16777216.0, 0.1, np.inf, -np.inf, np.nan, 3.3e38, 5.5e-20],
    "float32",
)
CONSTANTS = (1.0, -1.0, 3.0, 1e10, -1e10, 1e30, 1e-30, 0.1, 1e20, -1e20, 2.0**24, 0.3)
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
SUMS, PRODUCTS = "+-", "*/"


def chain(seed: int, signs: str) -> list[tuple[str, float | str]]:
    """Operations on a value, each with a constant, another operand, or the value that the chain began with."""
    draw = np.random.default_rng(seed)
    return [
        (
            str(draw.choice(list(signs))),
            float(draw.choice(CONSTANTS)) if draw.random() < 0.7 else str(draw.choice(["x", "y"])),
        )
        for _ in range(6)
    ]


def computed(steps: list[tuple[str, float | str]], x: Any, y: Any, number: Callable[[float], Any]) -> Any:
    """The chain's value, one operation after another."""
    value = x
    for sign, other in steps:
        value = CALLS[sign](value, {"x": x, "y": y}[other] if isinstance(other, str) else number(other))
    return value


@pytest.mark.parametrize("signs", [SUMS, PRODUCTS], ids=["sums", "products"])
@pytest.mark.parametrize("seed", range(12))
def test_chains_round_after_every_operation(device: Any, seed: int, signs: str) -> None:
    steps = chain(seed, signs)
    x, y = (grid.ravel() for grid in np.meshgrid(VALUES, VALUES))
    with np.errstate(all="ignore"):
        expected = computed(steps, x, y, np.float32)
    a, b = to_weft(x, device.name), to_weft(y, device.name)
    got = from_weft(wf.jit(lambda a, b: computed(steps, a, b, float))(a, b))
    flushed = np.abs(np.nan_to_num(expected)) < 1.2e-38
    if signs == PRODUCTS:  # what a denormal number that may be flushed leads to is not compared
        with np.errstate(all="ignore"):
            for count in range(len(steps)):
                flushed |= np.abs(np.nan_to_num(computed(steps[:count], x, y, np.float32), nan=1.0)) < 1.2e-38
    np.testing.assert_array_equal(got[~flushed], expected[~flushed], err_msg=repr(steps))


WRITTEN: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]]] = {
    "x - x": (lambda x, y: x - x, lambda x, y: x - x),
    "x / x": (lambda x, y: x / x, lambda x, y: x / x),
    "x + -x": (lambda x, y: x + (-x), lambda x, y: x + (-x)),
    "root by root": (lambda x, y: x.sqrt() * x.sqrt(), lambda x, y: np.sqrt(x) * np.sqrt(x)),
    "1 / (1 / x)": (lambda x, y: 1.0 / (1.0 / x), lambda x, y: np.float32(1) / (np.float32(1) / x)),
    "x + y < x": (lambda x, y: (x + y < x).float(), lambda x, y: (x + y < x).astype("float32")),
    "x + 1e10 > 1e10": (lambda x, y: (x + 1e10 > 1e10).float(), lambda x, y: (x + np.float32(1e10) > np.float32(1e10)).astype("float32")),
    "product of scaled": (lambda x, y: (x * 1e20) * (y * 1e-20), lambda x, y: (x * np.float32(1e20)) * (y * np.float32(1e-20))),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_forms_that_algebra_would_change(device: Any, name: str) -> None:
    mine, own = WRITTEN[name]
    x, y = (grid.ravel() for grid in np.meshgrid(VALUES, VALUES))
    with np.errstate(all="ignore"):
        expected = own(x, y)
    got = from_weft(wf.jit(mine)(to_weft(x, device.name), to_weft(y, device.name)))
    whole = np.abs(np.nan_to_num(expected, nan=1.0, posinf=1.0, neginf=1.0)) >= 1.2e-38
    whole |= expected == 0
    np.testing.assert_allclose(got[whole], expected[whole], rtol=2e-7, err_msg=name)


def test_sums_of_products_keep_their_overflow(device: Any) -> None:
    """``a * b + a * c`` is no ``a * (b + c)``: of these the first is inf - inf or inf, the second 0 or finite."""
    a, b, c = (to_weft(np.array([value] * 5, "float32"), device.name) for value in (1e30, 1e30, -1e30))
    got = from_weft(wf.jit(lambda a, b, c: a * b + a * c)(a, b, c))
    assert not np.isfinite(got).any()


def test_plain_forms_hide_nothing() -> None:
    """Expressions with one constant, or without common parts, are left to the driver."""
    types = {"x": float32, "y": float32, "z": float32}
    for text in ("x + 1.0", "x * 2.0", "x * y + z", "x * 2.0 + y", "x < 1.0", "x / 3.0", "maximum(x, 0.0)"):
        assert joined_operands(parse(text, types)) == [], text
