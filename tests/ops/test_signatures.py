"""Arguments are normalised by the declared signature: NumPy's numbers, 0-d tensors, PyTorch's keywords; mistakes are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from weft.nn import functional as F


def test_numbers_of_numpy_and_tensors_are_python_numbers(device: Any) -> None:
    x = wf.arange(6.0, device=device.name).reshape(2, 3)
    one = wf.tensor(1, device=device.name)
    assert wf.narrow(x, 0, one, 1).tolist() == [[3, 4, 5]]
    assert x.sum(np.int64(1)).tolist() == x.sum(one).tolist() == x.sum((np.int8(1),)).tolist() == [3, 12]
    assert wf.roll(x, np.int64(1), np.array(1)).tolist() == [[2, 0, 1], [5, 3, 4]]
    assert x.reshape(wf.tensor(3), 2).shape == x.reshape([np.int32(3), -1]).shape == (3, 2)
    assert all(type(size) is int for size in x.reshape(np.int64(3), np.int64(2)).shape)
    assert x.clamp(np.float32(1), np.array(2.0)).tolist() == [[1, 1, 2], [2, 2, 2]]
    assert F.leaky_relu(-x, wf.tensor(0.5)).tolist() == (-x / 2).tolist()
    assert x.clone().add_(x, alpha=np.float64(2)).tolist() == (3 * x).tolist()
    assert (wf.ones(3, device=device.name) + 1).tolist() == [2, 2, 2]


def test_names_of_pytorch_and_numpy(device: Any) -> None:
    x = wf.arange(6.0, device=device.name).reshape(2, 3)
    assert x.sum(axis=1, keepdims=True).tolist() == wf.sum(x=x, axis=1, keepdims=True).tolist() == [[3], [12]]
    assert x.permute(dims=(1, 0)).shape == x.reshape(shape=(3, 2)).shape == (3, 2)
    assert wf.add(x1=x, x2=x).tolist() == (2 * x).tolist()
    assert x.flip(dims=[1]).tolist() == [[2, 1, 0], [5, 4, 3]]


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "text": (lambda x: x.sum("a"), ArgumentTypeError, "sum: dim is 'a', expected an int, a sequence of ints or None"),
    "missing": (lambda x: x.narrow(0, 1), ArgumentTypeError, "narrow: length is missing, expected an int"),
    "huge": (lambda x: x.narrow(0, 10**30, 1), ArgumentError, "narrow: start is 10+, expected an integer of 64 bits"),
    "none": (lambda x: wf.add(x, None), ArgumentTypeError, "add: other is None, expected a Tensor or a number"),
    "nan": (lambda x: x.unsqueeze(float("nan")), ArgumentTypeError, "unsqueeze: dim is nan, expected an int"),
    "bool": (lambda x: x.unsqueeze(True), ArgumentTypeError, "unsqueeze: dim is True, expected an int"),
    "float tensor": (lambda x: x.unsqueeze(wf.tensor(1.0)), ArgumentTypeError, "unsqueeze: dim is a float32 tensor"),
    "vector": (lambda x: x.unsqueeze(wf.tensor([1])), ArgumentTypeError, r"unsqueeze: dim is a int64 tensor of shape \(1,\)"),
    "element": (lambda x: wf.cat([x, 3]), ArgumentTypeError, r"cat: tensors\[1\] is int, expected a Tensor"),
    "nested": (lambda x: x.reshape([[2], 3]), ArgumentTypeError, "reshape: shape is list, expected an int|reshape: shape is"),
    "unknown": (lambda x: x.sum(foo=1), ArgumentTypeError, "sum: arguments is foo=, expected input, dim, keepdim, dtype"),
    "twice": (lambda x: x.sum(1, axis=1), ArgumentTypeError, "sum: dim is given twice"),
    "too many": (lambda x: x.unsqueeze(0, 1), ArgumentTypeError, "unsqueeze: the number of arguments is 3, expected at most 2"),
    "gradient": (lambda x: F.elu(x, wf.tensor(1.0, requires_grad=True)), ArgumentTypeError, "elu: alpha is a tensor that requires grad"),
    "array": (lambda x: wf.add(x, np.ones(3)), ArgumentTypeError, r"add: other is a ndarray, .*weft\.tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_function_and_argument(name: str, device: Any) -> None:
    call, error, words = MISTAKES[name]
    with pytest.raises(error, match=words):
        call(wf.ones(2, 3, device=device.name))


def test_a_number_without_a_value_is_refused_or_passed_on() -> None:
    x = wf.ones(2, 3)
    assert wf.jit(lambda x, s: F.leaky_relu(x, s))(-x, 0.5).tolist() == (-x / 2).tolist()
    with pytest.raises(UnsupportedError, match="int: "):
        wf.jit(lambda x, at: x.unsqueeze(at))(x, wf.tensor(0))
