"""Methods that change a tensor's own shape: shapes, memory, gradients and errors against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import weft as wf
from weft.errors import GradError, ShapeError

FORMS: dict[str, Callable[[Any], Any]] = {
    "unsqueeze_": lambda x: x.unsqueeze_(1),
    "squeeze_": lambda x: x.squeeze_(),
    "squeeze_ of a dimension": lambda x: x.squeeze_(1),
    "squeeze_ of nothing": lambda x: x.squeeze_(0),
    "transpose_": lambda x: x.transpose_(0, 2),
    "swapaxes_": lambda x: x.swapaxes_(0, 1),
    "swapdims_": lambda x: x.swapdims_(-1, 0),
    "t_": lambda x: x.squeeze_(1).t_(),
    "two in a row": lambda x: x.unsqueeze_(0).transpose_(0, 3),
}


@pytest.mark.parametrize("name", FORMS)
def test_shape_memory_and_gradients_are_those_of_torch(device: Any, name: str) -> None:
    found = []
    for module, options in ((wf, {"device": device.name}), (torch, {})):
        x = module.arange(6.0, **options).reshape(2, 1, 3).requires_grad_()
        y = x * 2
        assert FORMS[name](y) is y
        y.mul_(3)
        (y * y).sum().backward()
        found.append((tuple(y.shape), tuple(y.stride()), y.tolist(), x.grad.tolist(), y.is_leaf))
    assert found[0] == found[1]


def test_memory_is_shared_with_views_taken_before(device: Any) -> None:
    x = wf.zeros(2, 3, device=device.name)
    row = x[0]
    x.t_()
    row += 1
    assert x.tolist() == [[1, 0], [1, 0], [1, 0]]


def test_mistakes_are_told(device: Any) -> None:
    x = wf.ones(2, 3, device=device.name, requires_grad=True)
    with pytest.raises(GradError, match="unsqueeze_: the tensor is a leaf"):
        x.unsqueeze_(0)
    with wf.no_grad():
        assert x.unsqueeze_(0).shape == (1, 2, 3)
    y = x * 2
    with pytest.raises((ShapeError, IndexError)):
        y.unsqueeze_(7)
    assert y.shape == (1, 2, 3)
    before = y[0]
    y.transpose_(0, 1)
    with pytest.raises(GradError, match="got another shape in place"):
        before.sum().backward()


def test_names_of_absent_types_tell_what_to_use() -> None:
    with pytest.raises(AttributeError, match="uint16: is not a data type of weft, expected uint32 or int64"):
        wf.uint16  # noqa: B018
    assert not hasattr(wf, "complex64")
    assert wf.ones(2).short().dtype is wf.short is wf.int16
    assert wf.ones(2).char().dtype is wf.int8
    assert wf.ones(2).byte().dtype is wf.uint8


def test_broadcast_shapes_are_those_of_torch() -> None:
    for shapes in (((2, 1), (3,)), ((), (4,)), ((5,), 5), ((1, 0), (3, 1))):
        assert tuple(wf.broadcast_shapes(*shapes)) == tuple(torch.broadcast_shapes(*shapes))
    with pytest.raises(ShapeError, match="broadcast"):
        wf.broadcast_shapes((2,), (3,))
