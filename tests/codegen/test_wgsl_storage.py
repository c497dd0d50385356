"""Packed elements in WGSL: every 16-bit float, the rounding of float32 to them, and neighbours in a word."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from tests.codegen.test_wgsl_derived import compare, operand, pointwise
from tests.conftest import ADAPTER
from weft import devices, dtypes
from weft.codegen.wgsl.storage import FORMATS
from weft.devices.base import Device
from weft.dtypes import DType
from weft.expr import cast
from weft.expr.node import INDEX
from weft.kernels import Builder

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]
HALVES = [dtypes.float16, dtypes.bfloat16]


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


def same_halves(got: Array, want: Array, wide: Array) -> None:
    """Equal bits, but for NaN's payload; a GPU may take a subnormal float32 for zero."""
    flushed = numpy.abs(wide.astype("float32")) < 1.1754944e-38
    same = got.view("uint16") == want.view("uint16")
    both = numpy.isnan(got.astype("float32")) & numpy.isnan(want.astype("float32"))
    zero = flushed & (got.astype("float32") == 0)
    bad = numpy.flatnonzero(~(same | both | zero))
    assert not bad.size, (
        f"{bad.size} differ: {[(float(wide[i]), float(got[i]), float(want[i])) for i in bad[:5]]}"
    )


@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: dtype.name)
def test_every_16_bit_float_goes_through(gpu: Device, dtype: DType, vector: int) -> None:
    every = numpy.arange(65536, dtype="uint32").astype("uint16").view(dtype.numpy)
    from tests.codegen.wgsl_run import arguments, dispatch

    step = pointwise(dtype, dtype, 65536, vector, "x")
    buffers = [(dtype, every), (dtype, numpy.zeros_like(every))]
    same_halves(dispatch(gpu, step.kernel, buffers, arguments(step))[1], every, every)
    step = pointwise(dtype, dtypes.float32, 65536, vector, "x")
    buffers = [(dtype, every), (dtypes.float32, numpy.zeros(65536, "float32"))]
    got, want = dispatch(gpu, step.kernel, buffers, arguments(step))[1], every.astype("float32")
    flushed = (numpy.abs(want) < 1.1754944e-38) & (got == 0)
    numpy.testing.assert_array_equal(got[~flushed], want[~flushed])


@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: dtype.name)
def test_float32_is_rounded_to_nearest_even(gpu: Device, dtype: DType, vector: int) -> None:
    """Around every value of the narrow type: on it, the tie above it, and a hair to either side of the tie."""
    from tests.codegen.wgsl_run import arguments, dispatch

    values = numpy.arange(65536, dtype="uint32").astype("uint16").view(dtype.numpy).astype("float32")
    values = numpy.sort(values[numpy.isfinite(values)])
    ties = ((values[:-1].astype("float64") + values[1:].astype("float64")) / 2).astype("float32")
    edges = numpy.array(
        [65503.99, 65504, 65519.99, 65520, 65536, 1e9, 3.4e38, numpy.inf, numpy.nan, 1e-8, 2**-25, 6e-8],
        "float32",
    )
    x = numpy.concatenate(
        [values, ties, numpy.nextafter(ties, numpy.inf), numpy.nextafter(ties, -numpy.inf), edges, -edges]
    )
    with numpy.errstate(all="ignore"):
        want = x.astype(dtype.numpy)
    step = pointwise(dtypes.float32, dtype, x.size, vector, "x")
    buffers = [(dtypes.float32, x), (dtype, numpy.zeros(x.size, dtype.numpy))]
    same_halves(dispatch(gpu, step.kernel, buffers, arguments(step))[1], want, x)
    if vector == 1:  # the same rounding as a cast inside an expression
        step = pointwise(dtypes.float32, dtypes.float32, x.size, vector, f"float32({dtype.name}(x))")
        buffers = [(dtypes.float32, x), (dtypes.float32, numpy.zeros(x.size, "float32"))]
        got = dispatch(gpu, step.kernel, buffers, arguments(step))[1]
        same_halves(got.astype(dtype.numpy), want, x)


@pytest.mark.parametrize(
    "dtype",
    [dtypes.float16, dtypes.bfloat16, dtypes.int16, dtypes.int8, dtypes.uint8, dtypes.bool_],
    ids=lambda d: d.name,
)
def test_invocations_share_a_word_without_a_race(gpu: Device, dtype: DType) -> None:
    """Every second element is written, in reverse order; the others stay, over many words at once."""
    count = 20001
    builder = Builder("scatter")
    x, z = operand(0, dtype, (count,)), operand(1, dtype, (count,), (-2,))
    (i,) = builder.axes((count,))
    builder.store(z, [i], builder.load(x, [i]))
    rng = numpy.random.default_rng(3)
    arrays = [
        (rng.standard_normal(size) * 40).clip(0, 100).astype(dtype.numpy) for size in (count, 2 * count + 1)
    ]
    compare(gpu, builder.finish(), arrays, offsets={1: 2 * count})


@pytest.mark.parametrize("dtype", list(FORMATS), ids=lambda d: d.name)
def test_places_read_from_memory_may_be_named_twice(gpu: Device, dtype: DType) -> None:
    """Points of one place write one value, others the rest of the word."""
    from tests.codegen.wgsl_run import arguments, dispatch

    places = numpy.random.default_rng(5).permutation(numpy.repeat(numpy.arange(3, 4003), 2))
    builder = Builder("named")
    index, values = operand(0, dtypes.int32, (8000,)), operand(1, dtype, (5000,))
    (i,) = builder.axes((8000,))
    place = cast(builder.load(index, [i]), INDEX)
    builder.store(operand(2, dtype, (5000,)), [place], builder.load(values, [place]))
    given = (numpy.arange(5000) % 2 + (dtype is not dtypes.bool_) * (numpy.arange(5000) % 90)).astype(
        dtype.numpy
    )
    step = builder.finish()
    arrays = [places.astype("int32"), given, numpy.ones(5000, dtype.numpy)]
    buffers = [(buffer.dtype, array) for buffer, array in zip(step.kernel.buffers, arrays, strict=True)]
    expected = arrays[2].copy()
    expected[places] = given[places]
    numpy.testing.assert_array_equal(dispatch(gpu, step.kernel, buffers, arguments(step))[2], expected)


@pytest.mark.parametrize("vector", [1, 4])
def test_integers_wrap_when_narrowed(gpu: Device, vector: int) -> None:
    x = numpy.array(
        [-129, -128, -1, 0, 127, 128, 255, 256, 300, -300, 32767, 32768, 65535, 65536, -32768, -32769],
        "int32",
    )
    for dtype in (dtypes.int16, dtypes.int8, dtypes.uint8):
        step = pointwise(dtypes.int32, dtype, x.size, vector, "x")
        compare(gpu, step, [x, numpy.zeros(x.size, dtype.numpy)])
        if vector == 1:
            step = pointwise(dtypes.int32, dtypes.int32, x.size, vector, f"int32({dtype.name}(x))")
            compare(gpu, step, [x, x])
