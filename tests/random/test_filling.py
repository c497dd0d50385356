"""In-place draws of ``Tensor``: distributions, types, history and mistakes; and ``multinomial``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.errors import ArgumentError, DTypeError, GradError, ShapeError

COUNT = 20_000
EXPECTED: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "uniform_": (lambda x: x.uniform_(-1.0, 3.0), 1.0, 4.0 / math.sqrt(12)),
    "normal_": (lambda x: x.normal_(2.0, 0.5), 2.0, 0.5),
    "exponential_": (lambda x: x.exponential_(4.0), 0.25, 0.25),
    "log_normal_": (lambda x: x.log_normal_(0.0, 0.5).log_(), 0.0, 0.5),
    "cauchy_": (lambda x: x.cauchy_(1.0, 2.0).sub_(1.0).div_(2.0).atan_(), 0.0, math.pi / math.sqrt(12)),
    "geometric_": (lambda x: x.geometric_(0.25), 4.0, math.sqrt(0.75) / 0.25),
    "bernoulli_": (lambda x: x.bernoulli_(0.3), 0.3, math.sqrt(0.21)),
    "random_": (lambda x: x.random_(10, 20), 14.5, math.sqrt(99 / 12)),
    "random_ up to": (lambda x: x.random_(11), 5.0, math.sqrt(120 / 12)),
}
"""Each draw with its mean and standard deviation."""


@pytest.mark.parametrize("name", EXPECTED)
def test_draws_have_their_mean_and_deviation(device: Any, name: str) -> None:
    draw, mean, deviation = EXPECTED[name]
    wf.manual_seed(3)
    x = wf.zeros(COUNT, device=device.name)
    assert draw(x) is x
    values = x.numpy()
    assert abs(values.mean() - mean) < 5 * deviation / math.sqrt(COUNT)
    assert abs(values.std() - deviation) < 0.06 * deviation
    wf.manual_seed(3)
    assert np.array_equal(draw(wf.zeros(COUNT, device=device.name)).numpy(), values)


def test_whole_numbers_of_other_types(device: Any) -> None:
    for dtype, least, most in (
        (wf.int16, 0, 32767),
        (wf.int8, 0, 127),
        (wf.uint8, 0, 255),
        (wf.bool, 0, 1),
        (wf.float16, 0, 2048),
    ):
        values = wf.zeros(2000, dtype=dtype, device=device.name).random_().numpy().astype("float64")
        assert least <= values.min() < least + 0.1 * (most + 10)
        assert most - 0.1 * (most + 10) < values.max() <= most
    assert set(wf.zeros(99, dtype=wf.int64, device=device.name).random_(2).tolist()) == {0, 1}
    assert set(wf.zeros(99, dtype=wf.int32, device=device.name).bernoulli_(1.0).tolist()) == {1}


def test_chances_may_be_a_tensor(device: Any) -> None:
    chances = wf.tensor([0.0, 1.0], device=device.name)
    assert wf.empty(3, 2, device=device.name).bernoulli_(chances).tolist() == [[0, 1]] * 3
    assert chances.bernoulli().tolist() == [0, 1]
    assert chances.bernoulli(1.0).tolist() == [1, 1]


def test_history_is_as_of_every_write(device: Any) -> None:
    leaf = wf.ones(3, device=device.name, requires_grad=True)
    with pytest.raises((GradError, RuntimeError), match="leaf"):
        leaf.normal_()
    with wf.no_grad():
        leaf.uniform_()
    twice = leaf * 2
    twice.normal_()
    twice.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0, 0, 0]


def test_mistakes_are_told_and_change_nothing() -> None:
    x, count = wf.ones(2), wf.ones(2, dtype=wf.int32)
    for wrong in (lambda: x.uniform_(2.0, 1.0), lambda: x.normal_(0.0, -1.0), lambda: x.exponential_(0.0),
                  lambda: x.geometric_(1.0), lambda: x.bernoulli_(1.5), lambda: x.random_(5, 5), lambda: x.cauchy_(0.0, 0.0),
                  lambda: x.log_normal_(0.0, 0.0), lambda: x.long().random_(), lambda: x.bernoulli_(wf.ones(3, 2))):  # fmt: skip
        with pytest.raises(ArgumentError):
            wrong()
    for draw in (count.uniform_, count.normal_, count.exponential_):
        with pytest.raises(DTypeError):
            draw()
    assert x.tolist() == [1, 1]
    assert count.tolist() == [1, 1]


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_draws_by_weight(device: Any, replacement: bool) -> None:
    wf.manual_seed(1)
    weights = wf.tensor([0.0, 1.0, 3.0, 0.0, 4.0, 0.0], device=device.name)
    rows = weights.expand(4000, 6)
    first = wf.multinomial(rows, 2, replacement)
    assert first.dtype is wf.int64
    found = first.numpy()
    shares = np.bincount(found[:, 0], minlength=6) / 4000
    assert np.abs(shares - np.array([0, 1, 3, 0, 4, 0]) / 8).max() < 0.03
    if replacement:
        assert (
            np.abs(np.bincount(found[:, 1], minlength=6) / 4000 - np.array([0, 1, 3, 0, 4, 0]) / 8).max()
            < 0.03
        )
    else:
        assert (found[:, 0] != found[:, 1]).all()
        assert set(found.reshape(-1).tolist()) == {1, 2, 4}
    assert weights.multinomial(3).sort().values.tolist() == [1, 2, 4]


def test_multinomial_refuses(device: Any) -> None:
    def of(*values: float) -> Any:
        return wf.tensor(list(values), device=device.name)

    for weights, count, again in ((of(1.0, -1.0), 1, True), (of(0.0, 0.0), 1, True), (of(1.0, 0.0), 2, False), (of(1.0, 2.0), 3, False),
                                  (of(1.0, float("nan")), 1, True), (of(1.0, float("inf")), 1, False), (of(1.0), 0, False)):  # fmt: skip
        with pytest.raises(ArgumentError):
            wf.multinomial(weights, count, again)
    with pytest.raises(ShapeError):
        wf.multinomial(wf.ones(1, 2, 3, device=device.name), 1)
    with pytest.raises(DTypeError):
        wf.multinomial(wf.ones(3, dtype=wf.int64, device=device.name), 1)
    out = wf.zeros(4, dtype=wf.int64, device=device.name)
    assert wf.multinomial(of(0.0, 2.0), 4, True, out=out) is out
    assert out.tolist() == [1, 1, 1, 1]
