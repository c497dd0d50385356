"""Numbers outside of a type's range, and numbers that a type rounds, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, NumberRangeError, ShapeError

INTEGERS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "tensor": lambda m, x, dtype, value: m.tensor([value], dtype=dtype),
    "full": lambda m, x, dtype, value: m.full((2,), value, dtype=dtype),
    "fill_": lambda m, x, dtype, value: x.fill_(value),
    "index": lambda m, x, dtype, value: x.__setitem__(0, value) or x,
    "add": lambda m, x, dtype, value: x + value,
    "mul": lambda m, x, dtype, value: x * value,
    "clamp": lambda m, x, dtype, value: x.clamp(max=value),
    "clamp both": lambda m, x, dtype, value: x.clamp(value, value),
    "masked_fill": lambda m, x, dtype, value: x.masked_fill(x > 1, value),
    "where": lambda m, x, dtype, value: m.where(x > 1, x, value),
    "where first": lambda m, x, dtype, value: m.where(x > 1, value, x),
    "addcmul": lambda m, x, dtype, value: m.addcmul(x, x, x, value=float(value)),
    "pad": lambda m, x, dtype, value: m.nn.functional.pad(x, (1, 1), value=value),
    "index_add": lambda m, x, dtype, value: m.index_add(x, 0, m.tensor([1]), x[:1], alpha=value + 0.5),
    "addmv": lambda m, x, dtype, value: m.addmv(x, x[:, None] * x, x, beta=value + 0.5, alpha=2.5),
    "linspace": lambda m, x, dtype, value: m.linspace(1, value, 4, dtype=dtype),
}
VALUES = (0, 3, -1, 127, 128, -128, -129, 255, 256, -255, -256, 300, 2**31, 2**40)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("dtype", ["int16", "int8", "uint8", "int32"])
def test_integers_out_of_range_are_refused_where_pytorch_refuses_them(name: str, dtype: str) -> None:
    for value in VALUES:
        mine = wf.tensor([1, 2], dtype=getattr(wf, dtype))
        theirs = torch.tensor([1, 2], dtype=getattr(torch, dtype))
        try:
            expected = INTEGERS[name](torch, theirs, getattr(torch, dtype), value).tolist()
        except RuntimeError:
            with pytest.raises(NumberRangeError, match="expected"):
                INTEGERS[name](wf, mine, getattr(wf, dtype), value)
            assert mine.tolist() == [1, 2]
        else:
            assert INTEGERS[name](wf, mine, getattr(wf, dtype), value).tolist() == expected, value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, 300.5])
def test_floats_that_no_integer_stands_for_are_refused(value: float) -> None:
    for make in (lambda: wf.tensor([value], dtype=wf.int8), lambda: wf.full((2,), value, dtype=wf.int8)):
        with pytest.raises(NumberRangeError):
            make()
    assert np.isinf(wf.full((1,), 1e10, dtype=wf.float16).tolist()[0])
    with pytest.raises(NumberRangeError, match="float32 holds"):
        wf.full((1,), 1e300)


def test_arrays_of_numpy_wrap() -> None:
    assert wf.tensor(np.array([300, -1]), dtype=wf.int8).tolist() == [44, -1]


def test_fill_takes_one_number(device: Any) -> None:
    x = wf.zeros(2, device=device.name)
    assert x.fill_(wf.tensor(2, device=device.name)).tolist() == [2, 2]
    with pytest.raises(
        ShapeError, match=r"fill_: value is of shape \(2,\), expected a number or a 0-d tensor"
    ):
        x.fill_(wf.ones(2, device=device.name))
    with pytest.raises(ShapeError, match="fill_: value is of shape"):
        x.fill_(wf.ones(1, device=device.name))
    assert x.tolist() == [2, 2]


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_comparisons_round_the_number_to_the_type(device: Any, name: str, dtype: str) -> None:
    values = [0.1, -0.1, 1.0, 65504.0, float("inf"), float("nan")]
    for number in (0.1, -0.1, 1.0001, 1e10, 65519.0):
        theirs = getattr(torch.tensor(values, dtype=getattr(torch, dtype)), name)
        mine = wf.tensor(values, dtype=getattr(wf, dtype), device=device.name)
        expected = theirs(number).tolist()
        assert getattr(mine, name)(number).tolist() == expected
        assert getattr(mine, name)(wf.tensor(number, device=device.name)).tolist() == expected
        assert wf.jit(lambda x, n=number: getattr(x, name)(n))(mine).tolist() == expected


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "float32"])
@pytest.mark.parametrize(
    "arguments",
    [
        (0.5, 4.5, 1.5),
        (0, 5.5),
        (0.5, 5),
        (0, 5, 0.5),
        (1, 10, 2.5),
        (5, 0, -1.5),
        (0, 300, 100),
        (-1, 2),
        (3,),
    ],
)
def test_arange_of_integers_counts_as_pytorch(arguments: tuple[float, ...], dtype: str) -> None:
    try:
        expected = torch.arange(*arguments, dtype=getattr(torch, dtype)).tolist()
    except (RuntimeError, ValueError):
        with pytest.raises(ArgumentError, match="arange: step"):
            wf.arange(*arguments, dtype=getattr(wf, dtype))
    else:
        assert wf.arange(*arguments, dtype=getattr(wf, dtype)).tolist() == expected


def test_arange_refuses_what_has_no_end() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="arange: end is"):
            wf.arange(value)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("ends", [(0, 10, 5), (0, 10, 4), (10, 0, 4), (-5, 5, 4), (-1, 10, 5), (0.5, 7.9, 3)])
def test_linspace_of_integers_equals_pytorch(ends: tuple[Any, ...], dtype: str) -> None:
    expected = torch.linspace(*ends, dtype=getattr(torch, dtype)).tolist()
    assert wf.linspace(*ends, dtype=getattr(wf, dtype)).tolist() == expected


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_addr_of_integers_refuses_floats_as_pytorch(name: str) -> None:
    for m in (wf, torch):
        vector = m.ones(2, dtype=m.int16)
        matrix = m.outer(vector, vector)
        assert m.addr(matrix, vector, vector, **{name: 3}).tolist() == [[4, 4], [4, 4]]
        with pytest.raises(ArgumentTypeError if m is wf else RuntimeError, match=name):
            m.addr(matrix, vector, vector, **{name: 2.0})
