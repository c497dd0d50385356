"""Every storage type read and written by LLVM kernels: one element at a time, in lanes, and in the masked rest."""

from __future__ import annotations

import dataclasses

import numpy
import pytest

from tests.codegen.llvm_run import Array, cpu, operand, run, same_bits
from weft import codegen, dtypes
from weft.dtypes import DType
from weft.expr import cast
from weft.kernels import Builder

ALL_16_BITS = numpy.arange(65536, dtype=numpy.uint16)


def convert(given: Array, source: DType, target: DType, lanes: bool) -> Array:
    """The elements as another type, by a pointwise kernel or (``lanes``) inside a reduction."""
    size = given.size
    builder = Builder(f"convert_{source.name}_{target.name}")
    columns = builder.reduce_axes((size,)) if lanes else builder.axes((size,))
    loaded = builder.load(operand(0, (size,), source), columns)
    if lanes:
        builder.reduce("any", cast(loaded, dtypes.bool_))
    builder.store(operand(1, (size,), target), columns, loaded, inner=lanes)
    return run(builder.finish(), [given, numpy.zeros(size, target.numpy)])[1]


@pytest.mark.parametrize("lanes", [False, True], ids=["loop", "lanes"])
@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("size", [1, 16, 77])
def test_copies_keep_every_value(dtype: DType, lanes: bool, size: int) -> None:
    generator = numpy.random.default_rng(size)
    if dtype.kind == "bool":
        given = generator.integers(0, 2, size).astype(bool)
    elif dtype.kind == "float":
        values = [0.0, -0.0, numpy.inf, -numpy.inf, numpy.nan, 1.5, -3e-8, 200.0]
        given = numpy.resize(values, size).astype(dtype.numpy)
    else:
        information = numpy.iinfo(dtype.numpy)
        given = generator.integers(information.min, information.max, size, dtype.numpy, endpoint=True)
    result = convert(given, dtype, dtype, lanes)
    assert result.dtype == given.dtype
    if dtype.kind == "float":
        result, given = result.astype(numpy.float64), given.astype(numpy.float64)
    assert same_bits(result, given)


@pytest.mark.parametrize("lanes", [False, True], ids=["loop", "lanes"])
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=lambda dtype: dtype.name)
def test_all_16_bit_floats_widen_exactly(dtype: DType, lanes: bool) -> None:
    given = ALL_16_BITS.view(dtype.numpy)
    assert same_bits(convert(given, dtype, dtypes.float32, lanes), given.astype(numpy.float32))


@pytest.mark.parametrize("lanes", [False, True], ids=["loop", "lanes"])
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=lambda dtype: dtype.name)
def test_floats_narrow_to_the_nearest_even(dtype: DType, lanes: bool) -> None:
    exact = ALL_16_BITS.view(dtype.numpy).astype(numpy.float32)
    finite = numpy.sort(exact[numpy.isfinite(exact)])
    with numpy.errstate(over="ignore"):
        ties = ((finite[1:].astype(numpy.float64) + finite[:-1]) / 2).astype(numpy.float32)
        above, below = (numpy.nextafter(ties, numpy.float32(end)) for end in (numpy.inf, -numpy.inf))
    random = numpy.random.default_rng(0).integers(0, 2**32, 100_000, numpy.uint32).view(numpy.float32)
    edges = [65504, 65519.996, 65520, 65536, 3.4e38, 1e-45, 2.9802322e-8, 5.9604645e-8]
    edges = numpy.array(edges, numpy.float32)
    given = numpy.concatenate([exact, ties, above, below, random, edges, -edges])
    with numpy.errstate(all="ignore"):
        expected = given.astype(dtype.numpy)
    result = convert(given, dtypes.float32, dtype, lanes)
    nan = numpy.isnan(given)
    assert numpy.isnan(result[nan].astype(numpy.float32)).all()
    numpy.testing.assert_array_equal(result[~nan].view(numpy.uint16), expected[~nan].view(numpy.uint16))


def test_a_bfloat16_nan_of_low_bits_stays_nan() -> None:
    given = numpy.array([0x7F800001, 0xFF800001, 0x7F80FFFF], numpy.uint32).view(numpy.float32)
    for lanes in (False, True):
        result = convert(given, dtypes.float32, dtypes.bfloat16, lanes)
        assert numpy.isnan(result.astype(numpy.float32)).all()
        assert (result.view(numpy.uint16) >> 15).tolist() == [0, 1, 0]


def test_integers_narrow_by_their_low_bits() -> None:
    given = numpy.array([0, 1, 127, 128, 255, 256, -1, -129, 32767, 32768, 65536, -32769], numpy.int32)
    for target in (dtypes.int16, dtypes.int8, dtypes.uint8):
        result = convert(given, dtypes.int32, target, False)
        numpy.testing.assert_array_equal(result, given.astype(target.numpy))


@pytest.mark.parametrize("size", [5, 16, 50])
def test_strided_and_offset_operands(size: int) -> None:
    """Gathers, scatters, repeated elements and offsets, in lanes and in loops."""
    source = numpy.arange(400, dtype=numpy.float32)
    for lanes in (False, True):
        for stride, out_stride, first in [(3, 1, 7), (1, 2, 1), (0, 1, 5), (2, 4, 0)]:
            builder = Builder("strided")
            columns = builder.reduce_axes((size,)) if lanes else builder.axes((size,))
            loaded = builder.load(operand(0, (size,), strides=(stride,)), columns)
            even = builder.load(operand(2, (size,)), columns)  # keeps the reduction in lanes
            if lanes:
                builder.reduce("max", even)
            builder.store(operand(1, (size,), strides=(out_stride,)), columns, loaded + even, inner=lanes)
            at = numpy.arange(size)
            given = [source, numpy.full(4 * size + 9, -1, numpy.float32), at.astype(numpy.float32)]
            result = run(builder.finish(), given, offsets={0: first, 1: 4})[1]
            expected = given[1].copy()
            expected[4 + out_stride * at] = source[first + stride * at] + at
            numpy.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
def test_streams_larger_than_the_cache_are_the_same(dtype: DType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores around the cache begin at any element, and end anywhere; what lies beside is not touched."""
    size = 5003
    builder = Builder("twice")
    columns = builder.axes((size,))
    value = builder.load(operand(0, (size,), dtype), columns)
    builder.store(operand(1, (size,), dtype), columns, value if dtype is dtypes.bool_ else value + value)
    step = builder.finish()
    spec = codegen.generate(step.kernel, cpu().profile)
    small = dataclasses.replace(spec, source=spec.source.replace("call i64 @weft.cache()", "add i64 1000, 0"))
    assert "!nontemporal" in spec.source
    assert small != spec
    small = dataclasses.replace(small, workgroup_size=(1000, 1, 1))  # worth two threads
    given = numpy.random.default_rng(0).integers(0, 2, size).astype(dtype.numpy)
    for offset in (0, 1, 15, 37):
        target = numpy.ones(size + 64, dtype.numpy)
        usual = run(step, [given, target], offsets={1: offset})[1]
        with monkeypatch.context() as patch:
            patch.setattr(codegen, "generate", lambda kernel, profile: small)
            for threads in (1, 2):
                assert same_bits(
                    run(step, [given, target], offsets={1: offset}, device=cpu(threads))[1], usual
                )
        assert (usual[:offset] == 1).all()
        assert (usual[offset + size :] == 1).all()
