"""Replays on ``webgpu``: bind groups, batches, uploads among them, uniforms, lost devices."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

from tests.conftest import ADAPTER
from tests.devices.plans import accumulate, at, chain, download, pointwise, upload
from tests.devices.test_replay import chained, looped
from tests.devices.wgsl import kernel
from weft.codegen import shared_bindings
from weft.devices.replay import Replay
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.adapters import Adapter
from weft.devices.webgpu.recorder import DISPATCHES
from weft.errors import DeviceError, KernelError
from weft.plan import Dispatch, Loop, Plan

pytestmark = pytest.mark.webgpu

N, SIZE = 16, 64


@pytest.fixture(scope="module")
def gpu() -> Iterator[WebGpuDevice]:
    """A device for this module alone, so that its bind groups are not shared."""
    opened = WebGpuDevice(find(ADAPTER))
    yield opened
    opened.dispose()


@pytest.fixture
def without_immediates() -> Iterator[WebGpuDevice]:
    """A device without immediates, as in a browser: parameters are passed in a uniform buffer."""
    adapter = find(ADAPTER)
    info = dataclasses.replace(adapter.info, features=adapter.info.features - {"immediates"})
    opened = WebGpuDevice(Adapter(info, adapter.handle))
    yield opened
    opened.dispose()


def test_parameters_in_uniforms(without_immediates: WebGpuDevice) -> None:
    gpu = without_immediates
    values = numpy.arange(N, dtype="float32")
    plan = looped(gpu, 3, 5)
    for replay in (gpu.prepare(plan), Replay(gpu, plan)):
        given, state = upload(gpu, values), upload(gpu, values * 0)
        for turn in range(1, 4):
            (result,) = replay.run([given], [state])
            expected = values * (3 * turn - 1) + numpy.arange(5, dtype="float32")[:, None]
            numpy.testing.assert_array_equal(download(gpu, result).reshape(5, N), expected)
    del replay
    gc.collect()
    gpu.synchronize()


def growing(gpu: WebGpuDevice, times: int = 1) -> Plan:
    """Return a plan that adds an input to a state ``times`` times."""
    step = Dispatch(accumulate(gpu.profile, N), (at("input", 0, SIZE), at("state", 0, SIZE)))
    scratch = Dispatch(pointwise(gpu.profile, "a * 1.0", N), (at("state", 0, SIZE), at("arena", 0, SIZE)))
    return Plan((Loop(times, (scratch, step)),), (SIZE,), (SIZE,), (SIZE,), (), (0,))


def test_bind_groups_do_not_pile_up(gpu: WebGpuDevice) -> None:
    groups = gpu.groups
    replay = gpu.prepare(growing(gpu, 3))
    ones = upload(gpu, numpy.ones(N, "float32"))
    for _ in range(20):
        state = upload(gpu, numpy.zeros(N, "float32"))
        other = gpu.allocate(1 << 20)  # a state in a buffer of its own
        replay.run([ones], [state])
        replay.run([ones], [other])
        replay.run([ones], [state])
        assert len(groups._pinned) == 1
        numpy.testing.assert_array_equal(download(gpu, state), 6)
    reserved = groups._reserved
    del replay
    gc.collect()
    groups._drop()
    assert not groups._pinned
    assert groups._reserved == reserved - 1


def test_memory_of_a_state_that_went_is_freed(gpu: WebGpuDevice) -> None:
    """Bind groups hold native memory: they are dropped with the buffer, and the replay makes new bind groups."""
    replay = gpu.prepare(growing(gpu))
    ones, state = upload(gpu, numpy.ones(N, "float32")), upload(gpu, numpy.zeros(1 << 18, "float32"))
    replay.run([ones], [state])
    assert gpu.groups._pinned
    state.dispose()
    gpu._pool.trim()
    assert not gpu.groups._pinned
    for _ in range(2):
        state = upload(gpu, numpy.zeros(1 << 18, "float32"))
        replay.run([ones], [state])
        numpy.testing.assert_array_equal(download(gpu, state)[:N], 1)


def test_uploads_keep_their_place_among_replays(gpu: WebGpuDevice) -> None:
    """Uploads are in order, also after a batch that was submitted within a replay."""
    for count in (1, 3, DISPATCHES + 7):
        replay = gpu.prepare(growing(gpu, count))
        given, state = gpu.allocate(SIZE), upload(gpu, numpy.zeros(N, "float32"))
        for value in range(1, 6):
            gpu.write(given, memoryview(numpy.full(N, value, "float32")).cast("B"))
            replay.run([given], [state])
        numpy.testing.assert_array_equal(download(gpu, state), 15 * count)


def test_batches_keep_their_limit(gpu: WebGpuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, sizes = gpu.recorder, []
    submit = recorder._submit

    def noted() -> int:
        sizes.append(len(recorder._names))
        return submit()

    monkeypatch.setattr(recorder, "_submit", noted)
    replay = gpu.prepare(chain(gpu, 100))
    given = upload(gpu, numpy.ones(N, "float32"))
    results = [replay.run([given], [])[0] for _ in range(8)]
    for result in results:
        numpy.testing.assert_array_equal(download(gpu, result), chained(numpy.ones(N, "float32"), 100))
    assert sum(sizes) == 800
    assert max(sizes) <= DISPATCHES


def test_replays_and_single_dispatches_in_turns(gpu: WebGpuDevice) -> None:
    add = pointwise(gpu.profile, "a + 1.0", N)
    replay = gpu.prepare(chain(gpu, 4))
    values = expected = numpy.linspace(0, 1, N, dtype="float32")
    now = upload(gpu, values)
    for _ in range(10):
        following = gpu.allocate(SIZE)
        gpu.dispatch_kernel(add, [now, following], [])
        (now,) = replay.run([following], [])
        expected = chained(expected + numpy.float32(1), 4)
    numpy.testing.assert_array_equal(download(gpu, now), expected)


def test_kernels_that_do_not_compile_or_fit_are_named_by_prepare(gpu: WebGpuDevice) -> None:
    places = (at("input", 0, SIZE), at("output", 0, SIZE))
    good = pointwise(gpu.profile, "a + 2.0", N)
    broken = shared_bindings(kernel(gpu.profile, "b1[g] = nonsense;", name="broken"))
    many = shared_bindings(kernel(gpu.profile, "b1[g] = b0[g];", count=("70000", "1", "1"), name="many"))

    def plan(*specs: Any) -> Plan:
        return Plan(tuple(Dispatch(spec, places) for spec in specs), (), (SIZE,), (), (SIZE,))

    with pytest.raises(KernelError, match=r"broken does not compile:\n[^$]*nonsense"):
        gpu.prepare(plan(good, broken))
    with pytest.raises(KernelError, match=r"many: workgroup_count .* gives \(70000, 1, 1\), expected 0 to"):
        gpu.prepare(plan(good, many))
    gpu.prepare(plan(good)).run([upload(gpu, numpy.ones(N, "float32"))], [])


def test_a_lost_device_says_so() -> None:
    gpu = WebGpuDevice(find(ADAPTER))
    replay = gpu.prepare(growing(gpu))
    ones, state = upload(gpu, numpy.ones(N, "float32")), upload(gpu, numpy.zeros(N, "float32"))
    replay.run([ones], [state])
    gpu._wgpu.destroy()
    with pytest.raises(DeviceError, match=r"was lost.*open it anew"):
        for _ in range(3):
            replay.run([ones], [state])
            gpu.synchronize()
    with pytest.raises(DeviceError, match=r"was lost"):
        replay.run([ones], [state])
    replay.close()
    gpu.dispose()


def test_shared_bindings_of_any_spelling(gpu: WebGpuDevice) -> None:
    """A plan binds all buffers as read_write, in kernels of any WGSL formatting."""
    spec = kernel(gpu.profile, "b2[g] = b0[g] + b1[g];", accesses="rrw", count=("1", "1", "1"), size=N)
    for old, new in (("<storage, read>", "<storage,read>"), ("<storage, read>", "< storage >")):
        text = spec.source.replace(old, new, 1)
        shared = shared_bindings(dataclasses.replace(spec, source=text))
        assert shared.source.count("read_write") == 3
        assert [value.access for value in (*shared.inputs, *shared.outputs)] == ["read_write"] * 3
        places = (at("state", 0, SIZE), at("state", 0, SIZE, 256), at("state", 0, SIZE, 512))
        plan = Plan((Dispatch(shared, places),), (), (), (768,), (), (0,))
        values = numpy.arange(192, dtype="uint32")
        state = upload(gpu, values)
        gpu.prepare(plan).run([], [state])
        numpy.testing.assert_array_equal(
            download(gpu, state, "uint32")[128 : 128 + N], values[:N] + values[64 : 64 + N]
        )
