"""Writes to expanded tensors: accepted and refused as PyTorch does, with the same values."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import IndexOutOfRangeError, ShapeError

SHAPES = [
    ((1,), (3,)), ((3, 1), (3, 4)), ((), (3,)), ((1, 4), (3, 4)), ((3, 4), (3, 4)), ((2, 1, 4), (2, 3, 4)),
    ((1,), (1,)), ((3, 1, 2), (3, 3, 2)),
]  # fmt: skip
"""Shapes of the base and of the tensor that is expanded from it."""

Write = Callable[[Any, Any, dict[str, Any]], Any]


def _mask(T: Any, x: Any, on: dict[str, Any]) -> Any:
    return T.ones(tuple(x.shape), dtype=T.bool, **on)


def _first(T: Any, on: dict[str, Any]) -> Any:
    return T.tensor([0], **on)


def _row(T: Any, x: Any, on: dict[str, Any]) -> Any:
    return T.ones((1, *x.shape[1:]), **on)


def _corner(T: Any, x: Any, on: dict[str, Any]) -> Any:
    return T.zeros((1,) * x.dim(), dtype=T.int64, **on)


WRITES: dict[str, Write] = {
    "masked_fill_": lambda T, x, on: x.masked_fill_(_mask(T, x, on), 5.0),
    "masked_fill_ of nothing": lambda T, x, on: x.masked_fill_(~_mask(T, x, on), 5.0),
    "masked_fill_ by a tensor": lambda T, x, on: x.masked_fill_(_mask(T, x, on), T.tensor(5.0, **on)),
    "masked_scatter_": lambda T, x, on: x.masked_scatter_(_mask(T, x, on), T.arange(float(x.numel()), **on)),
    "index_fill_": lambda T, x, on: x.index_fill_(0, _first(T, on), 5.0),
    "index_fill_ of the last": lambda T, x, on: x.index_fill_(-1, _first(T, on), T.tensor(5.0, **on)),
    "index_fill_ of nothing": lambda T, x, on: x.index_fill_(0, T.tensor([], dtype=T.int64, **on), 5.0),
    "index_copy_": lambda T, x, on: x.index_copy_(0, _first(T, on), _row(T, x, on)),
    "index_add_": lambda T, x, on: x.index_add_(0, _first(T, on), _row(T, x, on)),
    "index_reduce_": lambda T, x, on: x.index_reduce_(0, _first(T, on), _row(T, x, on), "prod"),
    "index_put_": lambda T, x, on: x.index_put_((_first(T, on),), T.tensor(5.0, **on)),
    "index_put_, added": lambda T, x, on: x.index_put_(
        (_first(T, on),), T.tensor(5.0, **on), accumulate=True
    ),
    "index_put_ by a mask, added": lambda T, x, on: x.index_put_(
        (_mask(T, x, on),), T.tensor(2.0, **on), accumulate=True
    ),
    "scatter_": lambda T, x, on: x.scatter_(0, _corner(T, x, on), 5.0),
    "scatter_add_": lambda T, x, on: x.scatter_add_(0, _corner(T, x, on), T.ones((1,) * x.dim(), **on)),
    "scatter_reduce_": lambda T, x, on: x.scatter_reduce_(
        0, _corner(T, x, on), T.ones((1,) * x.dim(), **on), "amax"
    ),
    "x[tensor] = ": lambda T, x, on: x.__setitem__(_first(T, on), 5.0),
    "x[list] = ": lambda T, x, on: x.__setitem__([0], 5.0),
    "x[mask] = ": lambda T, x, on: x.__setitem__(_mask(T, x, on), 5.0),
    "x[mask] = vector": lambda T, x, on: x.__setitem__(_mask(T, x, on), T.arange(float(x.numel()), **on)),
    "x[number] = ": lambda T, x, on: x.__setitem__(0, 5.0),
    "x[slice] = ": lambda T, x, on: x.__setitem__(slice(None), 5.0),
    "x[...] = ": lambda T, x, on: x.__setitem__(Ellipsis, 5.0),
    "x[slice] = tensor": lambda T, x, on: x.__setitem__(slice(0, 1), T.ones((1,), **on)),
    "fill_": lambda T, x, on: x.fill_(5.0),
    "zero_": lambda T, x, on: x.zero_(),
    "copy_": lambda T, x, on: x.copy_(T.ones(tuple(x.shape), **on)),
    "add_": lambda T, x, on: x.add_(1.0),
    "relu_": lambda T, x, on: x.relu_(),
}


def _tried(write: Write, T: Any, shape: Any, expanded: Any, on: dict[str, Any]) -> Any:
    """Return the base after a write to the expanded tensor, or None where the write is refused."""
    base = T.zeros(shape, **on)
    refusal: type[Exception] = ShapeError if T is wf else RuntimeError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch calls the writes that it accepts deprecated
            write(T, base.expand(*expanded), on)
    except refusal:
        return None
    return base.tolist()


@pytest.mark.parametrize("name", WRITES)
def test_writes_to_expanded_tensors(device: Any, name: str) -> None:
    for shape, expanded in SHAPES:
        expected = _tried(WRITES[name], torch, shape, expanded, {})
        got = _tried(WRITES[name], wf, shape, expanded, {"device": device.name})
        assert got == expected, f"{name} of {shape} expanded to {expanded}"


def test_gradients_through_writes_to_expanded_tensors(device: Any) -> None:
    """The gradients are those of the same write to the base; PyTorch's backward pass refuses."""
    found = []
    for T, on in ((torch, {}), (wf, {"device": device.name})):
        leaf = T.tensor([[1.0, 2.0, 3.0]], requires_grad=True, **on)
        value = T.tensor(2.0, requires_grad=True, **on)
        base = leaf * 2
        target, rows = (base, [0, 0]) if T is torch else (base.expand(2, 3), [0, 1])
        target.index_put_((T.tensor(rows, **on), T.tensor([1, 2], **on)), value)
        (base * T.tensor([3.0, 5.0, 7.0], **on)).sum().backward()
        found.append((base.tolist(), leaf.grad.tolist(), value.grad.tolist()))
    assert found[0] == found[1]


def test_indices_into_nothing_are_refused(device: Any) -> None:
    """Indices into a dimension of size 0 raise at the call, since no kernel runs that would check them."""
    empty, row = wf.zeros(0, 4, device=device.name), wf.tensor([0], device=device.name)
    corner = wf.zeros(1, 4, dtype=wf.int64, device=device.name)
    for call in (
        lambda: empty[row], lambda: empty.index_fill_(0, row, 1.0), lambda: empty.gather(0, corner),
        lambda: empty.scatter_(0, corner, 1.0), lambda: empty.index_put_((row,), wf.tensor(1.0, device=device.name)),
    ):  # fmt: skip
        with pytest.raises(IndexOutOfRangeError):
            call()
    assert tuple(empty[wf.zeros(0, dtype=wf.int64, device=device.name)].shape) == (0, 4)
    np.testing.assert_array_equal(wf.zeros(4, 0, device=device.name)[row].numpy(), np.zeros((1, 0)))
