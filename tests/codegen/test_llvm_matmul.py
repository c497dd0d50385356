"""The matrix product of the ``cpu`` against NumPy: layouts, batches, odd sizes, with and without a BLAS."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codegen.llvm_run import Array, cpu
from weft import codegen, dtypes
from weft.devices.cpu import CpuDevice, blas
from weft.dtypes import DType
from weft.kernels import Library
from weft.target import CPU, TargetProfile

WITHOUT_BLAS = CPU


def elements(array: Array) -> tuple[int, tuple[int, ...], Array]:
    """Offset and strides in elements of an array within its base, and the base."""
    base = array if array.base is None else array.base
    offset = (array.ctypes.data - base.ctypes.data) // array.itemsize
    return offset, tuple(stride // array.itemsize for stride in array.strides), base


def product(
    a: Array, b: Array, c: Array, profile: TargetProfile | None = None, device: CpuDevice | None = None
) -> Array:
    """``c = a @ b`` for views of shape (batch0, batch1, rows, columns); gives c's base."""
    device = device or cpu()
    dtype = dtypes.from_numpy(a.dtype)
    spec = codegen.generate(Library("matmul", (dtype,) * 3), profile or device.profile)
    parameters: list[int] = [*c.shape, a.shape[3]]
    storages = []
    for array in (a, b, c):
        offset, strides, base = elements(array)
        parameters += [offset, *strides]
        storage = device.allocate(base.nbytes)
        device.write(storage, memoryview(base).cast("B") if base.size else memoryview(b""))
        storages.append(storage)
    device.dispatch_kernel(spec, storages, parameters)
    base = elements(c)[2]
    return numpy.frombuffer(device.read(storages[2], 0, base.nbytes), base.dtype).reshape(base.shape)


def check(a: Array, b: Array, c: Array, profile: TargetProfile | None) -> None:
    """Every element of c is the product, and nothing around it in its base has changed."""
    offset, strides, base = elements(c)
    base[...] = 7
    wanted, bound = base.astype(numpy.float64), numpy.zeros(base.shape)
    for whole, inside in (
        (wanted, a.astype(numpy.float64) @ b.astype(numpy.float64)),
        (bound, abs(a.astype(numpy.float64)) @ abs(b.astype(numpy.float64))),
    ):
        view = numpy.ndarray(c.shape, whole.dtype, whole, 8 * offset, [8 * stride for stride in strides])
        view[...] = inside
    result = product(a, b, c, profile)
    assert (abs(result - wanted) <= bound * (1e-6 if c.itemsize == 4 else 1e-15)).all()


def laid_out(generator: numpy.random.Generator, shape: tuple[int, ...], layout: str, dtype: DType) -> Array:
    """An array of a shape whose rows (``C``), columns (``F``) or neither (``S``) are contiguous."""
    b0, b1, rows, columns = shape
    if layout == "F":
        return generator.normal(size=(b0, b1, columns, rows)).astype(dtype.numpy).swapaxes(2, 3)
    if layout == "S":
        return generator.normal(size=(b0, b1, 2 * rows, 3 * columns)).astype(dtype.numpy)[:, :, ::2, 1::3]
    if layout == "P":  # rows further apart than they are long
        return generator.normal(size=(b0, b1, rows, columns + 3)).astype(dtype.numpy)[..., 2 : columns + 2]
    return generator.normal(size=shape).astype(dtype.numpy)


@pytest.mark.parametrize("profile", [None, WITHOUT_BLAS], ids=["blas", "loops"])
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda dtype: dtype.name)
def test_every_layout(dtype: DType, profile: TargetProfile | None) -> None:
    generator = numpy.random.default_rng(0)
    for layouts in itertools.product("CFSP", repeat=3):
        for m, n, k in [(5, 4, 3), (1, 4, 3), (5, 1, 3), (5, 4, 1), (1, 1, 1), (1, 6, 1)]:
            a, b, c = (
                laid_out(generator, (2, 3, *shape), layout, dtype)
                for shape, layout in zip([(m, k), (k, n), (m, n)], layouts, strict=True)
            )
            check(a, b, c, profile)


@given(*[st.integers(0, 70)] * 3, st.integers(0, 3), st.integers(1, 3))
def test_any_size(m: int, n: int, k: int, b0: int, b1: int) -> None:
    generator = numpy.random.default_rng(m)
    shapes = [(b0, b1, m, k), (b0, b1, k, n), (b0, b1, m, n)]
    check(*(laid_out(generator, shape, "C", dtypes.float32) for shape in shapes), None)


@pytest.mark.parametrize("profile", [None, WITHOUT_BLAS], ids=["blas", "loops"])
def test_an_empty_sum_is_zero(profile: TargetProfile | None) -> None:
    empty = numpy.zeros((2, 1, 3, 0), numpy.float32), numpy.zeros((2, 1, 0, 4), numpy.float32)
    result = product(*empty, numpy.full((2, 1, 3, 4), numpy.nan, numpy.float32), profile)
    assert (result == 0).all()


@pytest.mark.parametrize("profile", [None, WITHOUT_BLAS], ids=["blas", "loops"])
def test_broadcast_and_overlapping_operands(profile: TargetProfile | None) -> None:
    """Strides of 0, over batches and within a matrix, and windows that overlap: what BLAS cannot see as a matrix."""
    generator = numpy.random.default_rng(0)
    row = generator.normal(size=5).astype(numpy.float32)
    windows = numpy.ndarray((2, 1, 3, 3), row.dtype, row, strides=(0, 0, 4, 4))
    same = numpy.ndarray((2, 1, 4, 3), row.dtype, row, strides=(0, 0, 0, 4))
    b = generator.normal(size=(2, 1, 3, 6)).astype(numpy.float32)
    for a in (windows, same):
        check(a, b, numpy.zeros((2, 1, a.shape[2], 6), numpy.float32), profile)


@pytest.mark.parametrize("shape", [(40, 5, 30, 30), (3, 4, 150, 150)], ids=["small", "many"])
def test_results_do_not_depend_on_the_devices_threads(shape: tuple[int, ...]) -> None:
    generator = numpy.random.default_rng(0)
    a, b = (generator.normal(size=shape).astype(numpy.float32) for _ in range(2))
    c = numpy.zeros(shape, numpy.float32)
    results = [product(a, b, c, device=cpu(threads)) for threads in (1, 2, 3)]
    assert all(result.tobytes() == results[0].tobytes() for result in results)
    numpy.testing.assert_allclose(results[0], a @ b, rtol=1e-3, atol=1e-3)


def test_the_devices_threads_are_in_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """All products run on the device's threads with the BLAS on one, whose own threads are back afterwards."""
    found = blas.find()
    if found is None:
        pytest.skip("there is no BLAS")
    seen: list[int] = []
    workers = cpu(2).workers
    run = workers.run
    monkeypatch.setattr(workers, "run", lambda *job: (seen.append(found.get_threads()), run(*job)))
    before = found.get_threads()
    for batches, size in [(16, 150), (2, 150), (1, 4), (1, 700)]:
        a = numpy.ones((batches, 1, size, size), numpy.float32)
        product(a, a, numpy.zeros_like(a), device=cpu(2))
        assert seen == [1]
        assert found.get_threads() == before
        seen.clear()


def test_nan_and_infinity_pass_through() -> None:
    a = numpy.array([[[[numpy.inf, 1.0], [0.0, numpy.nan]]]], numpy.float32)
    b = numpy.array([[[[1.0, 0.0], [1.0, 1.0]]]], numpy.float32)
    with numpy.errstate(invalid="ignore"):
        numpy.testing.assert_array_equal(product(a, b, numpy.zeros_like(a)), a @ b)
