"""Replays on ``cpu``: matrix products, threads, failures during a run, and the compiled driver's table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import pytest

from tests.devices.plans import accumulate, at, chain, download, pointwise, upload
from weft import dtypes
from weft.codegen import generate
from weft.devices.cpu import CpuDevice, blas
from weft.devices.replay import Replay
from weft.errors import DisposedError, KernelError
from weft.kernels import Library
from weft.plan import Dispatch, Loop, Plan

pytestmark = pytest.mark.cpu


@pytest.fixture(params=[1, 2])
def cpu_device(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    """A device with one thread, and with two."""
    device = CpuDevice(request.param)
    yield device
    device.dispose()


def products(device: CpuDevice, batch: int, size: int) -> Plan:
    """Return a plan of ``batch`` products of square float32 matrices, an addition of 1, and another product."""
    spec = generate(Library("matmul", (dtypes.float32,) * 3), device.profile)
    square, n = size * size, batch * size * size
    geometry = (
        1,
        batch,
        size,
        size,
        size,
        0,
        0,
        square,
        size,
        1,
        0,
        0,
        square,
        size,
        1,
        0,
        0,
        square,
        size,
        1,
    )
    a, b, c, d = at("input", 0, 4 * n), at("input", 1, 4 * n), at("arena", 0, 4 * n), at("output", 0, 4 * n)
    steps = (
        Dispatch(spec, (a, b, c), geometry),
        Dispatch(pointwise(device.profile, "a + 1.0", n), (c, at("arena", 1, 4 * n))),
        Loop(2, (Dispatch(spec, (at("arena", 1, 4 * n), b, d), geometry),)),
    )
    return Plan(steps, (4 * n, 4 * n), (4 * n, 4 * n), (), (4 * n,))


@pytest.mark.parametrize(("batch", "size"), [(1, 8), (1, 300), (16, 64), (64, 32)])
def test_matrix_products(cpu_device: CpuDevice, batch: int, size: int) -> None:
    """Small products, a large product in pieces, and batches that are distributed over the device's threads."""
    source = numpy.random.default_rng(2)
    x, y = (source.standard_normal((batch, size, size)).astype("float32") for _ in range(2))
    given = [upload(cpu_device, x), upload(cpu_device, y)]
    plan = products(cpu_device, batch, size)
    own, plain = cpu_device.prepare(plan), Replay(cpu_device, plan)
    expected = download(cpu_device, plain.run(given, [])[0])
    exact = (x.astype("float64") @ y + 1) @ y
    numpy.testing.assert_allclose(expected.reshape(exact.shape), exact, rtol=1e-3, atol=1e-3 * size)
    found = blas.find()
    threads = None if found is None else found.get_threads()
    for _ in range(3):
        numpy.testing.assert_array_equal(download(cpu_device, own.run(given, [])[0]), expected)
    assert found is None or found.get_threads() == threads


def test_a_failure_before_the_products_leaves_the_states(
    cpu_device: CpuDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the switch of the library to one thread fails, no kernel runs, and the error is raised."""
    if blas.find() is None:
        pytest.skip("there is no BLAS here")
    n = 16 * 64 * 64
    plan = products(cpu_device, 16, 64)
    grow = Dispatch(accumulate(cpu_device.profile, n), (at("output", 0, 4 * n), at("state", 0, 4 * n)))
    plan = Plan((*plan.steps, grow), plan.arenas, plan.inputs, (4 * n,), plan.outputs, (0,))
    replay = cpu_device.prepare(plan)
    given = [upload(cpu_device, numpy.ones(n, "float32")) for _ in range(2)]
    state = upload(cpu_device, numpy.zeros(n, "float32"))

    @contextmanager
    def fails() -> Iterator[None]:
        raise RuntimeError("no threads today")
        yield

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no threads today"):
        patch.setattr(blas, "ON_ONE_THREAD", fails())
        replay.run(given, [state])
    assert not download(cpu_device, state).any()
    replay.run(given, [state])
    assert download(cpu_device, state).all()


def test_products_leave_the_librarys_threads_as_they_were(cpu_device: CpuDevice) -> None:
    """Within a run the BLAS stays on the calling threads; after it, and after an error, its threads are back."""
    library = blas.find()
    if library is None:
        pytest.skip("there is no BLAS here")
    before = library.get_threads()
    replay = cpu_device.prepare(products(cpu_device, 16, 64))
    given = [upload(cpu_device, numpy.ones(16 * 64 * 64, "float32")) for _ in range(2)]
    replay.run(given, [])
    assert library.get_threads() == before
    with pytest.raises(ZeroDivisionError), blas.ON_ONE_THREAD, blas.ON_ONE_THREAD:
        assert library.get_threads() == 1
        raise ZeroDivisionError
    assert library.get_threads() == before


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(64, 128, 64), (130, 700, 257), (700, 130, 257), (2048, 384, 128), (1, 4096, 300), (4096, 1, 300)],
)
def test_products_in_pieces_are_right_and_the_same_on_any_number_of_threads(m: int, n: int, k: int) -> None:
    if blas.find() is None:
        pytest.skip("there is no BLAS here")
    rng = numpy.random.default_rng(0)
    a, b = rng.standard_normal((m, k), "float32"), rng.standard_normal((k, n), "float32")
    found = []
    for threads in (1, 2, 3):
        device = CpuDevice(threads)
        spec = generate(Library("matmul", (dtypes.float32,) * 3), device.profile)
        sizes = (1, 1, m, n, k, 0, 0, 0, k, 1, 0, 0, 0, n, 1, 0, 0, 0, n, 1)
        places = at("input", 0, a.nbytes), at("input", 1, b.nbytes), at("output", 0, 4 * m * n)
        plan = Plan((Dispatch(spec, places, sizes),), (), (a.nbytes, b.nbytes), (), (4 * m * n,))
        given = [upload(device, array) for array in (a, b)]
        found.append(download(device, device.prepare(plan).run(given, [])[0]))
        device.dispose()
    numpy.testing.assert_array_equal(found[0], found[1])
    numpy.testing.assert_array_equal(found[0], found[2])
    want = a.astype("float64") @ b.astype("float64")
    numpy.testing.assert_allclose(found[0].reshape(m, n), want, atol=1e-5 * numpy.abs(want).max())


def test_one_thread_and_two_agree() -> None:
    n = 1 << 20
    found = []
    values = numpy.random.default_rng(3).standard_normal(n).astype("float32")
    for threads in (1, 2, 3):
        device = CpuDevice(threads)
        spec = pointwise(device.profile, "tanh(a) * exp(a)", n)
        plan = Plan((Dispatch(spec, (at("input", 0, 4 * n), at("output", 0, 4 * n))),),
                    (), (4 * n,), (), (4 * n,))  # fmt: skip
        replay = device.prepare(plan)
        found.append(download(device, replay.run([upload(device, values)], [])[0]))
        device.dispose()
    numpy.testing.assert_array_equal(found[0], found[1])
    numpy.testing.assert_array_equal(found[0], found[2])


def test_a_disposed_device_says_so(cpu_device: CpuDevice) -> None:
    replay = cpu_device.prepare(chain(cpu_device, 3))
    given = upload(cpu_device, numpy.ones(16, "float32"))
    cpu_device.dispose()
    with pytest.raises(DisposedError, match="the device cpu was disposed"):
        replay.run([given], [])
    with pytest.raises(DisposedError, match="the device cpu was disposed"):
        cpu_device.prepare(chain(cpu_device, 3))


def test_a_parameter_of_the_wrong_kind_is_an_error(cpu_device: CpuDevice) -> None:
    spec = pointwise(cpu_device.profile, "a + float32(k)", 16, parameters="k")
    plan = Plan((Dispatch(spec, (at("input", 0, 64), at("output", 0, 64)), (1.5,)),), (), (64,), (), (64,))
    with pytest.raises(KernelError, match=r"parameters \(1\.5,\) given, expected 2 ranges and \(k: int64\)"):
        cpu_device.prepare(plan)
