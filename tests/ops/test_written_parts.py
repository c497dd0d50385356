"""``fill_diagonal_`` with ``wrap``, ``put_``, and mistakes of functions that write parts or count, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ShapeError, WeftError


@pytest.mark.parametrize("shape", [(9, 3), (3, 9), (4, 4), (8, 3), (1, 3)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal_of_every_shape(device: Any, shape: tuple[int, int], wrap: bool) -> None:
    found = wf.zeros(*shape, device=device.name)
    assert found.fill_diagonal_(2.0, wrap) is found
    np.testing.assert_array_equal(found.numpy(), torch.zeros(*shape).fill_diagonal_(2.0, wrap).numpy())


def test_put_writes_in_place(device: Any) -> None:
    index, source = np.array([[0, 5], [-1, 2]]), np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    for accumulate in (False, True):
        found = wf.ones(2, 4, device=device.name)
        places = [wf.tensor(value, device=device.name) for value in (index, source)]
        expected = torch.ones(2, 4).put_(torch.tensor(index), torch.tensor(source), accumulate=accumulate)
        np.testing.assert_array_equal(found.put_(*places, accumulate=accumulate).numpy(), expected.numpy())


MISTAKES: dict[str, tuple[Callable[[], Any], type[WeftError], str]] = {
    "part": (lambda: wf.slice_scatter(wf.zeros(4), wf.ones(3), end=2), ShapeError, r"\(2,\), the part's"),
    "step": (lambda: wf.slice_scatter(wf.zeros(4), wf.ones(4), step=0), ArgumentError, "step is 0"),
    "index": (lambda: wf.select_scatter(wf.zeros(2, 2), wf.ones(2), 0, 2), ArgumentError, "index is 2"),
    "diagonal": (lambda: wf.zeros(2, 3, 2).fill_diagonal_(1), ShapeError, "one size"),
    "pieces": (lambda: wf.hsplit(wf.zeros(2, 5), 2), ShapeError, "divisor"),
    "rank": (lambda: wf.dsplit(wf.zeros(2, 5), 2), ShapeError, "3-dimensional"),
    "bins": (lambda: wf.histc(wf.zeros(2), 0), ArgumentError, "bins is 0"),
    "bounds": (lambda: wf.histc(wf.zeros(2), 4, 2, 1), ArgumentError, "in order"),
    "choices": (lambda: wf.combinations(wf.zeros(2), -1), ArgumentError, "r is -1"),
    "power": (lambda: wf.pdist(wf.zeros(2, 2), -1.0), ArgumentError, "p is -1"),
    "margin": (lambda: wf.nn.MultiMarginLoss(p=3), ArgumentError, "p is 3"),
    "classes": (lambda: wf.nn.MultiMarginLoss()(wf.zeros(2, 3), wf.tensor([1])), ShapeError, "shapes"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, error, text = MISTAKES[name]
    with pytest.raises(error, match=text):
        call()
