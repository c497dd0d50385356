"""``index_select`` against PyTorch: every dimension and type, gradients, and indices that are wrong."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy
import pytest
import torch
from hypothesis import given

import weft as wf
from weft.devices import Device
from weft.errors import DTypeError, IndexOutOfRangeError, ShapeError


@given(st.data())
def test_slices_and_gradients_are_pytorchs(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    index = data.draw(st.lists(st.integers(0, shape[dim] - 1), max_size=5))
    values = numpy.arange(numpy.prod(shape), dtype="float64").reshape(shape)
    results = []
    for lib, x in ((wf, wf.tensor(values, dtype=wf.float64, device="cpu")), (torch, torch.tensor(values))):
        x.requires_grad_()
        options = {"device": "cpu"} if lib is wf else {}
        picked = lib.index_select(x, dim, lib.tensor(index, dtype=lib.int64, **options))
        (picked * picked).sum().backward()
        results.append((picked.detach().numpy(), x.grad.numpy()))
    numpy.testing.assert_array_equal(results[0][0], results[1][0])
    numpy.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize(
    "name", ["float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint32", "bool"]
)
def test_every_type_and_layout(name: str, device: Device) -> None:
    dtype = wf.dtypes.named(name)
    values = (numpy.arange(30).reshape(5, 6) % 5).astype(dtype.numpy)
    x = wf.tensor(values, dtype=dtype, device=device.name)
    for own, expected in ((x, values), (x.T, values.T), (x[1:, ::2], values[1:, ::2])):
        picked = own.index_select(1, wf.tensor([2, 0, 2], device=device.name))
        assert picked.dtype is dtype
        numpy.testing.assert_array_equal(picked.numpy(), expected[:, [2, 0, 2]])


def test_mistakes_are_named(device: Device) -> None:
    x = wf.zeros(3, 2, device=device.name)
    with pytest.raises(ShapeError, match="index_select: index is 2-dimensional"):
        wf.index_select(x, 0, wf.tensor([[0]], device=device.name))
    with pytest.raises(DTypeError, match="index's dtype is float32, expected an integer type"):
        wf.index_select(x, 0, wf.tensor([0.0], device=device.name))
    with pytest.raises(ShapeError, match="index is 2 elements, expected one, as the input is 0-dimensional"):
        wf.index_select(wf.tensor(1.0, device=device.name), 0, wf.tensor([0, 0], device=device.name))
    with pytest.raises(IndexOutOfRangeError, match="3 is out of range"):
        wf.index_select(x, 0, wf.tensor([3], device=device.name)).tolist()
