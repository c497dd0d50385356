"""Result types of binary ops: for every pair of dtypes, with dimensions, 0-d and Python scalars, PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import weft as wf
from weft import dtypes
from weft.ops import FUNCTIONS

# PyTorch's uint32 takes part in hardly any op, so it is compared by promote_types alone.
COMMON = [dtype for dtype in dtypes.ALL if dtype is not dtypes.uint32]
SCALARS: tuple[Any, ...] = (True, 3, 2.5)


def theirs(dtype: dtypes.DType) -> torch.dtype:
    return getattr(torch, dtype.name)  # type: ignore[no-any-return]


def ours(dtype: torch.dtype) -> dtypes.DType:
    return dtypes.named(str(dtype).removeprefix("torch."))


@pytest.mark.parametrize(("a", "b"), list(itertools.product(COMMON, COMMON)), ids=lambda dtype: dtype.name)
def test_result_types_of_tensors(a: dtypes.DType, b: dtypes.DType) -> None:
    assert wf.promote_types(a, b) is ours(torch.promote_types(theirs(a), theirs(b)))
    for left, right in itertools.product([(2,), ()], repeat=2):
        expected = torch.result_type(torch.ones(left, dtype=theirs(a)), torch.ones(right, dtype=theirs(b)))
        x, y = wf.ones(left, dtype=a, device="cpu"), wf.ones(right, dtype=b, device="cpu")
        assert wf.result_type(x, y) is ours(expected)
        if dtypes.bool_ not in (a, b):
            assert (x * y).dtype is ours(expected)
        assert wf.cat(
            [wf.ones(2, dtype=a, device="cpu"), wf.ones(2, dtype=b, device="cpu")]
        ).dtype is wf.promote_types(a, b)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("shape", [(2,), ()])
@pytest.mark.parametrize("dtype", COMMON, ids=lambda dtype: dtype.name)
def test_result_types_with_scalars(dtype: dtypes.DType, shape: tuple[int, ...], scalar: Any) -> None:
    tensor, given = wf.ones(shape, dtype=dtype, device="cpu"), torch.ones(shape, dtype=theirs(dtype))
    expected = ours(torch.result_type(given, scalar))
    assert wf.result_type(tensor, scalar) is expected
    if expected is not dtypes.bool_:
        assert (tensor + scalar).dtype is expected
        assert (scalar + tensor).dtype is expected
    assert (tensor == scalar).dtype is dtypes.bool_
    assert (tensor / scalar).dtype is ours((given / scalar).dtype)


def test_where_promotes_only_its_values(device: Any) -> None:
    condition = wf.tensor([True, False], device=device.name)
    values = wf.tensor([1, 2], dtype=wf.int32, device=device.name)
    from weft.ops import OPS, bind

    assert bind(OPS["where"], condition, values, 0.5).dtype is wf.float32
    assert bind(OPS["where"], condition, values, 0.5).tolist() == [1.0, 0.5]


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh", "sigmoid", "log", "sin", "cos"])
@pytest.mark.parametrize("dtype", COMMON, ids=lambda dtype: dtype.name)
def test_functions_of_integers_are_float32(name: str, dtype: dtypes.DType) -> None:
    expected = getattr(torch, name)(torch.ones(2, dtype=theirs(dtype))).dtype
    assert FUNCTIONS[name].function(wf.ones(2, dtype=dtype, device="cpu")).dtype is ours(expected)


def test_unsigned_32_bits_as_torch() -> None:
    for other in dtypes.ALL:
        try:
            expected = ours(torch.promote_types(torch.uint32, theirs(other)))
        except RuntimeError:  # PyTorch has no rule for uint32 with the signed types
            continue
        assert wf.promote_types(dtypes.uint32, other) is expected
