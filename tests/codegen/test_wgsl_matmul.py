"""The WGSL matrix product against NumPy: strides, offsets, batches, ragged sizes, types, tiles, both dialects."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.wgsl_run import dispatch
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.codegen.wgsl.tile_sizes import TILES
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import Library
from weft.target import BROWSER

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]

MARGIN = 9  # elements around each operand that must not be read as part of it, nor written


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


def laid_out(matrices: Array, order: tuple[int, ...], gap: int, offset: int) -> tuple[Array, list[int]]:
    """The batch of matrices in a buffer with its axes in ``order`` of memory and a gap after each row; strides."""
    strides, size = [0] * 4, 1
    for place, axis in enumerate(reversed(order)):
        strides[axis] = size
        size *= matrices.shape[axis]
        size += gap if place == 0 else 0
    buffer = numpy.full(offset + size + MARGIN, 77).astype(matrices.dtype)
    index = sum(
        numpy.arange(length).reshape([-1 if axis == each else 1 for each in range(4)]) * strides[axis]
        for axis, length in enumerate(matrices.shape)
    )
    buffer[offset + index] = matrices
    return buffer, strides


def check(
    device: Device, dtype: DType, batch: tuple[int, int], m: int, n: int, k: int,
    orders: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3),) * 3, gap: int = 0, tile: str | None = None, out: DType | None = None,
) -> None:  # fmt: skip
    """One product, of operands laid out as asked; the buffer around the result stays as it was."""
    out = out or dtype
    rng = numpy.random.default_rng(m * 1000 + n * 10 + k)
    a, b = rng.standard_normal((*batch, m, k)), rng.standard_normal((*batch, k, n))
    if dtype.is_integer:
        a, b = numpy.abs(a * 9).round(), numpy.abs(b * 9).round()
    a, b = a.astype(dtype.numpy), b.astype(dtype.numpy)
    want = numpy.matmul(a.astype("float64"), b.astype("float64"))
    (left, sa), (right, sb) = laid_out(a, orders[0], gap, 1), laid_out(b, orders[1], gap, 2)
    blank = numpy.full((*batch, m, n), 5).astype(out.numpy)
    (result, sc), (whole, _) = (
        laid_out(blank, orders[2], gap, 3),
        laid_out(want.astype(out.numpy), orders[2], gap, 3),
    )
    parameters = [*batch, m, n, k, 1, *sa, 2, *sb, 3, *sc]
    library = Library("matmul", (dtype, dtype, out), (("tile", tile),) if tile else ())
    got = dispatch(device, library, [(dtype, left), (dtype, right), (out, result)], parameters)[2]
    tolerance = {16: 2e-2, 32: 1e-4}.get(out.bits, 1e-4) if out.kind == "float" else 0
    scale = max(1.0, float(numpy.abs(want).max(initial=0)))
    numpy.testing.assert_allclose(
        got.astype("float64"), whole.astype("float64"), atol=tolerance * scale, rtol=0
    )


@pytest.mark.parametrize("tile", TILES)
def test_sizes_around_the_tile(gpu: Device, tile: str) -> None:
    edge = TILES[tile].rows
    for m, n, k in (
        (1, 1, 1),
        (edge - 1, edge + 1, 17),
        (edge, edge, 16),
        (3, 2 * edge + 5, 31),
        (2, 3, 0),
        (0, 4, 4),
        (4, 0, 4),
    ):
        check(gpu, dtypes.float32, (1, 1), m, n, k, tile=tile)


@pytest.mark.parametrize("tile", ["software", "medium"])
@pytest.mark.parametrize(
    "dtype",
    [dtypes.float32, dtypes.float16, dtypes.bfloat16, dtypes.int32, dtypes.int64, dtypes.uint8],
    ids=lambda d: d.name,
)
def test_types(gpu: Device, dtype: DType, tile: str) -> None:
    out = dtypes.int32 if dtype is dtypes.uint8 else dtype
    check(gpu, dtype, (2, 1), 37, 70, 45, tile=tile, out=out)


def test_float16_accumulates_in_float32(gpu: Device) -> None:
    """4,096 products of 1: a float16 sum would stop at 2,048."""
    ones = numpy.ones(4096, "float16")
    library = Library("matmul", (dtypes.float16, dtypes.float16, dtypes.float16))
    parameters = [1, 1, 1, 1, 4096, 0, 0, 0, 4096, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    buffers = [(dtypes.float16, ones), (dtypes.float16, ones), (dtypes.float16, numpy.zeros(2, "float16"))]
    assert dispatch(gpu, library, buffers, parameters)[2].tolist() == [4096.0, 0.0]


ORDERS = st.permutations(range(4)).map(tuple)


@settings(max_examples=20)
@given(
    batch=st.tuples(st.integers(1, 3), st.integers(1, 3)), m=st.integers(1, 70), n=st.integers(1, 70), k=st.integers(0, 40),
    orders=st.tuples(ORDERS, ORDERS, ORDERS), gap=st.integers(0, 5), tile=st.sampled_from(["software", "small", "medium"]),
)  # fmt: skip
def test_any_strides(
    batch: tuple[int, int], m: int, n: int, k: int, orders: tuple[tuple[int, ...], ...], gap: int, tile: str
) -> None:
    check(devices.open(ADAPTER), dtypes.float32, batch, m, n, k, orders, gap, tile)


def test_broadcast_batches(gpu: Device) -> None:
    """A stride of 0 gives one matrix to every batch."""
    a, b = (
        numpy.random.default_rng(0).standard_normal((2, 6, 5, 4)).astype("float32")[:, :, :, :],
        numpy.eye(4, dtype="float32"),
    )
    parameters = [2, 6, 5, 4, 4, 0, 120, 20, 4, 1, 0, 0, 0, 4, 1, 0, 120, 20, 4, 1]
    library = Library("matmul", (dtypes.float32,) * 3)
    buffers = [
        (dtypes.float32, a.reshape(-1)),
        (dtypes.float32, b.reshape(-1)),
        (dtypes.float32, numpy.zeros(240, "float32")),
    ]
    numpy.testing.assert_array_equal(dispatch(gpu, library, buffers, parameters)[2], a.reshape(-1))


def test_more_tiles_than_workgroups_in_a_dimension(gpu: Device) -> None:
    """70,000 batches of 2 by 2."""
    rng = numpy.random.default_rng(1)
    a, b = rng.standard_normal((2, 70000, 2, 2)).astype("float32")
    parameters = [70000, 1, 2, 2, 2, 0, 4, 4, 2, 1, 0, 4, 4, 2, 1, 0, 4, 4, 2, 1]
    buffers = [(dtypes.float32, each.reshape(-1)) for each in (a, b, numpy.zeros_like(a))]
    got = dispatch(gpu, Library("matmul", (dtypes.float32,) * 3), buffers, parameters)[2]
    numpy.testing.assert_allclose(got.reshape(a.shape), a @ b, rtol=1e-5, atol=1e-5)


def test_limits_and_types_are_named() -> None:
    with pytest.raises(KernelError, match="expected no bool"):
        codegen.generate(Library("matmul", (dtypes.bool_,) * 3), BROWSER)
    with pytest.raises(KernelError, match="2 types were given, expected 3"):
        codegen.generate(Library("matmul", (dtypes.float32,) * 2), BROWSER)
    with pytest.raises(KernelError, match="tile is 'huge', expected one of"):
        codegen.generate(Library("matmul", (dtypes.float32,) * 3, (("tile", "huge"),)), BROWSER)
