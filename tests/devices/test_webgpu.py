"""The webgpu device with hand-written kernels: order, batches, parameters, status word, errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy
import pytest

from tests.conftest import ADAPTER
from tests.devices.wgsl import kernel
from weft import devices, dtypes, errors
from weft.devices.base import Span, Storage
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.adapters import Adapter
from weft.devices.webgpu.recorder import DISPATCHES, STAGING, UNIFORMS

pytestmark = pytest.mark.webgpu

N = dtypes.int64
COUNT = ("ceil_div(n, 64)", "1", "1")


@pytest.fixture(scope="module")
def gpu() -> Iterator[WebGpuDevice]:
    """A device for this module alone, so that its counters are not shared."""
    opened = WebGpuDevice(find(ADAPTER))
    yield opened
    opened.synchronize()
    opened.dispose()


@pytest.fixture(scope="module")
def without_immediates() -> Iterator[WebGpuDevice]:
    """A device without immediates, as in a browser: parameters are passed in a uniform buffer."""
    adapter = find(ADAPTER)
    info = dataclasses.replace(adapter.info, features=adapter.info.features - {"immediates"})
    opened = WebGpuDevice(Adapter(info, adapter.handle))
    assert "immediates" not in opened.profile.features
    yield opened
    opened.dispose()


def upload(gpu: WebGpuDevice, values: numpy.ndarray) -> Storage:
    storage = gpu.allocate(values.nbytes)
    gpu.write(storage, memoryview(values))
    return storage


def download(gpu: WebGpuDevice, storage: Storage, dtype: str = "uint32") -> numpy.ndarray:
    return numpy.frombuffer(gpu.read(storage, 0, storage.size), dtype)


def scale(gpu: WebGpuDevice) -> Callable[[Storage, Storage, int], None]:
    """``b = a * k`` over u32."""
    spec = kernel(
        gpu.profile, "if (i32(g) < n) { b1[g] = b0[g] * u32(k); }", [("n", N), ("k", N)], count=COUNT
    )
    return lambda a, b, k: gpu.dispatch_kernel(spec, [a, b], [a.size // 4, k])


def add(gpu: WebGpuDevice) -> Callable[[Storage, int], None]:
    """``a += k`` over u32."""
    spec = kernel(gpu.profile, "if (i32(g) < n) { b0[g] += u32(k); }", [("n", N), ("k", N)], "w", COUNT)
    return lambda a, k: gpu.dispatch_kernel(spec, [a], [a.size // 4, k])


def test_a_kernel_computes(gpu: WebGpuDevice) -> None:
    values = numpy.arange(1000, dtype="uint32")
    a, b = upload(gpu, values), gpu.allocate(values.nbytes)
    scale(gpu)(a, b, 7)
    numpy.testing.assert_array_equal(download(gpu, b), values * 7)


@pytest.mark.parametrize("count", [3, 100_000, STAGING // 2 + 5])
def test_uploads_keep_their_place_among_dispatches(gpu: WebGpuDevice, count: int) -> None:
    """Small uploads are copies within the batch; uploads larger than the staging block follow a submission."""
    first, second = numpy.arange(count, dtype="uint32"), numpy.full(count, 5, "uint32")
    a = upload(gpu, first)
    b, c = gpu.allocate(a.size), gpu.allocate(a.size)
    scale(gpu)(a, b, 2)
    gpu.write(a, memoryview(second))
    scale(gpu)(a, c, 3)
    gpu.write(a, memoryview(first))
    numpy.testing.assert_array_equal(download(gpu, b), first * 2)
    numpy.testing.assert_array_equal(download(gpu, c), second * 3)
    numpy.testing.assert_array_equal(download(gpu, a), first)


def test_an_upload_does_not_reach_back_to_a_dispatch_through_reused_memory(gpu: WebGpuDevice) -> None:
    """The buffer of a storage that is freed before its dispatch is submitted is reused by the next storage."""
    values = numpy.arange(64, dtype="uint32")
    a, b = upload(gpu, values), gpu.allocate(256)
    gpu.synchronize()
    scale(gpu)(a, b, 2)
    buffer = a.buffer
    del a
    other = gpu.allocate(256)
    assert other.buffer is buffer
    gpu.write(other, memoryview(numpy.zeros(64, "uint32")))
    numpy.testing.assert_array_equal(download(gpu, b), values * 2)
    assert not download(gpu, other).any()


def test_many_dispatches_run_in_order_over_several_batches(gpu: WebGpuDevice) -> None:
    """x -> 3 x + i does not commute."""
    step = kernel(gpu.profile, "if (g == 0u) { b0[0] = b0[0] * 3u + u32(i); }", [("i", N)], "w")
    a = upload(gpu, numpy.zeros(1, "uint32"))
    batch, expected = gpu.recorder.batch, 0
    for i in range(3 * DISPATCHES + 10):
        gpu.dispatch_kernel(step, [a], [i])
        expected = (expected * 3 + i) % 2**32
    assert gpu.recorder.batch >= batch + 3
    assert download(gpu, a)[0] == expected


def test_dispatches_are_not_submitted_one_by_one(gpu: WebGpuDevice) -> None:
    a, step = upload(gpu, numpy.zeros(1, "uint32")), add(gpu)
    step(a, 1)
    gpu.synchronize()
    batch = gpu.recorder.batch
    for _ in range(15):
        step(a, 1)
    assert gpu.recorder.batch == batch
    assert not gpu.recorder.empty


def test_copies_keep_their_place(gpu: WebGpuDevice) -> None:
    a, step = upload(gpu, numpy.zeros(10, "uint32")), add(gpu)
    copies = []
    for i in range(5):
        step(a, i)
        copies.append(gpu.allocate(a.size))
        gpu.copy(a, copies[-1])
    totals = [int(download(gpu, copy)[9]) for copy in copies]
    assert totals == [0, 1, 3, 6, 10]


def test_two_devices_have_batches_of_their_own(gpu: WebGpuDevice, without_immediates: WebGpuDevice) -> None:
    a, b = upload(gpu, numpy.zeros(4, "uint32")), upload(without_immediates, numpy.zeros(4, "uint32"))
    steps = add(gpu), add(without_immediates)
    for i in range(40):
        steps[0](a, i)
        steps[1](b, 2 * i)
    assert download(gpu, a)[0] == sum(range(40))
    assert download(without_immediates, b)[0] == 2 * sum(range(40))


@pytest.mark.parametrize("count", [1, 5, 32, 33, 100])
@pytest.mark.parametrize("immediates", [True, False])
def test_parameters_arrive(request: pytest.FixtureRequest, count: int, immediates: bool) -> None:
    """Parameters of each type, few enough for immediates and too many for them."""
    gpu = request.getfixturevalue("gpu" if immediates else "without_immediates")
    kinds = [dtypes.int64, dtypes.float32, dtypes.uint32]
    given = [(f"p{i}", kinds[i % 3]) for i in range(count)]
    body = "if (g == 0u) { " + " ".join(f"b0[{i}] = bitcast<u32>(p{i});" for i in range(count)) + " }"
    spec = kernel(gpu.profile, body, given, "w", name=f"parameters{count}")
    values = [(-(2**31) + i, -1.5 * i, 2**32 - 1 - i)[i % 3] for i in range(count)]
    out = gpu.allocate(4 * count)
    gpu.dispatch_kernel(spec, [out], values)
    words = download(gpu, out)
    types = ("int32", "float32", "uint32")
    expected = [numpy.asarray([value], types[i % 3]).view("uint32")[0] for i, value in enumerate(values)]
    numpy.testing.assert_array_equal(words, expected)


def test_each_dispatch_owns_its_uniform_slot(without_immediates: WebGpuDevice) -> None:
    """There are more dispatches than the uniform block of a batch holds."""
    gpu = without_immediates
    given = [(f"p{i}", N) for i in range(1000)]
    body = "if (g == 0u) { b0[0] = b0[0] * 3u + u32(p0 + p999); }"
    spec = kernel(gpu.profile, body, given, "w", name="slots")
    slots = UNIFORMS // 4000
    a, expected = upload(gpu, numpy.zeros(1, "uint32")), 0
    batch = gpu.recorder.batch
    for i in range(slots + 20):
        gpu.dispatch_kernel(spec, [a], [i, *[0] * 998, 1])
        expected = (expected * 3 + i + 1) % 2**32
    assert gpu.recorder.batch > batch
    assert download(gpu, a)[0] == expected


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (dtypes.int64, 2**31, "parameter p is 2147483648, expected -2147483648 to 2147483647"),
        (dtypes.int64, -(2**31) - 1, "parameter p is -2147483649"),
        (dtypes.uint32, -1, "parameter p is -1, expected 0 to 4294967295"),
    ],
)
def test_a_parameter_beyond_32_bits_is_an_error(
    gpu: WebGpuDevice, dtype: dtypes.DType, value: int, message: str
) -> None:
    spec = kernel(gpu.profile, "b0[0] = bitcast<u32>(p);", [("p", dtype)], "w")
    a = upload(gpu, numpy.full(1, 9, "uint32"))
    with pytest.raises(errors.ArgumentError, match=message):
        gpu.dispatch_kernel(spec, [a], [value])
    assert download(gpu, a)[0] == 9


def test_a_parameter_of_the_wrong_kind_or_number_is_an_error(gpu: WebGpuDevice) -> None:
    spec = kernel(gpu.profile, "b0[0] = bitcast<u32>(p);", [("p", N)], "w")
    a = gpu.allocate(4)
    with pytest.raises(errors.ArgumentTypeError, match=r"parameter p is 1\.5, expected an integer"):
        gpu.dispatch_kernel(spec, [a], [1.5])
    with pytest.raises(errors.ArgumentTypeError, match=r"2 parameters were given, expected 1 \(p\)"):
        gpu.dispatch_kernel(spec, [a], [1, 2])


@pytest.mark.parametrize("value", [1e300, -1e300, 3.4028235677973366e38, 3.4028235e38, float("nan"), -0.0])
def test_a_float_parameter_rounds_as_numpy_does(gpu: WebGpuDevice, value: float) -> None:
    spec = kernel(gpu.profile, "b0[0] = bitcast<u32>(p);", [("p", dtypes.float32)], "w")
    a = gpu.allocate(4)
    gpu.dispatch_kernel(spec, [a], [value])
    with numpy.errstate(over="ignore"):
        assert download(gpu, a)[0] == numpy.float64(value).astype("float32").view("uint32")


CHECKED = (
    "if (i32(g) < n && b0[g] >= 10u) { "
    "if (atomicCompareExchangeWeak(&status[0], 0u, report + 1u).exchanged) { atomicStore(&status[1], b0[g]); } } "
    "if (i32(g) < n) { b1[g] = min(b0[g], 9u); }"
)


def test_an_index_out_of_range_is_raised_at_the_next_read(gpu: WebGpuDevice) -> None:
    spec = kernel(gpu.profile, CHECKED, [("n", N)], count=COUNT, reports=True)
    good = upload(gpu, numpy.arange(10, dtype="uint32"))
    bad = upload(gpu, numpy.array([3, 2**32 - 7, 4], "uint32"))
    out, small = gpu.allocate(40), gpu.allocate(12)
    gpu.dispatch_kernel(spec, [good, out], [10], ("gather", "index"))
    gpu.dispatch_kernel(spec, [bad, small], [3], ("embedding", "index"))
    gpu.dispatch_kernel(spec, [upload(gpu, numpy.array([77], "uint32")), small], [1], ("take", "position"))
    with pytest.raises(errors.IndexOutOfRangeError, match="embedding: index -7 is out of range"):
        gpu.read(out, 0, 40)
    numpy.testing.assert_array_equal(download(gpu, out), numpy.arange(10))  # raised once
    gpu.dispatch_kernel(spec, [bad, small], [3], ("gather", "index"))
    with pytest.raises(IndexError, match="gather: index -7"):
        gpu.synchronize()
    gpu.synchronize()


def test_reports_work_through_uniforms(without_immediates: WebGpuDevice) -> None:
    gpu = without_immediates
    spec = kernel(gpu.profile, CHECKED, [("n", N)], count=COUNT, reports=True)
    bad, out = upload(gpu, numpy.array([12], "uint32")), gpu.allocate(4)
    gpu.dispatch_kernel(spec, [bad, out], [1], ("first", "index"))
    gpu.dispatch_kernel(spec, [bad, out], [1], ("second", "index"))
    with pytest.raises(errors.IndexOutOfRangeError, match="first: index 12"):
        gpu.synchronize()


def test_a_kernel_that_does_not_compile_shows_the_line(gpu: WebGpuDevice) -> None:
    spec = kernel(gpu.profile, "let x: f32 = 1u;\n  b0[0] = u32(x);", accesses="w", name="wrong")
    with pytest.raises(errors.KernelError) as caught:
        gpu.register_kernel(spec)
    text = str(caught.value)
    assert "kernel wrong does not compile" in text
    assert "let x: f32 = 1u;" in text
    assert "^" in text
    a = gpu.allocate(4)
    with pytest.raises(errors.KernelError, match="wrong"):
        gpu.dispatch_kernel(spec, [a], [])
    gpu.synchronize()


def test_a_kernel_beyond_the_limits_says_so(gpu: WebGpuDevice) -> None:
    limit = gpu.profile.limits["max-compute-invocations-per-workgroup"]
    spec = kernel(gpu.profile, "b0[0] = 1u;", accesses="w", size=2 * limit, name="wide")
    with pytest.raises(errors.KernelError, match="kernel wide does not compile"):
        gpu.register_kernel(spec)
    limit = gpu.profile.limits["max-storage-buffers-per-shader-stage"]
    spec = kernel(gpu.profile, f"b{limit}[0] = 1u;", accesses="r" * limit + "w", name="many")
    with pytest.raises(errors.KernelError, match="kernel many"):
        gpu.register_kernel(spec)


def test_a_kernel_of_another_language_is_refused(gpu: WebGpuDevice) -> None:
    spec = dataclasses.replace(kernel(gpu.profile, "b0[0] = 1u;", accesses="w"), language="llvm")
    with pytest.raises(errors.KernelError, match="is written in llvm, expected wgsl"):
        gpu.register_kernel(spec)


def test_too_many_workgroups_are_named(gpu: WebGpuDevice) -> None:
    spec = kernel(gpu.profile, "b0[0] = 1u;", [("n", N)], "w", ("n", "1", "1"), name="long")
    a = upload(gpu, numpy.zeros(1, "uint32"))
    with pytest.raises(
        errors.KernelError, match=r"kernel long: .*gives \(65536, 1, 1\), expected 0 to 65,535"
    ):
        gpu.dispatch_kernel(spec, [a], [65536])
    gpu.dispatch_kernel(spec, [a], [0])
    assert download(gpu, a)[0] == 0
    gpu.dispatch_kernel(spec, [a], [65535])
    assert download(gpu, a)[0] == 1


def test_one_buffer_read_and_written_by_one_dispatch_is_refused(gpu: WebGpuDevice) -> None:
    a, b = gpu.allocate_together([256, 256])
    with pytest.raises(errors.KernelError, match="ranges 0 and 1 lie in one buffer"):
        scale(gpu)(a, b, 2)
    both = kernel(gpu.profile, "if (i32(g) < n) { b1[g] = b0[g] + 1u; }", [("n", N)], "ww", COUNT)
    gpu.write(a, memoryview(numpy.arange(64, dtype="uint32")))
    gpu.dispatch_kernel(both, [a, b], [64])
    numpy.testing.assert_array_equal(download(gpu, b), numpy.arange(64) + 1)


def test_a_span_binds_a_range_of_several_storages(gpu: WebGpuDevice) -> None:
    a, b = gpu.allocate_together([256, 256])
    spec = kernel(gpu.profile, "b0[g] = g; b0[g + 64u] = g * 2u;", accesses="w")
    gpu.dispatch_kernel(spec, [Span(a.buffer, 0, 512)], [])
    numpy.testing.assert_array_equal(download(gpu, a), numpy.arange(64))
    numpy.testing.assert_array_equal(download(gpu, b), 2 * numpy.arange(64))


def test_ranges_of_the_wrong_number_place_or_device_are_refused(
    gpu: WebGpuDevice, without_immediates: WebGpuDevice
) -> None:
    spec = kernel(gpu.profile, "b1[g] = b0[g];", name="two")
    a, foreign = gpu.allocate(256), without_immediates.allocate(256)
    with pytest.raises(errors.ArgumentError, match="kernel two: 1 ranges were given, expected 2"):
        gpu.dispatch_kernel(spec, [a], [])
    with pytest.raises(errors.DeviceError, match="range 1 is on device"):
        gpu.dispatch_kernel(spec, [a, foreign], [])
    with pytest.raises(errors.KernelError, match="range 1 is 256 bytes at 4, expected an offset"):
        gpu.dispatch_kernel(spec, [a, Span(gpu.allocate(512).buffer, 4, 256)], [])
    for call in (lambda: gpu.write(foreign, memoryview(b"1234")), lambda: gpu.read(foreign, 0, 4)):
        with pytest.raises(errors.DeviceError, match="the storage is on"):
            call()


def test_a_range_above_the_binding_limit_is_refused(gpu: WebGpuDevice) -> None:
    limit = gpu.profile.limits["max-storage-buffer-binding-size"]
    if limit > 1 << 30:
        pytest.skip(f"a binding may have {limit:,} bytes here: too many for a test")
    spec = kernel(gpu.profile, "b0[g] = 1u;", accesses="w")
    with pytest.raises(errors.KernelError, match="split the tensor"):
        gpu.dispatch_kernel(spec, [gpu.allocate(limit + 4)], [])


def test_equal_specs_share_a_pipeline(gpu: WebGpuDevice) -> None:
    spec = kernel(gpu.profile, "b0[g] = 1u;", accesses="w", name="shared")
    other = dataclasses.replace(spec)
    assert gpu.pipelines.get(spec) is gpu.pipelines.get(other)


def test_open_gives_one_device_a_name() -> None:
    assert devices.open(ADAPTER) is devices.open(ADAPTER)
    assert devices.open("webgpu").name == find("webgpu").info.name
    with pytest.raises(errors.DeviceError, match="'webgpu:99' is not there; available: cpu"):
        devices.open("webgpu:99")
