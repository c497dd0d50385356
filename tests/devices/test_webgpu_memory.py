"""Memory of the webgpu device: odd bytes, arenas, reuse, limits, failed calls, disposal, threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ADAPTER
from tests.devices.wgsl import kernel
from weft import dtypes, errors
from weft.devices.base import Storage
from weft.devices.webgpu import WebGpuDevice, find

pytestmark = pytest.mark.webgpu

N = dtypes.int64


@pytest.fixture(scope="module")
def gpu() -> Iterator[WebGpuDevice]:
    """A device for this module alone, so that its counters are not shared."""
    opened = WebGpuDevice(find(ADAPTER))
    yield opened
    opened.synchronize()
    opened.dispose()


def bump(gpu: WebGpuDevice, storage: Storage, k: int = 1) -> None:
    """Add ``k`` to every whole u32 of the storage."""
    spec = kernel(
        gpu.profile,
        "if (i32(g) < n) { b0[g] += u32(k); }",
        [("n", N), ("k", N)],
        "w",
        ("ceil_div(n, 64)", "1", "1"),
    )
    gpu.dispatch_kernel(spec, [storage], [storage.size // 4, k])


SIZES = (0, 1, 3, 4, 7, 61, 256, 1021)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 7), st.floats(0, 1), st.binary(max_size=90)),
        st.tuples(st.just("copy"), st.integers(0, 7), st.integers(0, 7)),
        st.tuples(st.just("bump"), st.integers(0, 7)),
        st.tuples(st.just("read"), st.integers(0, 7), st.floats(0, 1), st.floats(0, 1)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("together", [False, True])
@given(actions=actions)
@settings(max_examples=30)
def test_bytes_at_any_offset_and_of_any_size(gpu: WebGpuDevice, together: bool, actions: list[tuple]) -> None:
    """Random writes, reads, copies and dispatches against byte arrays, in separate buffers or a shared buffer."""
    storages = gpu.allocate_together(SIZES) if together else [gpu.allocate(size) for size in SIZES]
    model = [bytearray(b"\x5a" * size) for size in SIZES]
    for storage, expected in zip(storages, model, strict=True):
        gpu.write(storage, memoryview(expected))
    for kind, index, *rest in actions:
        storage, expected = storages[index], model[index]
        if kind == "write":
            start = int(rest[0] * storage.size)
            data = rest[1][: storage.size - start]
            gpu.write(storage, memoryview(data), start)
            expected[start : start + len(data)] = data
        elif kind == "copy" and storages[rest[0]].size >= storage.size:
            gpu.copy(storage, storages[rest[0]])
            model[rest[0]][: storage.size] = bytes(expected)
        elif kind == "bump":
            bump(gpu, storage)
            words = numpy.frombuffer(expected, "uint32", storage.size // 4)
            words += 1
        elif kind == "read":
            start, end = sorted(int(part * storage.size) for part in rest)
            assert gpu.read(storage, start, end - start) == expected[start:end]
    for storage, expected in zip(storages, model, strict=True):
        assert gpu.read(storage, 0, storage.size) == expected


def test_data_of_other_shapes_and_types_is_written_as_bytes(gpu: WebGpuDevice) -> None:
    values = numpy.arange(12, dtype="float64").reshape(3, 4)
    storage = gpu.allocate(values.nbytes)
    gpu.write(storage, memoryview(values))
    values[:] = 0  # the device has its copy
    assert gpu.read(storage, 0, storage.size) == numpy.arange(12, dtype="float64").tobytes()
    with pytest.raises(errors.ArgumentError, match="strided view, expected contiguous"):
        gpu.write(storage, memoryview(values.T))


@pytest.mark.parametrize(("offset", "size"), [(-1, 2), (9, 2), (0, 11), (0, -1)])
def test_bytes_outside_a_storage_are_refused(gpu: WebGpuDevice, offset: int, size: int) -> None:
    storage = gpu.allocate(10)
    with pytest.raises(errors.ArgumentError, match="expected a range within the storage's 10"):
        gpu.read(storage, offset, size)
    if size >= 0:
        with pytest.raises(errors.ArgumentError, match="within the storage's 10"):
            gpu.write(storage, memoryview(bytes(size)), offset)


def test_a_smaller_destination_is_refused(gpu: WebGpuDevice) -> None:
    with pytest.raises(errors.ArgumentError, match="copy: bytes 0 to 8"):
        gpu.copy(gpu.allocate(8), gpu.allocate(4))


def test_large_data_crosses_in_pieces(gpu: WebGpuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.devices.webgpu.transfers.UPLOADED", 1 << 16)
    monkeypatch.setattr("weft.devices.webgpu.recorder.UPLOADED", 1 << 16)
    monkeypatch.setattr("weft.devices.webgpu.transfers.PIECE", 1 << 16)
    values = numpy.random.default_rng(0).bytes((1 << 20) + 3)
    storage = gpu.allocate(len(values))
    gpu.write(storage, memoryview(values))
    assert gpu.read(storage, 0, len(values)) == values
    assert gpu.read(storage, 5, 200_000) == values[5:200_005]


def test_a_loop_takes_no_new_memory_after_its_first_turns(gpu: WebGpuDevice) -> None:
    def turn() -> None:
        a = gpu.allocate(4000)
        gpu.write(a, memoryview(bytes(4000)))
        b = gpu.allocate(4000)
        gpu.copy(a, b)
        bump(gpu, b)
        gpu.read(b, 0, 4)

    turn()
    before = gpu.memory_stats()
    for _ in range(50):
        turn()
    after = gpu.memory_stats()
    assert after.allocations == before.allocations
    assert (after.in_use, after.storages, after.pooled) == (before.in_use, before.storages, before.pooled)
    assert after.dispatches == before.dispatches + 50


def test_stats_count_live_storages(gpu: WebGpuDevice) -> None:
    gc.collect()
    before = gpu.memory_stats()
    kept = [gpu.allocate(1000), *gpu.allocate_together([10, 0, 300])]
    stats = gpu.memory_stats()
    assert stats.in_use == before.in_use + 1310
    assert stats.storages == before.storages + 4
    assert stats.peak >= stats.in_use
    kept[0].dispose()
    kept[0].dispose()
    del kept[1:]
    after = gpu.memory_stats()
    assert (after.in_use, after.storages) == (before.in_use, before.storages)
    with pytest.raises(errors.DisposedError, match="was disposed"):
        gpu.read(kept[0], 0, 4)


def test_memory_freed_while_recorded_lives_until_the_work_is_done(gpu: WebGpuDevice) -> None:
    """Trimming frees native buffers and bind groups that the open batch still uses."""
    a, kept = gpu.allocate(256), gpu.allocate(256)
    gpu.write(a, memoryview(numpy.full(64, 40, "uint32")))
    for _ in range(10):
        bump(gpu, a)
    gpu.copy(a, kept)
    a.dispose()
    assert gpu._pool.trim() >= 256
    assert gpu.memory_stats().pooled == 0
    assert numpy.frombuffer(gpu.read(kept, 0, 256), "uint32").tolist() == [50] * 64


def test_bind_groups_of_freed_buffers_go(gpu: WebGpuDevice) -> None:
    gpu._pool.trim()
    kept = len(gpu.groups._kept)
    storages = [gpu.allocate(256) for _ in range(20)]
    for storage in storages:
        bump(gpu, storage)
    assert len(gpu.groups._kept) == kept + 20
    storages.clear()
    del storage
    gpu._pool.trim()
    assert len(gpu.groups._kept) <= kept


def test_the_bind_group_cache_is_bounded(gpu: WebGpuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.devices.webgpu.groups.CAPACITY", 8)
    gpu.groups.clear()
    storages = [gpu.allocate(4) for _ in range(30)]
    for storage in storages:
        gpu.write(storage, memoryview(bytes(4)))
    for _ in range(2):
        for storage in storages:
            bump(gpu, storage)
    assert len(gpu.groups._kept) == 8
    assert all(gpu.read(storage, 0, 4) == b"\2\0\0\0" for storage in storages)
    assert sum(len(storage.buffer.groups) for storage in storages) == 8  # type: ignore[attr-defined]


def test_memory_beyond_the_limit_is_an_error_that_leaves_things_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", str(1 << 20))
    gpu = WebGpuDevice(find(ADAPTER))
    a, b = gpu.allocate(400_000), gpu.allocate(400_000)
    before = gpu.memory_stats()
    assert before.limit == 1 << 20
    message = r"600,000 bytes were asked for, 800,000 bytes are in use by 2 tensors.*1,048,576"
    with pytest.raises(MemoryError, match=message):
        gpu.allocate(600_000)
    assert gpu.memory_stats() == before
    b.dispose()
    c = gpu.allocate(600_000)  # the pool is trimmed for it
    gpu.write(c, memoryview(bytes(600_000)))
    assert gpu.read(a, 0, 4) == bytes(4)
    gpu.dispose()


def test_a_buffer_larger_than_the_device_makes_is_an_error(gpu: WebGpuDevice) -> None:
    with pytest.raises(errors.OutOfMemoryError, match="the largest buffer of this device"):
        gpu.allocate(1 << 60)
    with pytest.raises(errors.ArgumentError, match="size is -1 bytes"):
        gpu.allocate(-1)


def test_each_call_may_fail_and_leaves_things_as_they_were(gpu: WebGpuDevice) -> None:
    """The k-th call fails, for every k: the memory statistics and the in-place target are as before it."""

    class Planned(Exception):
        pass

    target = gpu.allocate(16)

    def work() -> None:
        temporary = gpu.allocate(16)
        gpu.write(temporary, memoryview(bytes(range(16))))
        bump(gpu, temporary)
        gpu.copy(temporary, target)
        gpu.read(target, 0, 16)

    work()
    expected = gpu.read(target, 0, 16)
    stats = gpu.memory_stats()
    calls: list[str] = []
    for k in range(5):
        calls.clear()

        def fail(call: str, k: int = k) -> None:
            calls.append(call)
            if len(calls) == k + 1:
                raise Planned(call)

        gpu.before_call = fail
        with pytest.raises(Planned):
            work()
        gpu.before_call = None
        after = gpu.memory_stats()
        assert (after.in_use, after.storages, after.allocations) == (
            stats.in_use,
            stats.storages,
            stats.allocations,
        )
        assert gpu.read(target, 0, 16) == expected
    assert calls == ["allocate", "write", "dispatch", "copy", "read"]


def test_a_disposed_device_says_so() -> None:
    gpu = WebGpuDevice(find(ADAPTER))
    storage = gpu.allocate(4)
    bump(gpu, storage)
    gpu.dispose()
    gpu.dispose()
    assert gpu.disposed
    for call in (
        lambda: gpu.allocate(4),
        lambda: gpu.read(storage, 0, 4),
        lambda: gpu.write(storage, memoryview(b"1234")),
        lambda: gpu.copy(storage, storage),
        lambda: bump(gpu, storage),
        gpu.synchronize,
    ):
        with pytest.raises(errors.DisposedError, match=r"was disposed; open it anew"):
            call()
    storage.dispose()


def test_any_thread_may_call(gpu: WebGpuDevice) -> None:
    """Threads that record, wait and free at the same time each see their own work."""
    gc.collect()
    before = gpu.memory_stats()
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(15):
                a, b = gpu.allocate(256), gpu.allocate(256)
                gpu.write(a, memoryview(numpy.full(64, 1000 * seed + turn, "uint32")))
                for _ in range(20):
                    bump(gpu, a)
                gpu.copy(a, b)
                assert (
                    numpy.frombuffer(gpu.read(b, 0, 256), "uint32").tolist() == [1000 * seed + turn + 20] * 64
                )
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    after = gpu.memory_stats()
    assert (after.in_use, after.storages) == (before.in_use, before.storages)
