"""Promotion against PyTorch, for all pairs of types and all mixes of tensors, 0-d tensors and scalars."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from weft import dtypes
from weft.dtypes import ALL, DType, promote, result_type

TORCH = {dtype: getattr(torch, dtype.name) for dtype in ALL}
WITHOUT_UINT32 = [dtype for dtype in ALL if dtype is not dtypes.uint32]


@pytest.mark.parametrize("a", WITHOUT_UINT32, ids=lambda dtype: dtype.name)
def test_pairs_promote_as_in_torch(a: DType) -> None:
    for b in WITHOUT_UINT32:
        assert TORCH[promote(a, b)] is torch.promote_types(TORCH[a], TORCH[b]), f"{a.name} with {b.name}"


def test_uint32_promotes_as_in_torch_where_torch_does() -> None:
    """PyTorch promotes uint32 with floats and itself, and refuses it with other integers and bool."""
    for b in ALL:
        try:
            expected = torch.promote_types(torch.uint32, TORCH[b])
        except RuntimeError:
            assert not b.is_floating_point
            assert b is not dtypes.uint32
            continue
        assert TORCH[promote(dtypes.uint32, b)] is expected, b.name


def torch_result(tensors: list[DType], zero_dim: list[DType], scalars: list[Any]) -> Any:
    """Return the type of a sum of all operands in PyTorch."""
    operands = [torch.ones(2, dtype=TORCH[d]) for d in tensors] + [
        torch.ones((), dtype=TORCH[d]) for d in zero_dim
    ]
    operands += scalars
    return torch.result_type(*operands)


@pytest.mark.parametrize("scalar", [True, 3, 2.5], ids=["bool", "int", "float"])
@pytest.mark.parametrize("shape", ["tensor", "0-d"])
def test_scalars_promote_as_in_torch(shape: str, scalar: Any) -> None:
    for dtype in WITHOUT_UINT32:
        tensors, zero_dim = ([dtype], []) if shape == "tensor" else ([], [dtype])
        expected = torch_result(tensors, zero_dim, [scalar])
        assert TORCH[result_type(tensors, zero_dim, [scalar])] is expected, f"{dtype.name} with {scalar}"


def test_tensors_with_0_d_tensors_promote_as_in_torch() -> None:
    for a, b in itertools.product(WITHOUT_UINT32, repeat=2):
        expected = torch_result([a], [b], [])
        assert TORCH[result_type([a], [b], [])] is expected


@given(st.lists(st.sampled_from(WITHOUT_UINT32), min_size=1, max_size=3), st.sampled_from([True, 3, 2.5]))
def test_more_operands_promote_as_torchs_concatenation(given_types: list[DType], scalar: Any) -> None:
    """``torch.cat`` promotes any number of tensors; a scalar is promoted with their common type."""
    together = torch.cat([torch.ones(1, dtype=TORCH[dtype]) for dtype in given_types])
    assert TORCH[result_type(given_types, [], [])] is together.dtype
    assert TORCH[result_type(given_types, [], [scalar])] is torch.result_type(together, scalar)
