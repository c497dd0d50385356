"""Gradients where a function has no derivative, against PyTorch: beside NaN, among equal elements, of no elements, at 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf

NAN = float("nan")
FIRST, SECOND = [1.0, NAN, 2.0, NAN, 3.0, 0.0, 4.0], [NAN, 1.0, 2.0, NAN, 1.0, 5.0, 4.0]
LOGITS = [[1.0, 2.0, 3.0], [2.0, 1.0, 0.0]]
Make = Callable[[Any], Any]


def _smoothed(T: Any, t: Make, targets: list[int], **options: Any) -> Any:
    return T.nn.functional.cross_entropy(t(LOGITS), t(targets), label_smoothing=0.2, **options)


CASES: dict[str, Callable[[Any, Make], Any]] = {
    "maximum": lambda T, t: T.maximum(t(FIRST), t(SECOND)),
    "minimum": lambda T, t: T.minimum(t(FIRST), t(SECOND)),
    "fmax": lambda T, t: T.fmax(t(FIRST), t(SECOND)),
    "fmin": lambda T, t: T.fmin(t(FIRST), t(SECOND)),
    "max of two": lambda T, t: T.max(t(FIRST), t(SECOND)),
    "median": lambda T, t: t([2.0, 1.0, 2.0, 2.0, 5.0]).median(),
    "median of NaN": lambda T, t: t([2.0, NAN, 2.0, NAN, 5.0]).median(),
    "median along": lambda T, t: t([[2.0, 1.0, 2.0, 2.0, 5.0], [3.0] * 5]).median(1)[0],
    "nanmedian": lambda T, t: t([2.0, 1.0, 2.0, 2.0, NAN]).nanmedian(),
    "smoothing, all ignored": lambda T, t: _smoothed(T, t, [-100, -100]),
    "smoothing, sum of all ignored": lambda T, t: _smoothed(T, t, [-100, -100], reduction="sum"),
    "smoothing, weighted, all ignored": lambda T, t: _smoothed(T, t, [-100, -100], weight=t([1.0, 2.0, 3.0]).detach()),
    "smoothing, some ignored": lambda T, t: _smoothed(T, t, [-100, 1]),
    "smoothing, some ignored, each": lambda T, t: _smoothed(T, t, [-100, 1], reduction="none"),
    "index_fill": lambda T, t: T.index_fill(t([1.0, 2.0, 3.0]), 0, t([1, 1, 0]), t(5.0)),
    "index_fill_": lambda T, t: (t([1.0, 2.0, 3.0]) * 1).index_fill_(0, t([1, 1, 0]), t(5.0)),
    "index_fill of columns": lambda T, t: T.index_fill(t([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 1, t([1, 1, 0]), t(5.0)),
    "index_fill by a number": lambda T, t: T.index_fill(t([[1.0, 2.0, 3.0]]), 1, t([1, 1, 0]), 5.0),
    "std": lambda T, t: t([2.0, 2.0, 2.0]).std(),
    "std along": lambda T, t: t([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]).std(1),
    "var": lambda T, t: t([2.0, 2.0, 2.0]).var(),
    "amax": lambda T, t: t([1.0, NAN, 3.0, NAN]).amax(),
    "amin": lambda T, t: t([1.0, NAN, 3.0, NAN]).amin(),
    "amax along": lambda T, t: t([[1.0, NAN, 3.0, NAN], [4.0, 1.0, 4.0, 0.0]]).amax(1),
    "amin along": lambda T, t: t([[1.0, NAN, 3.0, NAN], [1.0, 1.0, 4.0, 2.0]]).amin(1),
    "amax of all": lambda T, t: t([[1.0, NAN], [NAN, 2.0]]).amax((0, 1), keepdim=True),
    "aminmax": lambda T, t: T.aminmax(t([1.0, NAN, 3.0, NAN]))[0],
    "max": lambda T, t: t([1.0, NAN, 3.0, NAN]).max(),
    "min": lambda T, t: t([1.0, NAN, 3.0, NAN]).min(),
    "max among equals": lambda T, t: t([1.0, 3.0, 3.0, 2.0]).max(),
    "max along": lambda T, t: t([[1.0, NAN, 3.0, NAN]]).max(1)[0],
    "logsumexp": lambda T, t: T.logsumexp(t([1.0, NAN]), 0),
}  # fmt: skip


def _run(call: Callable[[Any, Make], Any], T: Any, on: dict[str, Any]) -> list[Any]:
    """Return the result, and the gradients of the floating point operands with a different weight for each element."""
    leaves: list[Any] = []

    def make(values: Any) -> Any:
        floating = np.asarray(values).dtype.kind == "f"
        made = T.tensor(values, requires_grad=floating, **on)
        if floating:
            leaves.append(made)
        return made

    result = call(T, make)
    weights = np.arange(1, 1 + result.numel(), dtype="float32").reshape(tuple(result.shape))
    (result * T.tensor(weights, **on)).sum().backward()
    return [result.tolist(), *(leaf.grad.tolist() for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("name", CASES)
def test_gradients_without_a_derivative(device: Any, name: str) -> None:
    expected = _run(CASES[name], torch, {})
    got = _run(CASES[name], wf, {"device": device.name})
    assert len(got) == len(expected)
    for own, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-6)
