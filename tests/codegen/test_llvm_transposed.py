"""Transposed operands, read by tiles: against NumPy, for sizes around whole tiles and ranges of several threads."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft as wf
from tests.codegen.llvm_run import contiguous
from weft import codegen, dtypes
from weft.codegen.llvm.transposed import transposed_loads
from weft.dtypes import DType
from weft.kernels import Kernel, KernelStep, Operand
from weft.ops.views.ops import copy_step
from weft.target import CPU

TYPES = ("float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def _copy(rows: int, columns: int, dtype: DType = dtypes.float32, apart: int = 1) -> KernelStep:
    """The kernel that makes a transposed matrix contiguous; neighbours of its columns are ``apart``."""
    source = Operand(0, dtype, (rows, columns), (apart, rows * apart), 0)
    target = Operand(1, dtype, (rows, columns), contiguous((rows, columns)), 1)
    step: KernelStep = copy_step("copy", source, target, source.shape, source.strides, target.strides)
    return step


def test_which_loads_are_turned() -> None:
    found = _copy(40, 50).kernel
    assert isinstance(found, Kernel)
    assert len(transposed_loads(found.parts[0])) == 1
    assert "shufflevector" in codegen.generate(found, CPU).source
    apart = _copy(40, 50, apart=3).kernel  # no line of which neighbours are read
    assert isinstance(apart, Kernel)
    assert not transposed_loads(apart.parts[0])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "shape", [(16, 16), (15, 40), (40, 15), (1, 64), (33, 129), (3, 50, 70), (5, 16, 31)], ids=str
)
def test_a_transposed_tensor_made_contiguous(shape: tuple[int, ...], dtype: str) -> None:
    values = numpy.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape)
    x = wf.tensor(values, device="cpu").to(getattr(wf, dtype))
    made = x.transpose(-1, -2).contiguous()
    assert made.is_contiguous()
    numpy.testing.assert_array_equal(made.to(wf.int64).numpy(), numpy.swapaxes(values, -1, -2))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 90), st.integers(1, 90))
def test_an_expression_of_both_kinds(batch: int, rows: int, columns: int) -> None:
    draw = numpy.random.default_rng(rows * columns)
    a, b = (
        draw.standard_normal(shape).astype("f") for shape in ((batch, columns, rows), (batch, rows, columns))
    )
    x, y = wf.tensor(a, device="cpu"), wf.tensor(b, device="cpu")
    bias = wf.tensor(b[0, :, :1], device="cpu")
    expected = numpy.swapaxes(a, 1, 2) * b + b[0, :, :1]
    numpy.testing.assert_allclose((x.transpose(1, 2) * y + bias).numpy(), expected, rtol=1e-6, atol=1e-6)
    compiled = wf.jit(lambda x, y, bias: x.transpose(1, 2) * y + bias)
    numpy.testing.assert_allclose(compiled(x, y, bias).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_ranges_that_begin_within_a_row() -> None:
    """Large enough for several threads, whose ranges end at any element."""
    a = numpy.random.default_rng(0).standard_normal((1031, 517)).astype("f")
    numpy.testing.assert_array_equal(wf.tensor(a, device="cpu").t().contiguous().numpy(), a.T)


def test_what_is_overwritten_is_not_read_ahead() -> None:
    a = numpy.random.default_rng(0).standard_normal((64, 64)).astype("f")
    x = wf.tensor(a, device="cpu")
    x += x.t()
    numpy.testing.assert_array_equal(x.numpy(), a + a.T)
