"""The data types against NumPy's layouts; their names, pickling, and types of scalars."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from weft import dtypes
from weft.dtypes import (
    ALL,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    promote,
    uint8,
    uint32,
)
from weft.errors import DTypeError


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_a_type_is_one_object_with_numpys_layout(dtype: dtypes.DType) -> None:
    assert dtypes.from_numpy(dtype.numpy) is dtype
    assert dtype.numpy.itemsize == dtype.itemsize
    assert dtypes.named(dtype.name) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype
    assert repr(dtype) == f"weft.{dtype.name}"
    values = np.array([0, 1, 1], dtype.numpy)
    assert values.tobytes() == np.frombuffer(values.tobytes(), dtype.numpy).tobytes()
    assert {"b": "bool", "u": "uint", "i": "int", "f": "float", "V": "float"}[dtype.numpy.kind] == dtype.kind


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_values_are_computed_in_a_type_that_holds_them(dtype: dtypes.DType) -> None:
    assert dtype.compute.compute is dtype.compute
    assert dtype.compute.bits >= dtype.bits
    assert promote(dtype, dtype.compute) is dtype.compute
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        for value in (info.min, info.max):
            assert int(np.array(value, dtype.numpy).astype(dtype.compute.numpy)) == value


def test_kinds_are_told_apart() -> None:
    assert [dtype for dtype in ALL if dtype.is_floating_point] == [float64, float32, float16, dtypes.bfloat16]
    assert [dtype for dtype in ALL if dtype.is_integer] == [int64, int32, int16, int8, uint32, uint8]
    assert not bool_.is_integer
    assert not bool_.is_floating_point


def test_unknown_names_and_numpy_types_are_errors_that_list_the_known_ones() -> None:
    with pytest.raises(DTypeError, match="dtype 'float8' is not one of float64, float32"):
        dtypes.named("float8")
    with pytest.raises(
        DTypeError, match="NumPy type 'complex64' has no weft type; convert it to one of float64"
    ):
        dtypes.from_numpy(np.dtype("complex64"))


@pytest.mark.parametrize("a", ALL, ids=lambda dtype: dtype.name)
def test_promotion_is_commutative_and_holds_both(a: dtypes.DType) -> None:
    for b in ALL:
        both = promote(a, b)
        assert both is promote(b, a)
        assert promote(both, a) is both
        assert promote(both, b) is both
        for c in ALL:
            if {a, b, c} & {uint8, uint32} and {a, b, c} & {int8, int16, int32}:
                continue  # as in PyTorch, promotion among signs and floats does not associate everywhere
            assert promote(promote(a, b), c) is promote(a, promote(b, c))


def test_promotion_of_signed_with_unsigned_types() -> None:
    assert promote(int8, uint8) is int16
    assert promote(int16, uint8) is int16
    assert promote(uint32, int16) is int64
    assert promote(uint32, int8) is int64
    assert promote(uint32, int32) is int64
    assert promote(uint32, uint8) is uint32
    assert promote(uint32, bool_) is uint32
    assert promote(uint32, float16) is float16


def test_scalars_take_the_types_of_torch() -> None:
    assert [dtypes.of_scalar(value) for value in (True, 1, 1.0)] == [bool_, int64, float32]


def test_no_operands_have_no_type() -> None:
    with pytest.raises(DTypeError, match="result_type: no operands given, expected at least one"):
        dtypes.result_type([], [], [])
