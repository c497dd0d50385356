"""Reductions as LLVM writes them: every fold, type and direction against NumPy, and their special cases."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codegen.llvm_run import Array, cpu, operand, run, same_bits
from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import call, cast
from weft.kernels import Builder, KernelStep
from weft.kernels.derived import Combine

COMBINES = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
KINDS = {"argmax": numpy.int64, "argmin": numpy.int64, "any": numpy.bool_, "all": numpy.bool_}
TYPES = (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.uint32)


def fold(
    combine: str,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    source: DType,
    strides: tuple[int, ...] | None = None,
) -> KernelStep:
    """A reduction of operand 0 over ``axes`` into operand 1."""
    builder = Builder(f"{combine}_{source.name}")
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    outer = builder.axes([shape[axis] for axis in kept])
    inner = builder.reduce_axes([shape[axis] for axis in axes])
    position = dict(zip([*kept, *axes], [*outer, *inner], strict=True))
    value = builder.load(operand(0, shape, source, strides), [position[axis] for axis in range(len(shape))])
    if combine in ("any", "all"):
        value = cast(value, dtypes.bool_)
    result = builder.reduce(combine, value)  # type: ignore[arg-type]
    target = operand(1, [shape[axis] for axis in kept], result.dtype)
    builder.store(target, outer, result)
    return builder.finish()


def expected(combine: str, array: Array, axes: tuple[int, ...]) -> Any:
    """NumPy's result, sums in float64."""
    if combine in ("any", "all", "max", "min"):
        return getattr(numpy, combine)(array, axes)
    if combine in ("sum", "prod"):
        wide = array.astype(numpy.float64) if array.dtype.kind == "f" else array
        return getattr(numpy, combine)(wide, axes, dtype=wide.dtype)
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    moved = array.transpose([*kept, *axes]).reshape([*(array.shape[axis] for axis in kept), -1])
    return getattr(numpy, combine)(moved, -1)


def values(shape: tuple[int, ...], dtype: DType, combine: str, seed: int = 0) -> Array:
    generator = numpy.random.default_rng(seed)
    if dtype.kind == "float":
        spread = 0.05 if combine == "prod" else 1.0
        return (generator.normal(1.0 if combine == "prod" else 0.0, spread, shape)).astype(dtype.numpy)
    low = 0 if dtype.kind == "uint" else -3
    return generator.integers(low, 4, shape).astype(dtype.numpy)


def check(combine: str, array: Array, axes: tuple[int, ...], step: KernelStep) -> None:
    """Run on one and on two threads: the same bits, and NumPy's values."""
    wanted = expected(combine, array, axes)
    out = wanted.astype(KINDS.get(combine, array.dtype))
    filled = numpy.full_like(out, 1)
    one = run(step, [array, filled], device=cpu(1))[1]
    two = run(step, [array, filled], device=cpu(2))[1]
    assert same_bits(one, two)
    if one.dtype.kind == "f":
        scale = 2e-6 if one.dtype == numpy.float32 else 1e-13
        size = numpy.sum(abs(array.astype(numpy.float64)), axes) if combine == "sum" else abs(wanted)
        assert (abs(one - wanted) <= scale * size + 1e-30).all()
    else:
        numpy.testing.assert_array_equal(one, out)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("combine", COMBINES)
def test_folds_in_every_direction(combine: str, dtype: DType) -> None:
    for shape, axes in [
        ((5, 37), (1,)), ((5, 37), (0,)), ((5, 150), (0,)), ((3, 4, 21), (1,)), ((3, 4, 21), (0, 2)), ((3, 4, 21), (0, 1, 2)),
        ((2, 3, 4, 5), (1, 3)), ((1, 1), (0,)), ((300,), (0,)), ((2, 16), (1,)),
    ]:  # fmt: skip
        array = values(shape, dtype, combine)
        check(combine, array, axes, fold(combine, shape, axes, dtype))


@pytest.mark.parametrize("combine", COMBINES)
def test_folds_of_strided_operands(combine: str) -> None:
    """No stride is one: nothing is contiguous in any direction."""
    base = values((7, 10, 60), dtypes.float32, combine)
    view = base[:, ::2, ::3]
    shape, strides = view.shape, tuple(step // 4 for step in view.strides)
    for axes in [(0,), (1,), (2,), (0, 2), (0, 1, 2)]:
        wanted = expected(combine, view, axes)
        step = fold(combine, shape, axes, dtypes.float32, strides)
        kind = KINDS.get(combine, numpy.float32)
        result = run(step, [base, numpy.zeros_like(wanted, kind)])[1]
        numpy.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


NARROW = (dtypes.float16, dtypes.bfloat16, dtypes.int16, dtypes.int8, dtypes.uint8, dtypes.bool_)


@pytest.mark.parametrize("source", NARROW, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("axis", [0, 1])
def test_narrow_types_are_summed_wide(source: DType, axis: int) -> None:
    generator = numpy.random.default_rng(1)
    array = generator.integers(0, 2 if source.kind == "bool" else 100, (40, 45)).astype(source.numpy)
    builder = Builder("sum_narrow")
    (column,) = builder.axes((array.shape[1 - axis],))
    (row,) = builder.reduce_axes((array.shape[axis],))
    loaded = builder.load(operand(0, (40, 45), source), [column, row] if axis == 1 else [row, column])
    accumulator = dtypes.int64 if source.kind != "float" else dtypes.float32
    result = builder.reduce("sum", cast(loaded, accumulator))
    target = operand(1, (array.shape[1 - axis],), accumulator)
    builder.store(target, [column], result)
    out = run(builder.finish(), [array, numpy.zeros(array.shape[1 - axis], accumulator.numpy)])[1]
    numpy.testing.assert_array_equal(out, array.astype(numpy.float64).sum(axis))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple), st.integers(0, 15), st.sampled_from(COMBINES),
    st.integers(0, 9),
)  # fmt: skip
def test_any_shape(shape: tuple[int, ...], chosen: int, combine: str, seed: int) -> None:
    axes = tuple(axis for axis in range(len(shape)) if chosen >> axis & 1) or (0,)
    array = values(shape, dtypes.float64, combine, seed)
    check(combine, array, axes, fold(combine, shape, axes, dtypes.float64))


IDENTITIES = {"sum": 0.0, "prod": 1.0, "max": -numpy.inf, "min": numpy.inf, "any": False, "all": True}


@pytest.mark.parametrize("combine", [*IDENTITIES, "argmax", "argmin"])
@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (20, 0, 2)])
def test_an_empty_fold_is_the_identity(combine: str, shape: tuple[int, ...]) -> None:
    axis = shape.index(0)
    kept = tuple(size for each, size in enumerate(shape) if each != axis)
    kind = KINDS.get(combine, numpy.float32)
    step = fold(combine, shape, (axis,), dtypes.float32)
    result = run(step, [numpy.zeros(shape, numpy.float32), numpy.full(kept, 7).astype(kind)])[1]
    assert (result == IDENTITIES.get(combine, 0)).all()
    lowest = fold("max", shape, (axis,), dtypes.int32)
    out = run(lowest, [numpy.zeros(shape, numpy.int32), numpy.zeros(kept, numpy.int32)])[1]
    assert (out == -(2**31)).all()


def test_nothing_is_written_where_there_are_no_points() -> None:
    for combine, axes in itertools.product(COMBINES, [(0,), (1,)]):
        shape = (0, 5) if axes == (1,) else (5, 0)
        kind = KINDS.get(combine, numpy.float32)
        guard = numpy.ones(4, kind)
        step = fold(combine, shape, axes, dtypes.float32)
        result = run(step, [numpy.zeros(shape, numpy.float32), guard])[1]
        assert same_bits(result, guard)


@pytest.mark.parametrize("axis", [0, 1])
def test_nan_wins_and_the_first_is_found(axis: int) -> None:
    for rows, size in [(3, 5), (3, 50), (20, 50)]:
        array = values((rows, size), dtypes.float32, "max")
        array[1] = -numpy.inf
        array[2, size // 2 :] = numpy.nan
        array[0, [1, size - 1]] = 99.0
        array[0, [0, size - 2]] = -99.0
        shape = (rows, size)
        if axis == 0:
            array, shape = numpy.ascontiguousarray(array.T), (size, rows)
        for combine in ("max", "min", "argmax", "argmin"):
            kind = numpy.int64 if combine.startswith("arg") else numpy.float32
            result = run(fold(combine, shape, (axis,), dtypes.float32), [array, numpy.zeros(rows, kind)])[1]
            numpy.testing.assert_array_equal(result, getattr(numpy, combine)(array, axis))


def test_long_sums_are_accurate() -> None:
    for count, axis in [(1 << 20, 0), (1 << 20, 1)]:
        array = numpy.random.default_rng(2).random((1, count) if axis else (count, 1), numpy.float32)
        step = fold("sum", array.shape, (axis,), dtypes.float32)
        result = run(step, [array, numpy.zeros(1, numpy.float32)])[1]
        exact = array.sum(dtype=numpy.float64)
        assert abs(result[0] - exact) / exact < 2e-6


@pytest.mark.parametrize("combine", ["sum", "max", "argmin"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window_last", [True, False], ids=["along the window", "along the row"])
def test_windows_over_padded_rows(combine: Combine, stride: int, window_last: bool) -> None:
    """Loads that are valid in some lanes only: masked, gathered, and one by one in the rest of a row."""
    for width, size in [(50, 3), (21, 19)]:
        padding = size // 2
        count = (width + 2 * padding - size) // stride + 1
        builder = Builder("window")
        row, place = builder.axes((4, count))
        (tap,) = builder.reduce_axes((size,))
        if not window_last:  # the window's elements lie far apart, in rows of their own
            column = place * builder.integer("stride", stride) if stride != 1 else place
            index, shape = [row, tap, column], (4, size, width + 2 * padding)
            valid = (column >= padding) & (column < width + padding) & (tap > 0)
        else:
            column = place * builder.integer("stride", stride) + tap - padding
            index, shape = [row, column], (4, width)
            valid = (column >= 0) & (column < width)
        array = values(shape, dtypes.float32, combine)
        other = 0.0 if combine == "sum" else -numpy.inf if combine == "max" else numpy.inf
        loaded = builder.load(operand(0, shape), index, valid=valid, other=other)
        result = builder.reduce(combine, loaded)
        builder.store(operand(1, (4, count), result.dtype), [row, place], result)
        kind = KINDS.get(combine, numpy.float32)
        out = run(builder.finish(), [array, numpy.zeros((4, count), kind)])[1]
        if window_last:
            padded = numpy.pad(array, ((0, 0), (padding, padding)), constant_values=other)
            wanted = numpy.lib.stride_tricks.sliding_window_view(padded, size, 1)[:, ::stride]
        else:
            inside = numpy.full(shape, other, numpy.float32)
            inside[:, 1:, padding : width + padding] = array[:, 1:, padding : width + padding]
            wanted = inside[:, :, : count * stride : stride].swapaxes(1, 2)
        folded = getattr(numpy, combine)(wanted.astype(numpy.float64), -1)
        numpy.testing.assert_allclose(out, folded, rtol=1e-5, atol=1e-5)


def softmax(shape: tuple[int, int]) -> KernelStep:
    builder = Builder("softmax")
    rows, columns = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    value = builder.load(operand(0, shape), rows + columns)
    largest = builder.reduce("max", value)
    power = call("exp", value - largest)
    total = builder.reduce("sum", power)
    builder.store(operand(1, shape), rows + columns, power / total, inner=True)
    builder.store(operand(2, shape[:1]), rows, largest + call("log", total))
    return builder.finish()


@pytest.mark.parametrize("shape", [(5, 10), (3, 16), (2, 333), (70, 1), (4, 5000)])
def test_later_folds_use_earlier_ones(shape: tuple[int, int]) -> None:
    array = numpy.random.default_rng(0).normal(0, 5, shape).astype(numpy.float32)
    array[0, 0] = -numpy.inf
    given = [array, numpy.zeros_like(array), numpy.zeros(shape[0], numpy.float32)]
    _, result, logarithm = run(softmax(shape), given)
    wide = array.astype(numpy.float64)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        power = numpy.exp(wide - wide.max(1, keepdims=True))
        numpy.testing.assert_allclose(result, power / power.sum(1, keepdims=True), rtol=1e-5, atol=1e-9)
        numpy.testing.assert_allclose(logarithm, wide.max(1) + numpy.log(power.sum(1)), rtol=1e-5, atol=1e-6)


def test_a_row_is_normalised_in_place() -> None:
    """Inner stores over the buffer that the folds read, and weights that vary along the row only."""
    shape = (9, 53)
    builder = Builder("layer_norm")
    rows, columns = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    x, weight = operand(0, shape), operand(1, (53,))
    value = builder.load(x, rows + columns)
    count = builder.number("count", 53.0, dtypes.float32)
    mean = builder.reduce("sum", value) / count
    variance = builder.reduce("sum", (value - mean) * (value - mean)) / count
    scaled = (value - mean) / call("sqrt", variance + 1e-5) * builder.load(weight, columns)
    builder.store(x, rows + columns, scaled, inner=True)
    array = numpy.random.default_rng(0).normal(3, 2, shape).astype(numpy.float32)
    weights = numpy.arange(53, dtype=numpy.float32)
    result = run(builder.finish(), [array, weights])[0]
    wide = array.astype(numpy.float64)
    centred = wide - wide.mean(1, keepdims=True)
    normal = centred / numpy.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * weights
    numpy.testing.assert_allclose(result, normal, rtol=1e-4, atol=1e-5)


def test_matrix_product_as_a_derived_kernel() -> None:
    """Lanes along the reduction (b transposed) and along the last axis (b by rows), against float64."""
    m, n, k = 7, 35, 61
    a = numpy.random.default_rng(0).normal(size=(m, k)).astype(numpy.float32)
    for shape, strides in [((k, n), (1, k)), ((k, n), (n, 1))]:
        b = numpy.random.default_rng(1).normal(size=(k, n)).astype(numpy.float32)
        kept = numpy.ascontiguousarray(b.T if strides[0] == 1 else b)
        builder = Builder("derived_matmul")
        i, j = builder.axes((m, n))
        (each,) = builder.reduce_axes((k,))
        right = builder.load(operand(1, shape, strides=strides), [each, j])
        product = builder.reduce("sum", builder.load(operand(0, (m, k)), [i, each]) * right)
        builder.store(operand(2, (m, n)), [i, j], product)
        step = builder.finish()
        one = run(step, [a, kept, numpy.zeros((m, n), numpy.float32)], device=cpu(1))[2]
        two = run(step, [a, kept, numpy.zeros((m, n), numpy.float32)], device=cpu(2))[2]
        assert same_bits(one, two)
        numpy.testing.assert_allclose(one, a.astype(numpy.float64) @ b, rtol=1e-4, atol=1e-5)


def test_bool_folds_need_bool() -> None:
    builder = Builder("any_of_int")
    columns = builder.reduce_axes((4,))
    builder.store(
        operand(1, ()), [], builder.reduce("any", builder.load(operand(0, (4,), dtypes.int32), columns))
    )
    with pytest.raises(KernelError, match="reduction any: value is int32, expected bool"):
        run(builder.finish(), [numpy.zeros(4, numpy.int32), numpy.zeros((), bool)])
