"""The ``cpu`` device: memory, hand-written kernels, threads, errors, and the device's state after errors."""

from __future__ import annotations

import ctypes
import gc
import pathlib
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from weft import dtypes
from weft.devices.base import Span, Storage
from weft.devices.cpu import CpuDevice
from weft.devices.cpu.compiler import compile_module
from weft.devices.cpu.team import Team
from weft.devices.cpu.threads import Workers
from weft.errors import (
    ArgumentError,
    DeviceError,
    DisposedError,
    IndexOutOfRangeError,
    KernelError,
    OutOfMemoryError,
    ReadOnlyError,
)
from weft.target import Binding, KernelSpec, Parameter

BODY = """
define void @weft.scale(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) {
entry:
  %x = load ptr, ptr %buffers
  %slot = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %slot
  %place = getelementptr i64, ptr %parameters, i64 1
  %factor = load double, ptr %place
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %scaled = fmul double %value, %factor
  %to = getelementptr double, ptr %y, i64 %i
  store double %scaled, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def scale(body: str = BODY, **changes: Any) -> KernelSpec:
    """Return the kernel ``y = x * factor`` over ``n`` doubles, with a thread for each 100."""
    fields: dict[str, Any] = {
        "name": "scale", "language": "llvm",
        "parameters": (Parameter("n", dtypes.int64), Parameter("factor", dtypes.float64)),
        "inputs": (Binding("x", dtypes.float64),), "outputs": (Binding("y", dtypes.float64, "read_write"),),
        "workgroup_size": (100, 1, 1), "workgroup_count": ("n", "n", "1"), "source": body,
    }  # fmt: skip
    return KernelSpec(**(fields | changes))


SCALE = scale()


def filled(device: CpuDevice, array: Any) -> Storage:
    array = numpy.asarray(array)
    storage = device.allocate(array.nbytes)
    device.write(storage, memoryview(array.tobytes()))
    return storage


def doubles(device: CpuDevice, storage: Storage) -> Any:
    return numpy.frombuffer(device.read(storage, 0, storage.size))


@pytest.fixture
def cpu_device() -> CpuDevice:
    return CpuDevice(2)


def test_write_read_and_copy(cpu_device: CpuDevice) -> None:
    a, b = cpu_device.allocate(10), cpu_device.allocate(12)
    cpu_device.write(a, memoryview(b"0123456789"))
    cpu_device.write(a, memoryview(b"ab"), 3)
    cpu_device.write(a, memoryview(b""), 10)
    cpu_device.copy(a, b)
    assert cpu_device.read(b, 1, 6) == bytearray(b"12ab56")
    assert cpu_device.read(a, 10, 0) == bytearray()
    two = numpy.array([[1, 2], [3, 4]], numpy.int16)
    cpu_device.write(b, memoryview(two))
    assert cpu_device.read(b, 0, 8) == two.tobytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda device, a, b: device.write(a, memoryview(b"12345"), 6),
        lambda device, a, b: device.write(a, memoryview(b"1"), -1),
        lambda device, a, b: device.read(a, 0, 11),
        lambda device, a, b: device.read(a, 3, -1),
        lambda device, a, b: device.copy(b, a),
    ],
)
def test_ranges_outside_a_storage_are_refused(cpu_device: CpuDevice, call: Callable[..., Any]) -> None:
    a, b = cpu_device.allocate(10), cpu_device.allocate(12)
    cpu_device.write(a, memoryview(bytes(10)))
    with pytest.raises(ArgumentError, match=r"expected a range within the storage's 10"):
        call(cpu_device, a, b)
    assert cpu_device.read(a, 0, 10) == bytes(10)


def test_a_view_shares_the_memory(cpu_device: CpuDevice) -> None:
    first, second = cpu_device.allocate_together([8, 16])
    view = cpu_device.view(second)
    assert view.nbytes == 16
    assert view.ctypes.data % 64 == 0
    view.view(numpy.float64)[:] = [1.5, 2.5]
    assert doubles(cpu_device, second).tolist() == [1.5, 2.5]
    assert first.buffer is second.buffer
    assert second.offset % cpu_device.alignment == 0


def test_adopted_memory_is_the_arrays_own(cpu_device: CpuDevice) -> None:
    array = numpy.arange(6.0)
    before = cpu_device.memory_stats()
    storage = cpu_device.adopt(array)
    assert cpu_device.memory_stats().in_use == before.in_use + 48
    out = cpu_device.allocate(48)
    cpu_device.dispatch_kernel(SCALE, [storage, out], [6, 2.0])
    cpu_device.dispatch_kernel(SCALE, [out, storage], [6, 2.0])
    assert array.tolist() == [0, 4, 8, 12, 16, 20]
    holders = sys.getrefcount(array)
    storage.dispose()
    assert sys.getrefcount(array) < holders  # released, and not reused by the pool
    assert cpu_device.allocate(48).buffer.handle.address != array.ctypes.data
    assert cpu_device.memory_stats().in_use == 48


def test_arrays_that_cannot_be_adopted_are_refused(cpu_device: CpuDevice) -> None:
    with pytest.raises(ArgumentError, match=r"strides \(16,\), expected contiguous and aligned; copy it"):
        cpu_device.adopt(numpy.zeros(10)[::2])
    with pytest.raises(ArgumentError, match="expected contiguous and aligned"):
        cpu_device.adopt(numpy.zeros(17, numpy.uint8)[1:].view(numpy.float64))
    frozen = numpy.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises(ReadOnlyError, match="read-only"):
        cpu_device.adopt(frozen)


def test_memory_is_reused_and_counted(cpu_device: CpuDevice) -> None:
    storage = cpu_device.allocate(1000)
    address = storage.buffer.handle.address
    assert cpu_device.memory_stats().in_use == 1000
    del storage
    gc.collect()
    stats = cpu_device.memory_stats()
    assert (stats.in_use, stats.storages, stats.allocations) == (0, 0, 1)
    assert stats.pooled >= 1000
    again = cpu_device.allocate(900)
    assert again.buffer.handle.address == address
    assert cpu_device.memory_stats().allocations == 1
    again.dispose()
    with pytest.raises(DisposedError, match="storage on cpu was disposed"):
        cpu_device.read(again, 0, 1)


def test_the_limit_is_named_when_it_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", "100000")
    device = CpuDevice()
    kept = device.allocate(60_000)
    with pytest.raises(OutOfMemoryError, match=r"cpu: 60,000 bytes were asked for, 60,000 bytes are in use"):
        device.allocate(60_000)
    assert device.memory_stats().in_use == 60_000
    kept.dispose()
    device.allocate(60_000)


def test_an_impossible_size_is_out_of_memory(cpu_device: CpuDevice) -> None:
    with pytest.raises(OutOfMemoryError, match="were asked for"):
        cpu_device.allocate(1 << 60)
    assert cpu_device.memory_stats().in_use == 0


def test_kernels_run_over_storages_and_spans(cpu_device: CpuDevice) -> None:
    x, y = filled(cpu_device, numpy.arange(5.0)), filled(cpu_device, numpy.zeros(5))
    cpu_device.dispatch_kernel(SCALE, [x, y], [5, 0.5])
    assert doubles(cpu_device, y).tolist() == [0, 0.5, 1, 1.5, 2]
    inside = Span(y.buffer, y.offset + 8, 16)
    cpu_device.dispatch_kernel(SCALE, [x, inside], [2, 3.0])
    assert doubles(cpu_device, y).tolist() == [0, 0, 3, 1.5, 2]
    cpu_device.dispatch_kernel(SCALE, [x, y], [0, 9.0])  # no items: nothing runs
    assert doubles(cpu_device, y).tolist() == [0, 0, 3, 1.5, 2]


def test_large_work_is_split_and_complete() -> None:
    for threads in (1, 2, 5):
        device = CpuDevice(threads)
        for size in (1, 99, 250, 1025, 100_003):
            x, y = filled(device, numpy.arange(float(size))), filled(device, numpy.zeros(size))
            device.dispatch_kernel(SCALE, [x, y], [size, 2.0])
            numpy.testing.assert_array_equal(doubles(device, y), numpy.arange(float(size)) * 2)


def test_any_thread_may_dispatch(cpu_device: CpuDevice) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for size in range(100, 3000, 100):
            x, y = filled(cpu_device, numpy.full(size, float(number))), filled(cpu_device, numpy.zeros(size))
            cpu_device.dispatch_kernel(SCALE, [x, y], [size, 2.0])
            if not (doubles(cpu_device, y) == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    gc.collect()
    assert cpu_device.memory_stats().in_use == 0


def test_equal_specs_are_one_kernel(cpu_device: CpuDevice) -> None:
    cpu_device.register_kernel(SCALE)
    x, y = filled(cpu_device, numpy.ones(3)), filled(cpu_device, numpy.zeros(3))
    for _ in range(3):  # equal, but other objects
        cpu_device.dispatch_kernel(scale(), [x, y], [3, 2.0])
    assert len(cpu_device.kernels) == 1


WRONG = [(1, [3, 2.0]), (3, [3, 2.0]), (2, [3]), (2, [3, 2.0, 1]), (2, [3, "x"])]


@pytest.mark.parametrize(("ranges", "parameters"), WRONG)
def test_the_wrong_number_of_arguments(cpu_device: CpuDevice, ranges: int, parameters: list[Any]) -> None:
    storages = [filled(cpu_device, numpy.ones(3)) for _ in range(ranges)]
    with pytest.raises(KernelError, match=r"scale: .* expected 2 ranges and \(n: int64, factor: float64\)"):
        cpu_device.dispatch_kernel(SCALE, storages, parameters)


def test_an_integer_that_does_not_fit(cpu_device: CpuDevice) -> None:
    x, y = filled(cpu_device, numpy.ones(3)), filled(cpu_device, numpy.zeros(3))
    integers = (Parameter("n", dtypes.int64), Parameter("k", dtypes.int64))
    spec = scale(parameters=integers, workgroup_count=("3", "3", "1"))
    with pytest.raises(KernelError, match="expected 2 ranges"):
        cpu_device.dispatch_kernel(spec, [x, y], [3, 2**63])


BROKEN = {
    "syntax": (
        BODY.replace("fmul double", "fmul dbl"),
        r"kernel 'scale' is not valid LLVM IR[\s\S]*line 14: +%scaled = fmul dbl",
    ),
    "types": (BODY.replace("store double %scaled", "store double %i"), "line 16"),
    "no function": ("; nothing", "public functions \\[\\] given, expected exactly one"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_kernels_show_the_line(cpu_device: CpuDevice, case: str) -> None:
    body, message = BROKEN[case]
    with pytest.raises(KernelError, match=message):
        cpu_device.register_kernel(scale(body))
    cpu_device.register_kernel(SCALE)  # and the compiler still works


def test_other_languages_are_refused(cpu_device: CpuDevice) -> None:
    with pytest.raises(KernelError, match="language 'wgsl' given, the cpu device takes 'llvm'"):
        cpu_device.register_kernel(scale(language="wgsl"))


REPORTING = """
define void @weft.report(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) {
  %status = load ptr, ptr %buffers
  %report = load i64, ptr %parameters
  %number = add i64 %report, 1
  store i64 %number, ptr %status
  %second = getelementptr i64, ptr %status, i64 1
  store i64 -12, ptr %second
  ret void
}
"""


def test_reports_are_raised_at_once(cpu_device: CpuDevice) -> None:
    spec = KernelSpec("report", "llvm", (), (), (), (1, 1, 1), ("1", "1", "1"), REPORTING, reports=True)
    with pytest.raises(IndexOutOfRangeError, match=r"^embedding: index -12 is out of range"):
        cpu_device.dispatch_kernel(spec, [], [], ("embedding", "index"))
    cpu_device.synchronize()


def test_before_call_comes_before_anything_is_done(cpu_device: CpuDevice) -> None:
    storage, other = filled(cpu_device, numpy.ones(3)), filled(cpu_device, numpy.zeros(3))
    before = cpu_device.memory_stats()
    calls: list[str] = []

    def fail(call: str) -> None:
        calls.append(call)
        raise DeviceError("injected")

    cpu_device.before_call = fail
    for call in (
        lambda: cpu_device.allocate(8),
        lambda: cpu_device.allocate_together([8, 8]),
        lambda: cpu_device.write(other, memoryview(b"12345678")),
        lambda: cpu_device.read(storage, 0, 8),
        lambda: cpu_device.copy(storage, other),
        lambda: cpu_device.dispatch_kernel(SCALE, [storage, other], [3, 2.0]),
    ):
        with pytest.raises(DeviceError, match="injected"):
            call()
    cpu_device.before_call = None
    assert calls == ["allocate", "allocate", "write", "read", "copy", "dispatch"]
    assert cpu_device.memory_stats() == before
    assert doubles(cpu_device, other).tolist() == [0, 0, 0]


def test_a_disposed_device_says_so(cpu_device: CpuDevice) -> None:
    storage = cpu_device.allocate(8)
    cpu_device.dispose()
    for call in (
        lambda: cpu_device.allocate(8), lambda: cpu_device.read(storage, 0, 8), cpu_device.synchronize,
        lambda: cpu_device.register_kernel(SCALE), lambda: cpu_device.dispatch_kernel(SCALE, [], []),
    ):  # fmt: skip
        with pytest.raises(DisposedError, match="device cpu was disposed"):
            call()
    storage.dispose()


def run_apart(script: str, **environment: str) -> str:
    """Run a script in a new interpreter; return its output."""
    import os

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True, text=True, env=os.environ | environment, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_use_after_fork_is_an_error() -> None:
    printed = run_apart("""
        import os
        from weft.devices.cpu import CpuDevice
        device = CpuDevice()
        if os.fork() == 0:
            try:
                device.allocate(8)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
            os._exit(0)
        os.wait()
        device.allocate(8)
        print("parent works")
    """)
    assert printed.splitlines()[0].startswith(
        "DeviceError the device cpu was opened before this process was forked"
    )
    assert printed.endswith("parent works")


def test_nothing_is_loaded_before_the_first_kernel() -> None:
    printed = run_apart("""
        import sys, threading
        from weft.devices.cpu import CpuDevice
        device = CpuDevice()
        device.write(device.allocate(4), memoryview(b"weft"))
        print("llvmlite" in sys.modules, threading.active_count())
    """)
    assert printed == "False 1"


def test_threads_are_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_THREADS", "3")
    assert CpuDevice().workers.count == 3
    monkeypatch.setenv("WEFT_THREADS", "many")
    with pytest.raises(ArgumentError, match="WEFT_THREADS is 'many', expected a positive number"):
        CpuDevice()


def entry_of(piece: Callable[[int, int], None]) -> Any:
    """Return a Python function with the C type of a kernel's entry."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)
    return kind(lambda buffers, parameters, low, high: piece(low, high))


def test_workers_cover_every_item_once() -> None:
    workers = Workers(3)
    for items in (1, 2, 3, 64, 1000, 1024, 5000, 100_001):
        pieces: list[tuple[int, int]] = []
        entry = entry_of(lambda low, high, into=pieces: into.append((low, high)))
        workers.run(entry, b"", b"", items, 8)
        assert sorted(pieces)[0][0] == 0
        assert sorted(pieces)[-1][1] == items
        assert all(a[1] == b[0] for a, b in zip(sorted(pieces), sorted(pieces)[1:], strict=False))
        assert len(pieces) == min(8, items)
    workers.stop()


STARTED = """
declare void @weft.run(ptr, ptr, ptr, i64, i64)
define void @start(ptr %team, ptr %marks, i64 %chunks) {
  call void @weft.run(ptr %team, ptr @mark, ptr %marks, i64 %chunks, i64 2)
  call void @weft.run(ptr %team, ptr @mark, ptr %marks, i64 %chunks, i64 1)
  ret void
}
define internal void @mark(ptr %marks, i64 %chunk) {
  %place = getelementptr i64, ptr %marks, i64 %chunk
  %old = load i64, ptr %place
  %new = add i64 %old, %chunk
  store i64 %new, ptr %place
  ret void
}
"""


def test_compiled_code_starts_jobs() -> None:
    team = Team(3)
    threads = [threading.Thread(target=team.serve, args=(place,), daemon=True) for place in (1, 2)]
    for thread in threads:
        thread.start()
    code = compile_module("start", STARTED)
    start = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(code.functions["start"])
    for chunks in (0, 1, 2, 5, 1000):
        marks = numpy.zeros(chunks, numpy.int64)
        for _ in range(100):
            start(team.address, marks.ctypes.data, chunks)
        assert (marks == 200 * numpy.arange(chunks)).all()
    team.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_jobs_after_every_kind_of_pause_are_complete() -> None:
    """No job is lost or done twice, whether a worker busy-waits, falls asleep or sleeps when it starts."""
    device = CpuDevice(3)
    size = 3000
    x, y = filled(device, numpy.arange(float(size))), filled(device, numpy.zeros(size))
    for turn in range(400):
        device.dispatch_kernel(SCALE, [x, y], [size, float(turn)])
        assert (doubles(device, y) == numpy.arange(float(size)) * turn).all()
        start = time.perf_counter()
        while (
            time.perf_counter() - start < turn % 40 * 4e-6
        ):  # up to 160 microseconds: around the busy-waiting time
            pass
    device.dispose()


def test_both_threads_are_at_work_and_from_one_job_at_a_time() -> None:
    """Both threads run a job together; a nested job, and a second thread's job, run on their callers alone."""
    workers, barrier = Workers(2), threading.Barrier(2, timeout=20)
    inner: list[tuple[str, int]] = []

    def piece(low: int, high: int) -> None:
        if low in (0, 4):  # the first of each thread's part
            barrier.wait()
        name = threading.current_thread().name
        workers.run(entry_of(lambda low, high: inner.append((name, low))), b"", b"", 4, 4)
        assert inner[-1][0] == threading.current_thread().name

    workers.run(entry_of(piece), b"", b"", 8, 8)
    assert len(inner) == 8 * 4
    assert not barrier.broken
    assert {name for name, _ in inner} == {threading.current_thread().name, inner_worker(inner)}
    workers.stop()


def inner_worker(seen: list[tuple[str, int]]) -> str:
    """Return the name of the thread that is not the caller."""
    (name,) = {name for name, _ in seen} - {threading.current_thread().name}
    return name


def test_idle_workers_sleep() -> None:
    """A worker busy-waits for the next job for some microseconds only."""
    device = CpuDevice(2)
    x, y = filled(device, numpy.ones(1000)), filled(device, numpy.zeros(1000))
    device.dispatch_kernel(SCALE, [x, y], [1000, 2.0])
    time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05


def test_first_jobs_of_many_threads_at_once() -> None:
    """All threads use the functions that the first of them compiled."""
    printed = run_apart(f"""
        import sys, threading, numpy
        sys.path.insert(0, {str(pathlib.Path(__file__).parents[2])!r})
        from tests.devices.test_cpu import SCALE, doubles, filled
        from weft.devices.cpu import CpuDevice
        sys.setswitchinterval(1e-5)
        right, ready = [], threading.Barrier(8)
        def work():
            device = CpuDevice(2)
            x, y = filled(device, numpy.ones(5000)), filled(device, numpy.zeros(5000))
            ready.wait()
            for factor in range(50):
                device.dispatch_kernel(SCALE, [x, y], [5000, float(factor)])
                right.append((doubles(device, y) == factor).all())
        threads = [threading.Thread(target=work) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(right), all(right))
    """)
    assert printed == "400 True"


def test_workers_end_with_their_device() -> None:
    def ours() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("weft-cpu")}

    before = ours()
    device = CpuDevice(3)
    x, y = filled(device, numpy.ones(1000)), filled(device, numpy.zeros(1000))
    device.dispatch_kernel(SCALE, [x, y], [1000, 2.0])
    started = ours() - before
    assert len(started) == 2
    del x, y, device
    gc.collect()
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("ending", ["", "os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 2)"])
def test_a_process_ends_with_threads_at_work(ending: str) -> None:
    printed = run_apart(f"""
        import os, sys, threading, numpy
        sys.path.insert(0, {str(pathlib.Path(__file__).parents[2])!r})
        from tests.devices.test_cpu import SCALE, filled
        from weft.devices.cpu import CpuDevice
        device = CpuDevice(2)
        x, y = filled(device, numpy.ones(100_000)), filled(device, numpy.zeros(100_000))
        device.dispatch_kernel(SCALE, [x, y], [100_000, 2.0])
        def work():
            while True:
                device.dispatch_kernel(SCALE, [x, y], [100_000, 2.0])
        threading.Thread(target=work, daemon=True).start()
        print("done", flush=True)
        try:
            {ending or "pass"}
        except KeyboardInterrupt:
            device.dispatch_kernel(SCALE, [x, y], [100_000, 2.0])
    """)
    assert printed == "done"
