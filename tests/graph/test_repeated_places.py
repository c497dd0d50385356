"""Compiled folds into places that several indices name: each index counts once, as in NumPy, whatever is fused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf

F = wf.nn.functional
PLACES, COUNT, WIDTH = 11, 24, 8
FOLDS: dict[str, tuple[Callable[[Any, Any, Any], Any], Any]] = {
    "index_put": (lambda x, at, y: x.index_put((at,), y, accumulate=True), numpy.add),
    "index_add": (lambda x, at, y: x.index_add(0, at, y), numpy.add),
    "prod": (lambda x, at, y: x.index_reduce(0, at, y, "prod"), numpy.multiply),
    "amax": (lambda x, at, y: x.index_reduce(0, at, y, "amax"), numpy.maximum),
    "scatter_add": (lambda x, at, y: x.scatter_add(0, at[:, None].expand(COUNT, WIDTH), y), numpy.add),
    "after an op": (lambda x, at, y: (x + 1.0).index_put((at,), y * 2.0, accumulate=True), None),
    "before an op": (lambda x, at, y: x.index_put((at,), y, accumulate=True) * 2.0, None),
}


def drawn(dtype: str) -> tuple[Any, Any, Any]:
    """Whole numbers, of which sums and products are exact in every type."""
    draw = numpy.random.default_rng(0)
    kind = "float32" if dtype == "bfloat16" else dtype
    x, y = draw.integers(1, 3, (PLACES, WIDTH)), draw.integers(1, 3, (COUNT, WIDTH))
    return x.astype(kind), draw.integers(0, PLACES, COUNT), y.astype(kind)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
@pytest.mark.parametrize("name", FOLDS)
def test_each_index_counts_once(device: Any, name: str, dtype: str) -> None:
    if not device.supports(getattr(wf, dtype)):
        pytest.skip("the device has no such type")
    fold, ufunc = FOLDS[name]
    x, at, y = drawn(dtype)
    expected = x.copy() + (name == "after an op")
    (ufunc or numpy.add).at(expected, at, y * 2 if name == "after an op" else y)
    expected = expected * 2 if name == "before an op" else expected
    given = [wf.tensor(value, device=device.name) for value in (x, at, y)]
    given = [value.to(getattr(wf, dtype)) if value.dtype.kind == "float" else value for value in given]
    found = wf.jit(fold)(*given)
    numpy.testing.assert_array_equal(found.float().cpu().numpy(), expected.astype("float32"))


def test_the_gradient_of_an_embedding(device: Any) -> None:
    _, at, y = drawn("float32")

    @wf.jit
    def gradient(weight: Any, at: Any, y: Any) -> Any:
        weight.grad = None
        (F.embedding(at, weight) * y).sum().backward()
        found, weight.grad = weight.grad, None
        return found

    weight = wf.zeros(PLACES, WIDTH, device=device.name, requires_grad=True)
    found = gradient(weight, wf.tensor(at, device=device.name), wf.tensor(y, device=device.name))
    expected = numpy.zeros((PLACES, WIDTH), numpy.float32)
    numpy.add.at(expected, at, y)
    numpy.testing.assert_array_equal(found.cpu().numpy(), expected)
