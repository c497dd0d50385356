"""Derived kernels in WGSL against NumPy: types, sizes, tails, strides, parts, reductions, checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weft
from tests.codegen.wgsl_run import arguments, dispatch, expected
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import IndexOutOfRangeError, KernelError
from weft.expr import call, cast, const, parse, substitute, variable, variables, where
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Builder, Kernel, KernelStep, Operand, Part, Store
from weft.target import BROWSER, TargetProfile

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]

STORED = [dtype for dtype in dtypes.ALL if dtype is not dtypes.float64]
NATIVE = TargetProfile("wgsl-native", frozenset({"immediates"}), {"max-immediate-size": 128})


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


@pytest.fixture(scope="module")
def browser() -> Iterator[Device]:
    """The same adapter with parameters in a uniform buffer."""
    from weft.devices.webgpu import WebGpuDevice, find

    adapter = find(ADAPTER)
    info = dataclasses.replace(adapter.info, features=frozenset())
    opened = WebGpuDevice(dataclasses.replace(adapter, info=info))
    yield opened
    opened.dispose()


def random(dtype: DType, count: int, seed: int = 0) -> Array:
    """Values of the type that its arithmetic here does not overflow."""
    values = numpy.random.default_rng(seed).standard_normal(count)
    if dtype.kind == "bool":
        return values > 0
    if dtype.kind == "float":
        return values.astype(dtype.numpy)
    return numpy.round(values * 20).clip(0 if dtype.kind == "uint" else -60, 60).astype(dtype.numpy)


def operand(index: int, dtype: DType, shape: Sequence[int], strides: Sequence[int] | None = None) -> Operand:
    if strides is None:
        strides = [int(numpy.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    return Operand(index, dtype, tuple(shape), tuple(strides), index)


def compare(
    device: Device,
    step: KernelStep,
    arrays: Sequence[Array],
    tolerance: float = 0.0,
    offsets: dict[int, int] | None = None,
) -> list[Array]:
    """Run the step; every array must end as NumPy says: equal, or close where a tolerance is given."""
    kernel = step.kernel
    assert isinstance(kernel, Kernel)
    values = arguments(step, offsets)
    buffers = [(buffer.dtype, array) for buffer, array in zip(kernel.buffers, arrays, strict=True)]
    given_back = dispatch(device, kernel, buffers, values)
    for got, want in zip(given_back, expected(kernel, arrays, values), strict=True):
        if tolerance:
            numpy.testing.assert_allclose(
                got.astype(float), want.astype(float), rtol=tolerance, atol=tolerance
            )
        else:
            numpy.testing.assert_array_equal(got, want)
    return given_back


def pointwise(dtype: DType, out: DType, count: int, vector: int, source: str) -> KernelStep:
    """``out[i] = source`` over x and y, contiguous."""
    builder = Builder("pointwise")
    x, y, z = (operand(index, kind, (count,)) for index, kind in enumerate((dtype, dtype, out)))
    (i,) = builder.axes((count,))
    formula = parse(source, dict.fromkeys("xy", dtype.compute))
    names = {leaf: builder.load(x if leaf.data == "x" else y, [i]) for leaf in variables(formula)}
    builder.store(z, [i], substitute(formula, names))
    return builder.finish(vector=vector)


@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("dtype", STORED, ids=lambda dtype: dtype.name)
def test_every_type_is_loaded_and_stored_at_every_length(gpu: Device, dtype: DType, vector: int) -> None:
    """Offsets inside a word and lengths inside a vector leave the elements around the destination as they were."""
    source = "x | y" if dtype.kind == "bool" else "x + y"
    for count in (1, 2, 3, 4, 5, 6, 7, 255, 1027):
        offsets = {0: 4, 1: 8, 2: 4} if vector == 4 else {0: 1, 1: 2, 2: 3}
        arrays = [random(dtype, count + 12, seed) for seed in range(3)]
        compare(gpu, pointwise(dtype, dtype, count, vector, source), arrays, offsets=offsets)


@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("source", STORED, ids=lambda dtype: dtype.name)
def test_casts_to_every_type(gpu: Device, source: DType, vector: int) -> None:
    for target in STORED:
        values = random(source, 131)
        if target.kind == "uint" and source.kind != "bool":
            values = numpy.abs(values)
        step = pointwise(source, target, 131, vector, f"{target.compute.name}(x)")
        compare(gpu, step, [values, random(target, 131, 1)])


@pytest.mark.parametrize("dialect", ["gpu", "browser"])
def test_both_dialects_run(request: pytest.FixtureRequest, dialect: str) -> None:
    device = request.getfixturevalue(dialect)
    step = pointwise(dtypes.float32, dtypes.float32, 1000, 4, "x * y + 1.5")
    compare(device, step, [random(dtypes.float32, 1000, seed) for seed in range(3)], 1e-6)
    source = codegen.generate(step.kernel, device.profile).source  # type: ignore[arg-type]
    assert ("var<immediate>" in source) == (dialect == "gpu")
    assert ("var<uniform>" in source) == (dialect == "browser")


@pytest.mark.parametrize("vector", [1, 4])
def test_special_values_pass_through(gpu: Device, vector: int) -> None:
    """Infinities, NaN, both zeros, and constants that WGSL cannot write."""
    bits = numpy.array([0x7F800000, 0xFF800000, 0x7FC00000, 0x80000000, 0, 0x3F800000, 0x00800000], "uint32")
    x = bits.view("float32")
    out = numpy.zeros_like(x)
    got = compare(gpu, pointwise(dtypes.float32, dtypes.float32, 7, vector, "x"), [x, out])[1]
    numpy.testing.assert_array_equal(got.view("uint32"), bits)
    for source in (
        "-x",
        "where(x > 0.0, float32(inf), -inf)",
        "where(x == 0.0, nan, x)",
        "x * -0.0",
        "x + 0.0",
        "(x + y) - x",
        "where(x > y, x, y)",
        "where(x < y, x, y)",
        "x + -inf",
        "maximum(x, y)",
    ):
        step = pointwise(dtypes.float32, dtypes.float32, 7, vector, source)
        arrays = [x, x[::-1].copy(), out] if len(step.buffers) == 3 else [x, out]
        got, want = compare(gpu, step, arrays)[-1], expected(step.kernel, arrays, arguments(step))[-1]  # type: ignore[arg-type]
        numbers = ~numpy.isnan(want)
        numpy.testing.assert_array_equal(numpy.signbit(got[numbers]), numpy.signbit(want[numbers]), source)
    for source in ("x != x", "isnan(x)", "isinf(x)", "x == x", "not isnan(x)", "x != 0.0", "bool(x)"):
        step = pointwise(dtypes.float32, dtypes.bool_, 7, vector, source)
        compare(gpu, step, [x, numpy.zeros(7, bool)])


@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.uint32], ids=lambda dtype: dtype.name)
def test_integer_functions(gpu: Device, dtype: DType, vector: int) -> None:
    x = numpy.array([0, 1, 2, 3, 31, 32, 33, 1 << 30, (1 << 31) - 1, 7], dtype.numpy)
    y = numpy.array([1, 3, 2, 5, 31, 30, 4, 5, 6, 7], dtype.numpy)
    for source in (
        "x & y",
        "x | y",
        "x ^ y",
        "~x",
        "x << (y & 15)",
        "x >> y",
        "idiv(x, y)",
        "irem(x, y)",
        "x * y - y",
    ):
        step = pointwise(dtype, dtype, 10, vector, source)
        compare(gpu, step, [x, y, x] if len(step.buffers) == 3 else [x, x])
    lowest = str(numpy.iinfo(dtype.numpy).min)
    step = pointwise(dtype, dtype, 10, vector, f"where(x > y, {dtype.name}({lowest}), y)")
    compare(gpu, step, [x, y, x])


def test_division_by_zero_is_defined(gpu: Device) -> None:
    """A quotient by zero is any value, and a constant divisor of zero compiles; neighbours are right."""
    x, y = numpy.arange(1, 9, dtype="int32"), numpy.array([1, 0, 2, 0, 3, 0, 4, 0], "int32")
    got = dispatch(
        gpu, pointwise(dtypes.int32, dtypes.int32, 8, 1, "idiv(x, y)").kernel,  # type: ignore[arg-type]
        [(dtypes.int32, x), (dtypes.int32, y), (dtypes.int32, x)], [8, 0, 0, 0],
    )[2]  # fmt: skip
    numpy.testing.assert_array_equal(got[::2], x[::2] // y[::2])
    for source in ("idiv(x, int32(0))", "irem(x, int32(0))", "x + idiv(int32(1), int32(0)) * 0"):
        codegen.generate(pointwise(dtypes.int32, dtypes.int32, 8, 1, source).kernel, gpu.profile)  # type: ignore[arg-type]
        gpu.register_kernel(
            codegen.generate(pointwise(dtypes.int32, dtypes.int32, 8, 1, source).kernel, gpu.profile)  # type: ignore[arg-type]
        )


def test_scalars_and_the_axis_in_a_vector_kernel(gpu: Device) -> None:
    """A Python scalar, an operand that does not move, and the position itself (``arange``)."""
    builder = Builder("mixed")
    x, s, z = (
        operand(0, dtypes.float32, (70,)),
        operand(1, dtypes.float16, (70,), (0,)),
        operand(2, dtypes.float32, (70,)),
    )
    (i,) = builder.axes((70,))
    alpha = builder.number("alpha", 2.5, dtypes.float32)
    value = builder.load(x, [i]) * alpha + builder.load(s, [i]) + cast(i, dtypes.float32)
    builder.store(z, [i], value)
    arrays = [random(dtypes.float32, 70), numpy.array([9, 3], "float16"), numpy.zeros(70, "float32")]
    compare(gpu, builder.finish(vector=4), arrays, 1e-6, offsets={1: 1})


@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.float16, dtypes.bool_, dtypes.int16, dtypes.int8], ids=lambda d: d.name
)
def test_strided_broadcast_and_transposed(gpu: Device, dtype: DType) -> None:
    """Three axes, a transposed source, a broadcast one, a destination with gaps: only its elements change."""
    shape = (5, 7, 3)
    builder = Builder("strided")
    x = operand(0, dtype, shape, (1, 5, 35))
    y = operand(1, dtype, shape, (0, 1, 0))
    z = operand(2, dtype, shape, (100, 6, 2))
    axes = builder.axes(shape)
    a, b = builder.load(x, axes), builder.load(y, axes)
    builder.store(z, axes, call("and" if dtype.kind == "bool" else "sub", a, b))
    arrays = [random(dtype, 105), random(dtype, 7, 1), random(dtype, 600, 2)]
    compare(gpu, builder.finish(), arrays, offsets={2: 1})


def test_in_place_and_two_outputs(gpu: Device) -> None:
    """All values are computed before the first store: ``x, y = x + y, x - y`` in place."""
    for vector in (1, 4):
        builder = Builder("swap")
        x, y = operand(0, dtypes.float16, (37,)), operand(1, dtypes.float16, (37,))
        (i,) = builder.axes((37,))
        a, b = builder.load(x, [i]), builder.load(y, [i])
        builder.store(x, [i], a + b)
        builder.store(y, [i], a - b)
        compare(gpu, builder.finish(vector=vector), [random(dtypes.float16, 37, seed) for seed in range(2)])


@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.float16, dtypes.uint8, dtypes.bool_], ids=lambda d: d.name
)
def test_parts_run_side_by_side(gpu: Device, dtype: DType) -> None:
    """``cat`` of four values of different shapes, one of them empty, into one buffer: words are shared by parts."""
    for static in (False, True):
        builder = Builder("cat", static=static)
        out = operand(9, dtype, (1000,))
        position, arrays, offsets = 1, [], {9: 1}
        sizes = [(3, 5), (0, 4), (301, 1), (7, 11)]
        for index, shape in enumerate(sizes):
            if index:
                builder.end_part()
            source = operand(index, dtype, shape)
            i, j = builder.axes(shape)
            target = dataclasses.replace(out, shape=shape, strides=(shape[1], 1), index=20 + index)
            offsets[20 + index] = position
            builder.store(target, [i, j], builder.load(source, [i, j]))
            position += shape[0] * shape[1]
            arrays.append(random(dtype, max(1, shape[0] * shape[1]), index))
        compare(gpu, builder.finish(), [*arrays, random(dtype, 1000, 9)], offsets=offsets)


def test_more_workgroups_than_one_dimension_holds(gpu: Device) -> None:
    """65,535 workgroups of 256 are 16,776,960 points; 21 more fold into a second row."""
    count = 65535 * 256 + 21
    step = pointwise(dtypes.uint8, dtypes.uint8, count, 1, "x + 1")
    source = (numpy.arange(count) % 251).astype("uint8")
    values = arguments(step)
    got = dispatch(
        gpu, step.kernel, [(dtypes.uint8, source), (dtypes.uint8, numpy.zeros(count, "uint8"))], values
    )  # type: ignore[arg-type]
    numpy.testing.assert_array_equal(got[1], source + 1)


def test_checks_report_the_value(gpu: Device, browser: Device) -> None:
    """A bad index is reported with its value, good ones are gathered, and nothing is reported without a bad one."""
    for device in (gpu, browser):
        builder = Builder("gather")
        index, table, out = (
            operand(n, d, (300,)) for n, d in enumerate((dtypes.int64, dtypes.float32, dtypes.float32))
        )
        (i,) = builder.axes((300,))
        wanted = builder.load(index, [i])
        size = builder.integer("rows", 50)
        valid = (wanted >= 0) & (wanted < size)
        builder.check(valid, wanted)
        builder.store(
            out, [i], builder.load(dataclasses.replace(table, shape=(50,)), [where(valid, wanted, 0)])
        )
        step = builder.finish()
        positions = numpy.random.default_rng(0).integers(0, 50, 300)
        values = random(dtypes.float32, 50)
        compare(device, step, [positions, values, numpy.zeros(300, "float32")])
        device.synchronize()
        positions[123] = 77
        with pytest.raises(IndexOutOfRangeError, match="77"):
            compare(device, step, [positions, values, numpy.zeros(300, "float32")])
            device.synchronize()


def test_checks_in_a_vector_kernel_ignore_the_tail(gpu: Device) -> None:
    """Elements past the end, which the last vector also reads, are not the caller's mistake."""
    builder = Builder("check")
    x, z = operand(0, dtypes.int32, (5,)), operand(1, dtypes.int32, (5,))
    (i,) = builder.axes((5,))
    value = builder.load(x, [i])
    builder.check(value < 10, value)
    builder.store(z, [i], value)
    step = builder.finish(vector=4)
    compare(gpu, step, [numpy.array([1, 2, 3, 4, 5, 99, 99, 99], "int32"), numpy.zeros(8, "int32")])
    gpu.synchronize()
    with pytest.raises(IndexOutOfRangeError, match="99"):
        compare(gpu, step, [numpy.array([1, 2, 3, 4, 99, 0, 0, 0], "int32"), numpy.zeros(8, "int32")])
        gpu.synchronize()


OPERATIONS = (
    "x + y",
    "x - y",
    "x * y",
    "where(x > y, x, y)",
    "maximum(x, y)",
    "minimum(x, -y)",
    "abs(x) + floor(y)",
)


@given(
    shape=st.lists(st.integers(0, 5), min_size=0, max_size=5),
    order=st.randoms(use_true_random=False),
    source=st.sampled_from(OPERATIONS),
    dtype=st.sampled_from([dtypes.float32, dtypes.float16]),
)
def test_any_geometry(shape: list[int], order: Any, source: str, dtype: DType) -> None:
    """Random shapes, permuted strides, offsets: a few kernels serve them all, as sizes are parameters."""
    device = devices.open(ADAPTER)
    builder = Builder("any")
    axes_order = list(range(len(shape)))
    operands = []
    for index in range(3):
        order.shuffle(axes_order)
        strides, size = [0] * len(shape), 1
        for axis in axes_order:
            strides[axis], size = size, size * shape[axis]
        operands.append(operand(index, dtype, shape, strides))
    axes = builder.axes(shape)
    names = {
        variable(name, dtypes.float32): builder.load(each, axes)
        for name, each in zip("xy", operands, strict=False)
    }
    builder.store(
        operands[2], axes, substitute(parse(source, {"x": dtypes.float32, "y": dtypes.float32}), names)
    )
    count = max(1, int(numpy.prod(shape)))
    arrays = [random(dtype, count + 3, seed) for seed in range(3)]
    step = builder.finish()
    compare(device, step, arrays, offsets={0: 1, 1: 2, 2: 3})


def test_mistakes_are_named() -> None:
    step = pointwise(dtypes.float32, dtypes.float32, 8, 1, "x + y")
    kernel = step.kernel
    assert isinstance(kernel, Kernel)
    few = TargetProfile("wgsl-browser", limits={"max-storage-buffers-per-shader-stage": 2})
    with pytest.raises(
        KernelError, match=r"needs 3, but max-storage-buffers-per-shader-stage of this target is 2"
    ):
        codegen.generate(kernel, few)
    small = TargetProfile("wgsl-browser", limits={"max-compute-workgroup-storage-size": 256})
    builder = Builder("sum")
    x, y = operand(0, dtypes.float32, (4, 9)), operand(1, dtypes.float32, (4,))
    (i,), (r,) = builder.axes((4,)), builder.reduce_axes((9,))
    builder.store(y, [i], builder.reduce("sum", builder.load(x, [i, r])))
    with pytest.raises(KernelError, match=r"needs 576, but max-compute-workgroup-storage-size"):
        codegen.generate(builder.finish(cooperative=True).kernel, small)  # type: ignore[arg-type]
    with pytest.raises(KernelError, match="vector is 3, expected 1 or 4"):
        codegen.generate(dataclasses.replace(kernel, vector=3), NATIVE)
    with pytest.raises(KernelError, match="expected read-only ones first"):
        codegen.generate(dataclasses.replace(kernel, buffers=kernel.buffers[::-1]), NATIVE)
    i = variable("i", INDEX)
    strided = Part((Axis(i, const(8, INDEX)),), (Store("z", i * 2, const(1.0, dtypes.float32)),))
    bad = Kernel("bad", (Buffer("z", dtypes.float32, "read_write"),), (), (strided,), vector=4)
    with pytest.raises(KernelError, match="expected an offset plus the axis"):
        codegen.generate(bad, NATIVE)
    wide = Part((Axis(i, const(8, INDEX)),), (Store("z", i, const(1.0, dtypes.float64)),))
    with pytest.raises(KernelError, match="float64"):
        codegen.generate(dataclasses.replace(bad, parts=(wide,), vector=1), NATIVE)
    unknown = Part(
        (Axis(i, const(8, INDEX)),), (Store("z", i + variable("j", INDEX), const(1.0, dtypes.float32)),)
    )
    with pytest.raises(KernelError, match="'j' is not a parameter"):
        codegen.generate(dataclasses.replace(bad, parts=(unknown,), vector=1), NATIVE)
    renamed = dataclasses.replace(kernel, buffers=(Buffer("b0;", dtypes.float32), *kernel.buffers[1:]))
    with pytest.raises(KernelError, match="'b0;' is no name"):
        codegen.generate(renamed, NATIVE)
    with pytest.raises(KernelError, match="no template in wgsl"):
        codegen.generate(weft.kernels.Library("quilt", ()), BROWSER)
