"""Replays on both devices, against single dispatches: loops, states, failures, threads, memory."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from typing import Any

import numpy
import pytest

from tests.devices.plans import accumulate, at, chain, checked, download, pointwise, upload
from weft import devices
from weft.devices.base import Device
from weft.devices.cpu import CpuDevice
from weft.devices.observers import Event
from weft.devices.replay import Replay, check
from weft.errors import ArgumentError, DeviceError, DisposedError, IndexOutOfRangeError
from weft.plan import Dispatch, Loop, Plan

N = 16
SIZE = 4 * N


def both(device: Device, plan: Plan) -> list[Replay]:
    """Return the device's own replay, and the reference."""
    return [device.prepare(plan), Replay(device, plan)]


def chained(values: numpy.ndarray, count: int) -> numpy.ndarray:
    for _ in range(count):
        values = values * numpy.float32(2) - numpy.float32(1)
    return values


@pytest.mark.parametrize("count", [1, 2, 40])
def test_a_chain_through_an_arena(device: Device, count: int) -> None:
    plan = chain(device, count)
    own, plain = both(device, plan)
    for turn in range(3):
        values = numpy.linspace(-1, 1, N, dtype="float32") + turn
        given = upload(device, values)
        for replay in (own, plain):
            (result,) = replay.run([given], [])
            assert result.size == SIZE
            numpy.testing.assert_array_equal(download(device, result), chained(values, count))


def test_states_are_read_and_written_in_place(device: Device) -> None:
    """A state grows by an input with each run; an output is a copy of the state before the run."""
    keep = pointwise(device.profile, "a + 0.0", N)
    steps = (
        Dispatch(keep, (at("state", 0, SIZE), at("output", 0, SIZE))),
        Dispatch(accumulate(device.profile, N), (at("input", 0, SIZE), at("state", 0, SIZE))),
    )
    plan = Plan(steps, (), (SIZE,), (SIZE,), (SIZE,), (0,))
    values = numpy.arange(N, dtype="float32")
    for replay in both(device, plan):
        given, state = upload(device, values), upload(device, values * 0)
        version = state.version
        results = [replay.run([given], [state])[0] for _ in range(5)]
        for turn, result in enumerate(results):
            numpy.testing.assert_array_equal(download(device, result), values * turn)
        numpy.testing.assert_array_equal(download(device, state), values * 5)
        assert state.version == version  # callers of a replay count versions
        other = upload(device, values + 1)  # another storage as the state
        (result,) = replay.run([given], [other])
        numpy.testing.assert_array_equal(download(device, result), values + 1)
        numpy.testing.assert_array_equal(download(device, other), values * 2 + 1)
        (result,) = replay.run([given], [state])
        numpy.testing.assert_array_equal(download(device, result), values * 5)


def test_storages_in_the_middle_of_a_buffer(device: Device) -> None:
    """Storages may begin inside their buffers, and places inside their storages."""
    values = numpy.arange(2 * 64, dtype="float32")
    spare, given, state = device.allocate_together([512, 512, 512])
    device.write(given, memoryview(values).cast("B"))
    device.write(state, memoryview(values * 0).cast("B"))
    steps = (
        Dispatch(accumulate(device.profile, N), (at("input", 0, SIZE, 256), at("state", 0, SIZE, 256))),
        Dispatch(
            pointwise(device.profile, "a * 10.0", N), (at("state", 0, SIZE, 256), at("output", 0, SIZE, 256))
        ),
    )
    plan = Plan(steps, (), (512,), (512,), (512,), (0,))
    (result,) = device.prepare(plan).run([given], [state])
    expected = numpy.zeros(128, "float32")
    expected[64 : 64 + N] = values[64 : 64 + N]
    numpy.testing.assert_array_equal(download(device, state), expected)
    numpy.testing.assert_array_equal(download(device, result)[64 : 64 + N], values[64 : 64 + N] * 10)
    assert spare.size == 512


def looped(device: Device, outer: int, inner: int) -> Plan:
    """Return a plan of nested loops: ``outer`` times, ``inner`` rows of the output are written, then a state grows."""
    row = pointwise(device.profile, "a + float32(k)", N, parameters="k", shift="k * 16")
    grow = accumulate(device.profile, N)
    rows = Loop(
        inner, (Dispatch(row, (at("state", 0, SIZE), at("output", 0, SIZE * inner)), (0,), advance=(1,)),)
    )
    body = (rows, Dispatch(grow, (at("input", 0, SIZE), at("state", 0, SIZE))))
    return Plan((Loop(outer, body),), (), (SIZE,), (SIZE,), (SIZE * inner,), (0,))


@pytest.mark.parametrize(("outer", "inner"), [(1, 1), (3, 4), (2, 300), (0, 2)])
def test_loops_within_loops(device: Device, outer: int, inner: int) -> None:
    plan = looped(device, outer, inner)
    values = numpy.arange(N, dtype="float32")
    for replay in both(device, plan):
        for _ in range(2):
            given, state = upload(device, values), upload(device, values * 0)
            (result,) = replay.run([given], [state])
            numpy.testing.assert_array_equal(download(device, state), values * outer)
            if outer:
                expected = values * (outer - 1) + numpy.arange(inner, dtype="float32")[:, None]
                numpy.testing.assert_array_equal(download(device, result).reshape(inner, N), expected)


def test_results_are_the_same_in_every_run(device: Device) -> None:
    """Large kernels, distributed over threads, are bitwise equal to single dispatches."""
    n = 1 << 20
    spec = pointwise(device.profile, "exp(a) * 0.5 + sqrt(abs(a))", n)
    steps = (
        Dispatch(spec, (at("input", 0, 4 * n), at("arena", 0, 4 * n))),
        Loop(3, (Dispatch(spec, (at("arena", 0, 4 * n), at("output", 0, 4 * n))),)),
    )
    own, plain = both(device, Plan(steps, (4 * n,), (4 * n,), (), (4 * n,)))
    given = upload(device, numpy.random.default_rng(1).standard_normal(n).astype("float32"))
    expected = download(device, plain.run([given], [])[0])
    for _ in range(3):
        numpy.testing.assert_array_equal(download(device, own.run([given], [])[0]), expected)
    assert numpy.isfinite(expected).any()


def reporting(device: Device) -> Plan:
    """Return a plan that checks the first input, then the second, and then updates a state."""
    spec = checked(device.profile, N, 10)
    steps = (
        Dispatch(spec, (at("input", 0, SIZE), at("output", 0, SIZE)), report=("embedding", "index")),
        Dispatch(
            spec,
            (at("input", 1, SIZE), at("output", 1, SIZE)),
            report=("gather", "target"),
            site="train.py:7",
        ),
        Dispatch(accumulate(device.profile, N), (at("input", 2, SIZE), at("state", 0, SIZE))),
    )
    return Plan(steps, (), (SIZE, SIZE, SIZE), (SIZE,), (SIZE, SIZE), (0,))


def test_an_index_out_of_range_names_who_found_it(device: Device) -> None:
    good = upload(device, numpy.full(N, 9, "int32"))
    bad, worse = upload(device, numpy.full(N, 12, "int32")), upload(device, numpy.full(N, 33, "int32"))
    ones, state = upload(device, numpy.ones(N, "float32")), upload(device, numpy.zeros(N, "float32"))
    for replay in both(device, reporting(device)):
        before = download(device, state)
        for inputs, message in (
            ([bad, worse, ones], r"embedding: index 12 is out of range"),
            ([good, worse, ones], r"gather \(at train\.py:7\): target 33 is out of range"),
        ):
            with pytest.raises(IndexOutOfRangeError, match=message):
                replay.run(inputs, [state])
                device.synchronize()
        if device.name == "cpu":  # kernels after a report have not run
            numpy.testing.assert_array_equal(download(device, state), before)
        before = download(device, state)
        first, _ = replay.run([good, good, ones], [state])
        numpy.testing.assert_array_equal(download(device, first, "int32"), 10)
        numpy.testing.assert_array_equal(download(device, state), before + 1)


@pytest.mark.parametrize("call", range(5))
def test_a_failure_before_the_first_kernel_leaves_the_states(device: Device, call: int) -> None:
    plan = Plan(
        (
            Dispatch(accumulate(device.profile, N), (at("input", 0, SIZE), at("state", 0, SIZE))),
            Dispatch(pointwise(device.profile, "a * 2.0", N), (at("state", 0, SIZE), at("output", 0, SIZE))),
            Dispatch(pointwise(device.profile, "a * 3.0", N), (at("state", 0, SIZE), at("output", 1, SIZE))),
        ),
        (), (SIZE,), (SIZE,), (SIZE, SIZE), (0,),
    )  # fmt: skip
    replay = device.prepare(plan)
    given, state = upload(device, numpy.ones(N, "float32")), upload(device, numpy.zeros(N, "float32"))
    replay.run([given], [state])
    stats = device.memory_stats()
    calls: list[str] = []

    def fail(name: str) -> None:
        calls.append(name)
        if len(calls) == call + 1:
            raise MemoryError("injected")

    device.before_call = fail
    try:
        with pytest.raises(MemoryError, match="injected"):
            replay.run([given], [state])
    finally:
        device.before_call = None
    assert calls == ["allocate", "allocate", "dispatch", "dispatch", "dispatch"][: call + 1]
    after = device.memory_stats()
    assert (after.in_use, after.storages) == (stats.in_use, stats.storages)
    numpy.testing.assert_array_equal(download(device, state), 1)
    results = replay.run([given], [state])
    numpy.testing.assert_array_equal(download(device, results[1]), 6)


def test_memory_is_flat_and_only_outputs_are_allocated(device: Device) -> None:
    replay = device.prepare(chain(device, 10))
    given = upload(device, numpy.ones(N, "float32"))
    for _ in range(20):
        replay.run([given], [])
    device.synchronize()
    gc.collect()
    before = device.memory_stats()
    for _ in range(1000):
        replay.run([given], [])
    device.synchronize()
    after = device.memory_stats()
    assert (after.in_use, after.storages, after.allocations) == (
        before.in_use, before.storages, before.allocations,
    )  # fmt: skip
    assert after.dispatches - before.dispatches == 10_000
    del replay
    gc.collect()
    assert device.memory_stats().in_use < before.in_use  # the arena


@pytest.mark.parametrize("n", [N, 1 << 18])
def test_kernels_stay_as_long_as_the_replay(device: Any, n: int) -> None:
    """A replay keeps its kernels alive after the device dropped them. Large kernels run on threads."""
    values = numpy.linspace(-1, 1, n, dtype="float32")
    given, replay = upload(device, values), device.prepare(chain(device, 3, n))
    cpu = isinstance(device, CpuDevice)
    tables = (
        (device.kernels._by_spec, device.kernels.by_id)
        if cpu
        else (device.pipelines._by_value, device.pipelines._by_identity)
    )
    for number in range(8):
        for table in tables:
            table.clear()
        gc.collect()
        # a new kernel, which may reuse the memory of freed kernels
        device.register_kernel(pointwise(device.profile, f"a * 3.0 + {number}.25", n))
        (result,) = replay.run([given], [])
        numpy.testing.assert_array_equal(download(device, result), chained(values, 3))


def test_results_of_several_runs_are_distinct(device: Device) -> None:
    replay = device.prepare(chain(device, 3))
    results = [replay.run([upload(device, numpy.full(N, turn, "float32"))], [])[0] for turn in range(8)]
    for turn, result in enumerate(results):
        numpy.testing.assert_array_equal(download(device, result), chained(numpy.full(N, turn, "float32"), 3))


def test_threads_that_share_a_replay(device: Device) -> None:
    """Runs of a replay exclude each other, since they share the arena."""
    n = 1 << 14
    replay = device.prepare(chain(device, 12, n))
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(25):
                values = numpy.full(n, seed * 100 + turn, "float32")
                (result,) = replay.run([upload(device, values)], [])
                numpy.testing.assert_array_equal(download(device, result), chained(values, 12))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


class Watcher:
    """An observer that records dispatches."""

    timed = True

    def __init__(self) -> None:
        self.dispatches: list[Event] = []

    def dispatched(self, event: Event) -> None:
        self.dispatches.append(event)

    def measured(self, event: Event) -> None:
        pass


def test_observers_see_every_dispatch(device: Device) -> None:
    replay = device.prepare(looped(device, 2, 3))
    values = numpy.arange(N, dtype="float32")
    given, state = upload(device, values), upload(device, values * 0)
    watcher, before = Watcher(), device.observers
    device.observers = (*before, watcher)
    try:
        replay.run([given], [state])
        device.settle()
    finally:
        device.observers = before
    assert [event.kernel for event in watcher.dispatches] == (["pointwise"] * 3 + ["accumulate"]) * 2
    assert all(event.duration is not None for event in watcher.dispatches)
    numpy.testing.assert_array_equal(download(device, state), values * 2)


def test_a_closed_replay_says_so(device: Device) -> None:
    plan = chain(device, 2)
    replay = device.prepare(plan)
    given = upload(device, numpy.ones(N, "float32"))
    gc.collect()  # of earlier tests, which would else be counted here
    before = device.memory_stats().in_use
    replay.close()
    replay.close()
    assert device.memory_stats().in_use == before - sum(plan.arenas)
    with pytest.raises(DisposedError, match="this replay was closed; prepare the plan anew"):
        replay.run([given], [])


def test_storages_that_do_not_fit_are_refused(device: Device) -> None:
    replay = device.prepare(chain(device, 2))
    given, small = upload(device, numpy.ones(N, "float32")), device.allocate(SIZE - 4)
    with pytest.raises(ArgumentError, match="2 inputs and 0 states given, expected 1 and 0"):
        replay.run([given, given], [])
    with pytest.raises(ArgumentError, match="input 0 has 60 bytes, expected at least 64"):
        replay.run([small], [])
    other = CpuDevice(1)
    with pytest.raises(DeviceError, match=rf"input 0 is on cpu, expected {device.name}"):
        replay.run([upload(other, numpy.ones(N, "float32"))], [])
    given.dispose()
    with pytest.raises(DisposedError):
        replay.run([given], [])


def test_plans_that_are_not_well_formed_are_refused() -> None:
    """The error names the fault, before any kernel is compiled."""
    cpu = devices.open("cpu")
    good = chain(cpu, 3)
    first, second, third = good.steps
    assert isinstance(first, Dispatch)
    assert isinstance(second, Dispatch)
    row = pointwise(cpu.profile, "a + float32(k)", N, parameters="k")
    counted = replace(row, workgroup_count=("k", "k", "1"))
    wrong: list[tuple[Any, str]] = [
        (replace(first, places=first.places[:1]), "places is 1, expected 2"),
        (replace(first, parameters=(1,)), r"parameters is \(1,\), expected \(\)"),
        (replace(first, places=(at("input", 1, SIZE), first.places[1])), "expected one of 1 inputs"),
        (replace(first, places=(at("input", 0, SIZE + 4), first.places[1])), "expected within 64 bytes"),
        (replace(second, places=(second.places[0], at("arena", 0, SIZE, 64))), "expected a multiple of 256"),
        (replace(first, places=(first.places[0], at("input", 0, SIZE))), "a written place is input0"),
        (
            replace(first, spec=row, parameters=(1,), advance=(1, 2)),
            r"advance is \(1, 2\), expected 1 numbers",
        ),
        (
            replace(first, spec=counted, parameters=(1,), advance=(1,)),
            "the number of workgroups depends on it",
        ),
    ]
    check(good)
    for step, message in wrong:
        with pytest.raises(ArgumentError, match=message):
            cpu.prepare(replace(good, steps=(Loop(2, (step,)), third)))


def test_dispatches_without_work_are_left_out(device: Device) -> None:
    """A kernel over an empty axis, and a loop with no iterations, start no work."""
    spec = pointwise(device.profile, "a + 1.0", 0)
    fill = pointwise(device.profile, "a + 1.0", N)
    places = (at("input", 0, SIZE), at("output", 0, SIZE))
    plan = Plan((Dispatch(spec, places), Loop(0, (Dispatch(spec, places),)), Dispatch(fill, places)),
                (), (SIZE,), (), (SIZE,))  # fmt: skip
    given = upload(device, numpy.ones(N, "float32"))
    (result,) = device.prepare(plan).run([given], [])
    numpy.testing.assert_array_equal(download(device, result), 2)
    assert device.prepare(Plan((), (), (SIZE,), (), ())).run([given], []) == []


def test_one_dispatch_reads_and_writes_one_state(device: Device) -> None:
    """A dispatch may read and write ranges of the same buffer: the bindings of plans are all read_write."""
    spec = pointwise(device.profile, "a * 2.0", N)
    places = (at("state", 0, SIZE), at("state", 0, SIZE, 256))
    plan = Plan((Dispatch(spec, places),), (), (), (512,), (), (0,))
    values = numpy.arange(128, dtype="float32")
    state = upload(device, values)
    device.prepare(plan).run([], [state])
    values[64 : 64 + N] = values[:N] * 2
    numpy.testing.assert_array_equal(download(device, state), values)
