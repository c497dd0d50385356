"""Reductions in WGSL against NumPy: every combine, serial and by a workgroup, chained, over any axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy
import pytest

from tests.codegen.test_wgsl_derived import compare, operand, random
from tests.codegen.wgsl_run import arguments, dispatch
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import IndexOutOfRangeError, KernelError
from weft.expr import Expr, call, cast, where
from weft.expr.node import INDEX
from weft.kernels import Builder, Kernel, KernelStep

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]

COMBINES = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


def fold(
    dtype: DType, combine: Any, shape: Sequence[int], dims: Sequence[int], cooperative: bool, out: DType
) -> KernelStep:
    """``combine`` over ``dims`` of a contiguous operand."""
    builder = Builder(combine)
    strides = [int(numpy.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    kept = [axis for axis in range(len(shape)) if axis not in dims]
    x, y = operand(0, dtype, shape), operand(1, out, [shape[axis] for axis in kept])
    outer, inner = builder.axes(y.shape), builder.reduce_axes([shape[axis] for axis in dims])
    value = builder.load(x, [*outer, *inner], [strides[axis] for axis in (*kept, *dims)])
    if combine in ("any", "all"):
        value = cast(value, dtypes.bool_)
    builder.store(y, outer, builder.reduce(combine, value))
    return builder.finish(cooperative=cooperative)


def kernel_of(step: KernelStep) -> Kernel:
    assert isinstance(step.kernel, Kernel)
    return step.kernel


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
@pytest.mark.parametrize("combine", COMBINES)
def test_every_combine_over_any_axes(gpu: Device, combine: str, cooperative: bool) -> None:
    cases = [
        ((7,), (0,)),
        ((3, 700), (1,)),
        ((700, 3), (0,)),
        ((4, 5, 6), (0, 2)),
        ((2, 3, 4), (1,)),
        ((5, 0), (1,)),
        ((1, 1), (0, 1)),
    ]
    out = {"any": dtypes.bool_, "all": dtypes.bool_}.get(
        combine, dtypes.int64 if "arg" in combine else dtypes.float32
    )
    for seed, (shape, dims) in enumerate(cases):
        count = int(numpy.prod(shape))
        x = random(dtypes.float32, max(1, count), seed)
        if combine == "prod":
            x = 1 + x / 100
        if combine in ("any", "all"):
            x = (
                numpy.random.default_rng(seed).random(max(1, count)) < (0.01 if combine == "any" else 0.99)
            ).astype("float32")
        results = max(1, count // max(1, int(numpy.prod([shape[axis] for axis in dims]))))
        step = fold(dtypes.float32, combine, shape, dims, cooperative, out)
        results = 5 if shape == (5, 0) else results
        compare(gpu, step, [x, numpy.zeros(results, out.numpy)], 1e-5 if combine in ("sum", "prod") else 0)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
@pytest.mark.parametrize(
    "dtype", [d for d in dtypes.ALL if d not in (dtypes.float64, dtypes.bool_)], ids=lambda d: d.name
)
def test_every_type(gpu: Device, dtype: DType, cooperative: bool) -> None:
    """16-bit floats are summed in float32 and rounded once; integers exactly."""
    for combine in ("sum", "max", "min", "argmin"):
        out = dtypes.int64 if combine == "argmin" else dtype
        step = fold(dtype, combine, (6, 301), (1,), cooperative, out)
        tolerance = (
            {16: 1e-2, 32: 1e-5}.get(dtype.bits, 0) if combine == "sum" and dtype.kind == "float" else 0
        )
        compare(gpu, step, [random(dtype, 6 * 301), numpy.zeros(6, out.numpy)], tolerance)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
def test_nan_wins_and_ties_go_to_the_first(gpu: Device, cooperative: bool) -> None:
    rows = numpy.zeros((8, 600), "float32")
    rows[0, [17, 400]] = numpy.nan
    rows[1, [30, 31, 590]] = 5
    rows[2] = -numpy.inf
    rows[3] = numpy.inf
    rows[4, 599] = numpy.nan
    rows[5, [256, 512]] = -3
    rows[6, 3], rows[6, 4] = numpy.nan, numpy.inf
    rows[7] = numpy.arange(600)[::-1]
    for combine in ("max", "min", "argmax", "argmin"):
        out = dtypes.int64 if "arg" in combine else dtypes.float32
        step = fold(dtypes.float32, combine, (8, 600), (1,), cooperative, out)
        compare(gpu, step, [rows.reshape(-1), numpy.zeros(8, out.numpy)])


def test_a_fold_gives_the_same_bits_each_time(gpu: Device) -> None:
    x = random(dtypes.float32, 100_003)
    step = fold(dtypes.float32, "sum", (1, 100_003), (1,), True, dtypes.float32)
    buffers = [(dtypes.float32, x), (dtypes.float32, numpy.zeros(1, "float32"))]
    results = [dispatch(gpu, kernel_of(step), buffers, arguments(step))[1] for _ in range(4)]
    assert len({result.tobytes() for result in results}) == 1
    numpy.testing.assert_allclose(results[0][0], x.astype("float64").sum(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
def test_a_long_sum_keeps_its_accuracy(gpu: Device, cooperative: bool) -> None:
    """One after another in float32, 60,000 times 0.1 would be off by 1e-4."""
    count = 60_000 if not cooperative else 400_000
    x = numpy.full(count, 0.1, "float32")
    for shape, dims in (((count,), (0,)), ((count // 4, 4), (0, 1))):
        if shape == (count // 4, 4) and not cooperative:
            shape = (count // 8, 4)
        step = fold(dtypes.float32, "sum", shape, dims, cooperative, dtypes.float32)
        compare(gpu, step, [x, numpy.zeros(1, "float32")], 5e-6)


@pytest.mark.parametrize(
    ("shape", "runs"),
    [
        ((21_800, 1), True),
        ((13_000, 3), True),
        ((22_000, 1), False),
        ((21_000, 2), False),
        ((7_000, 8), False),
    ],
    ids=str,
)
def test_the_ends_of_inner_loops_are_steps_too(gpu: Device, shape: tuple[int, int], runs: bool) -> None:
    """A loop that is entered n times takes n steps to end: a sum of 22,000 x 1 was that of its first 21,845 rows."""
    if not gpu.profile.software:
        pytest.skip("a GPU runs long loops")
    step = fold(dtypes.float32, "sum", shape, (0, 1), False, dtypes.float32)
    arrays = [numpy.ones(shape[0] * shape[1], "float32"), numpy.zeros(1, "float32")]
    if runs:
        compare(gpu, step, arrays)
    else:
        with pytest.raises(KernelError, match=r"ends loops that are this long.*at most 65535"):
            compare(gpu, step, arrays)


def test_a_loop_that_a_software_driver_would_cut_short_is_refused(gpu: Device) -> None:
    """llvmpipe leaves loops after 65,535 steps; the sum of the first ones is not an answer."""
    if not gpu.profile.software:
        pytest.skip("a GPU runs long loops")
    x = numpy.ones(70_000, "float32")
    step = fold(dtypes.float32, "sum", (1, 70_000), (1,), False, dtypes.float32)
    with pytest.raises(
        KernelError, match=r"ends loops that are this long; use the cpu device.*here 70000, at most 65535"
    ):
        compare(gpu, step, [x, numpy.zeros(1, "float32")])
    compare(
        gpu,
        fold(dtypes.float32, "sum", (1, 70_000), (1,), True, dtypes.float32),
        [x, numpy.zeros(1, "float32")],
    )


def normalized(
    kind: str, shape: tuple[int, int], cooperative: bool, dtype: DType, in_place: bool = False
) -> KernelStep:
    """Softmax, or layer normalization, of the rows: folds that use earlier ones, then stores at every element."""
    builder = Builder(kind)
    x = operand(0, dtype, shape)
    y = x if in_place else operand(1, dtype, shape)
    (i,), (r,) = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    value = builder.load(x, [i, r])
    if kind == "softmax":
        largest = builder.reduce("max", value)
        power = call("exp", value - largest)
        total = builder.reduce("sum", power)
        result: Expr = power / total
    else:
        count = cast(builder.integer("columns", shape[1]), dtypes.float32)
        mean = builder.reduce("sum", value) / count
        variance = builder.reduce("sum", (value - mean) * (value - mean)) / count
        result = (value - mean) / call("sqrt", variance + 1e-5)
    builder.store(y, [i, r], result, inner=True)
    return builder.finish(cooperative=cooperative)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
@pytest.mark.parametrize("kind", ["softmax", "layer_norm"])
def test_folds_that_use_earlier_folds(gpu: Device, kind: str, cooperative: bool) -> None:
    for shape in ((1, 1), (5, 300), (300, 7), (3, 1025)):
        for dtype, tolerance in ((dtypes.float32, 1e-5), (dtypes.float16, 2e-3)):
            x = random(dtype, shape[0] * shape[1])
            compare(gpu, normalized(kind, shape, cooperative, dtype), [x, numpy.zeros_like(x)], tolerance)
            compare(gpu, normalized(kind, shape, cooperative, dtype, in_place=True), [x], tolerance)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
def test_several_folds_in_one_pass_and_mixed_stores(gpu: Device, cooperative: bool) -> None:
    """The largest value, its place, the sum and any-positive at once; a store a row beside a store an element."""
    builder = Builder("many")
    x = operand(0, dtypes.float32, (9, 333))
    outs = [
        operand(1 + n, d, (9,))
        for n, d in enumerate((dtypes.float32, dtypes.int64, dtypes.float32, dtypes.bool_))
    ]
    centred = operand(5, dtypes.float32, (9, 333))
    (i,), (r,) = builder.axes((9,)), builder.reduce_axes((333,))
    value = builder.load(x, [i, r])
    results = [
        builder.reduce("max", value),
        builder.reduce("argmax", value),
        builder.reduce("sum", value),
        builder.reduce("any", value > 2.5),
    ]
    for out, result in zip(outs, results, strict=True):
        builder.store(out, [i], result)
    builder.store(centred, [i, r], value - results[0], inner=True)
    step = builder.finish(cooperative=cooperative)
    arrays = [random(dtypes.float32, 9 * 333)]
    arrays += [numpy.zeros(9, out.dtype.numpy) for out in outs] + [numpy.zeros(9 * 333, "float32")]
    compare(gpu, step, arrays, 1e-4)
    source = codegen.generate(kernel_of(step), replace(gpu.profile, software=True)).source  # not unrolled
    assert source.count("for (var r0_0" if not cooperative else "step += ") == 2, (
        "four folds are one pass, then stores"
    )


def test_more_rows_than_workgroups_in_a_dimension(gpu: Device) -> None:
    rows = 65535 + 70
    step = fold(dtypes.float32, "sum", (rows, 3), (1,), True, dtypes.float32)
    compare(gpu, step, [random(dtypes.float32, rows * 3), numpy.zeros(rows, "float32")], 1e-5)


@pytest.mark.parametrize("cooperative", [False, True], ids=["serial", "workgroup"])
def test_checks_inside_a_fold(gpu: Device, cooperative: bool) -> None:
    """A sum of gathered rows: an index out of range is reported from within the loop."""
    builder = Builder("gathered")
    index, table, out = (
        operand(0, dtypes.int64, (4, 300)),
        operand(1, dtypes.float32, (50,)),
        operand(2, dtypes.float32, (4,)),
    )
    (i,), (r,) = builder.axes((4,)), builder.reduce_axes((300,))
    wanted = builder.load(index, [i, r])
    valid = (wanted >= 0) & (wanted < 50)
    builder.check(valid, wanted, inner=True)
    zero = cast(wanted, INDEX) * 0
    builder.store(out, [i], builder.reduce("sum", builder.load(table, [where(valid, wanted, zero)])))
    step = builder.finish(cooperative=cooperative)
    positions = numpy.random.default_rng(0).integers(0, 50, 1200)
    arrays = [positions, random(dtypes.float32, 50), numpy.zeros(4, "float32")]
    compare(gpu, step, arrays, 1e-4)
    gpu.synchronize()
    positions[777] = -9
    buffers = [(buffer.dtype, array) for buffer, array in zip(kernel_of(step).buffers, arrays, strict=True)]
    with pytest.raises(IndexOutOfRangeError, match="-9"):
        dispatch(gpu, kernel_of(step), buffers, arguments(step))
        gpu.synchronize()


def test_any_of_numbers_is_refused(gpu: Device) -> None:
    from weft import codegen

    builder = Builder("bad")
    x, y = operand(0, dtypes.float32, (4,)), operand(1, dtypes.float32, ())
    builder.axes(())
    (r,) = builder.reduce_axes((4,))
    builder.store(y, [], builder.reduce("any", builder.load(x, [r])))
    with pytest.raises(KernelError, match="reduction any: value is float32, expected bool"):
        codegen.generate(kernel_of(builder.finish()), gpu.profile)
