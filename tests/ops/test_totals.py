"""int64 totals on devices that keep int64 in 32 bits: right, or reported at the next read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import NumberRangeError

FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda T, x: x.sum(-1),
    "prod": lambda T, x: x.prod(-1),
    "prod of all": lambda T, x: x.prod(),
    "cumsum": lambda T, x: x.cumsum(-1),
    "cumprod": lambda T, x: T.cumprod(x, 1),
    "matmul": lambda T, x: x @ x.T,
    "mv": lambda T, x: x @ x[0],
    "dot": lambda T, x: T.dot(x[0], x[1]),
    "einsum": lambda T, x: T.einsum("ij,kj->ik", x, x),
}
NUMBERS = {
    "small": [[3, -2, 5], [1, 4, -6]],
    "near the ends": [[46340, 1, 1], [1, 46340, 1]],
    "sums beyond": [[2**31 - 1, 2**31 - 1, 5], [1, 2, -(2**31)]],
    "products beyond": [[65536, 65536, 1], [-70000, 70000, 3]],
    "multiples of 2**32": [[65536, 65536, 1], [1, 65536, 1]],
    "zeros behind": [[2**30, 2**30, 0], [2**30, 0, 2**30]],
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", FOLDS)
def test_totals_are_right_or_reported(device: Any, name: str, numbers: str) -> None:
    expected = FOLDS[name](torch, torch.tensor(NUMBERS[numbers]))
    x = wf.tensor(NUMBERS[numbers], device=device.name)
    got = FOLDS[name](wf, x)
    wide = x.element_size() == 8
    if wide or int(expected.abs().max()) < 2**31:
        assert got.tolist() == expected.tolist()
    else:
        with pytest.raises(NumberRangeError, match="32 bits"):
            got.tolist()
    assert wf.ones(2, device=device.name).tolist() == [1, 1]


def test_long_totals_are_checked(device: Any) -> None:
    """Reductions in blocks and in pieces, along rows and columns."""
    draw = np.random.default_rng(1)
    for shape, dim in (((3, 5000), 1), ((5000, 3), 0)):
        small = draw.integers(-50, 50, shape)
        x = wf.tensor(small, device=device.name)
        np.testing.assert_array_equal(x.cumsum(dim).numpy(), small.cumsum(dim))
        large = wf.tensor(np.full(shape, 2**20), device=device.name)
        for call in (lambda x, dim=dim: x.cumsum(dim), lambda x, dim=dim: x.prod(dim)):
            if large.element_size() == 8:
                call(large).tolist()
                continue
            with pytest.raises(NumberRangeError, match="32 bits"):
                call(large).tolist()


def test_compiled_totals_are_reported(device: Any) -> None:
    x = wf.tensor(NUMBERS["sums beyond"], device=device.name)
    step = wf.jit(lambda x: (x.cumsum(1), x @ x.T))
    if x.element_size() == 8:
        exact = torch.tensor(NUMBERS["sums beyond"])
        assert step(x)[0].tolist() == exact.cumsum(1).tolist()
    else:
        with pytest.raises(NumberRangeError, match="32 bits"):
            step(x)[0].tolist()
