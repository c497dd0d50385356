"""Tensors from sizes, numbers, sequences and NumPy arrays, against PyTorch's and NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import from_torch, from_weft
from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError

CALLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "zeros": lambda lib, o: lib.zeros(2, 3, **o),
    "zeros of a tuple": lambda lib, o: lib.zeros((2, 0, 3), **o),
    "zeros 0-d": lambda lib, o: lib.zeros((), **o),
    "ones": lambda lib, o: lib.ones([4], dtype=lib.int32, **o),
    "full": lambda lib, o: lib.full((2, 2), 7, **o),
    "full float": lambda lib, o: lib.full((3,), -1.5, **o),
    "full bool": lambda lib, o: lib.full((2,), True, **o),
    "full inf": lambda lib, o: lib.full((2,), float("inf"), dtype=lib.float16, **o),
    "arange": lambda lib, o: lib.arange(5, **o),
    "arange float": lambda lib, o: lib.arange(0.5, 3, 0.5, **o),
    "arange down": lambda lib, o: lib.arange(10, -3, -4, **o),
    "arange typed": lambda lib, o: lib.arange(1, 4, dtype=lib.float16, **o),
    "arange empty": lambda lib, o: lib.arange(2, 2, **o),
    "eye": lambda lib, o: lib.eye(3, **o),
    "eye wide": lambda lib, o: lib.eye(2, 4, dtype=lib.int64, **o),
    "zeros_like": lambda lib, o: lib.zeros_like(lib.ones(2, 3, dtype=lib.float16, **o)),
    "ones_like": lambda lib, o: lib.ones_like(lib.zeros(2, **o), dtype=lib.uint8),
    "full_like": lambda lib, o: lib.full_like(lib.zeros(2, **o), 3.5),
    "tensor": lambda lib, o: lib.tensor([[1, 2], [3, 4]], **o),
    "tensor float": lambda lib, o: lib.tensor([1.5, 2], **o),
    "tensor bool": lambda lib, o: lib.tensor([True, False], **o),
    "tensor number": lambda lib, o: lib.tensor(3, **o),
    "tensor empty": lambda lib, o: lib.tensor([], **o),
    "tensor typed": lambda lib, o: lib.tensor([1.9, -1.9], dtype=lib.int32, **o),
    "tensor nested": lambda lib, o: lib.tensor([[[1.0], [2.0]]], **o),
    "as_tensor": lambda lib, o: lib.as_tensor([1, 2], **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_creation_equals_torch(device: Any, name: str) -> None:
    expected = CALLS[name](torch, {})
    got = CALLS[name](wf, {"device": device.name})
    assert str(got.device) == device.name
    assert str(expected.dtype).removeprefix("torch.") == got.dtype.name
    assert got.is_contiguous()
    np.testing.assert_array_equal(from_weft(got), from_torch(expected))


def test_empty_has_the_shape(device: Any) -> None:
    made = wf.empty(3, 4, dtype=wf.int8, device=device.name)
    assert (made.shape, made.dtype) == ((3, 4), wf.int8)
    assert wf.empty_like(made).shape == (3, 4)
    assert wf.ones(2, device=device.name, requires_grad=True).requires_grad


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
def test_numpy_there_and_back(device: Any, dtype: dtypes.DType) -> None:
    if not device.supports(dtype):
        return
    host = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype.numpy)
    for array in (host, host.T, host[:, ::2], host[..., :0], np.array(host[0, 0, 1])):
        made = wf.tensor(array, dtype=dtype, device=device.name)
        assert made.dtype is dtype
        back = made.numpy()
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back.astype("float64"), array.astype("float64"))


def test_types_that_tensor_chooses(device: Any) -> None:
    chosen = {
        np.float64: wf.float32, np.float32: wf.float32, np.float16: wf.float16, np.int64: wf.int64, np.int32: wf.int32,
        np.uint8: wf.uint8, np.bool_: wf.bool, ml_dtypes.bfloat16: wf.bfloat16,
    }  # fmt: skip
    for given, expected in chosen.items():
        assert wf.tensor(np.ones(2, given), device=device.name).dtype is expected
    with pytest.raises(DTypeError, match="'uint16' has no weft type"):
        wf.tensor(np.ones(2, "uint16"), device=device.name)
    with pytest.raises(ArgumentError, match=r"an integer of 2\*\*63 or more"):
        wf.tensor([2**63], device=device.name)


def test_int64_is_checked_where_it_has_32_bits(device: Any) -> None:
    large = [2**31, 5]
    if device.profile.storage(wf.int64) is wf.int64:
        assert wf.tensor(large, device=device.name).tolist() == large
        return
    with pytest.raises(ArgumentError, match=r"int64 with values from 5 to 2147483648.*32 bits.*device 'cpu'"):
        wf.tensor(large, device=device.name)
    assert wf.tensor([2**31 - 1, -(2**31)], device=device.name).tolist() == [2**31 - 1, -(2**31)]
    assert wf.tensor([5], device=device.name).numpy().dtype == np.int64


@pytest.mark.cpu
def test_memory_is_shared_with_numpy_on_the_cpu() -> None:
    host = np.arange(6, dtype="float32").reshape(2, 3)
    shared = wf.from_numpy(host)
    host[0, 0] = 50
    assert shared[0, 0].item() == 50
    shared[1, 2] = -1
    assert host[1, 2] == -1
    seen = shared.t()[1:].numpy()
    seen[0, 0] = 9
    assert host[0, 1] == 9
    turned = wf.from_numpy(host.T)
    turned[2, 0] = 4
    assert host[0, 2] == 4
    frozen = host.copy()
    frozen.flags.writeable = False
    with pytest.raises(ArgumentError, match="read-only"):
        wf.from_numpy(frozen)
    with pytest.raises(ArgumentTypeError, match="from_numpy: array is list"):
        wf.from_numpy([1.0])


def test_tensor_copies_its_data(device: Any) -> None:
    host = np.ones(3, "float32")
    made = wf.tensor(host, device=device.name)
    host[:] = 5
    assert made.tolist() == [1.0, 1.0, 1.0]
    other = wf.tensor(made)
    made.fill_(2)
    assert other.tolist() == [1.0, 1.0, 1.0]
    assert wf.as_tensor(made) is made
    assert wf.tensor([wf.tensor(1.0, device=device.name), 2.0], device=device.name).tolist() == [1.0, 2.0]


def test_numpy_arrays_survive_their_tensor(device: Any) -> None:
    array = wf.full((1000,), 3.0, device=device.name).numpy()
    for _ in range(5):
        wf.full((1000,), 7.0, device=device.name)
    assert array.tolist() == [3.0] * 1000


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="zeros: size"):
        wf.zeros(2, -3)
    with pytest.raises(ArgumentTypeError, match=r"ones: size is 2.5, expected an int"):
        wf.ones(2.5)
    with pytest.raises(ArgumentTypeError, match="full: fill_value is 'x', expected a number"):
        wf.full((2,), "x")
