"""Devices under stress: lost devices, a thousand failed allocations, sixteen threads, use after fork."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices, errors
from weft.devices.base import Device
from weft.devices.webgpu import WebGpuDevice, find


@pytest.mark.webgpu
@pytest.mark.parametrize("first", ["op", "read", "allocate", "write", "kernel", "synchronize"])
def test_a_lost_device_says_so_and_a_new_one_works(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_devices", {})
    old = devices.open(ADAPTER)
    x = wf.arange(1000, device=ADAPTER).float()
    y = x + 1  # recorded, not submitted
    old._wgpu.destroy()  # type: ignore[attr-defined]
    calls: dict[str, Callable[[], Any]] = {
        "op": lambda: x * 3, "read": y.numpy, "allocate": lambda: old.allocate(1 << 20),
        "write": lambda: x.copy_(wf.ones(1000, device="cpu").to(ADAPTER)), "kernel": lambda: x.sin(),
        "synchronize": old.synchronize,
    }  # fmt: skip
    with pytest.raises(errors.DeviceError, match=r"was lost.*open it anew"):
        calls[first]()
        old.synchronize()  # calls that only record work raise here
    for call in calls.values():
        with pytest.raises(errors.DeviceError, match=r"was lost|on .* and"):
            call()
    fresh = devices.open(ADAPTER)
    assert fresh is not old
    assert (wf.ones(3, device=ADAPTER) + 1).tolist() == [2, 2, 2]
    with pytest.raises(errors.DeviceError):
        _ = x + wf.ones(1000, device=ADAPTER)
    fresh.dispose()


@pytest.mark.parametrize("name", ["cpu", pytest.param("webgpu", marks=pytest.mark.webgpu)])
def test_a_thousand_failures_leave_the_statistics_flat(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_devices", {})
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", str(4 << 20))
    where = "cpu" if name == "cpu" else ADAPTER
    device = devices.open(where)
    kept = wf.ones(600_000, device=where)  # 2.4 MB of 4
    (kept[:10] + 1).sum().item()
    gc.collect()
    gc.freeze()  # each failure runs a garbage collection, which must not visit the objects of earlier tests
    before = device.memory_stats()
    message = r"2,400,000 bytes were asked for, [\d,]+ bytes are in use by \d+ tensors.*4,194,304 bytes"
    for turn in range(1000):
        with pytest.raises(errors.OutOfMemoryError, match=message):
            _ = kept + turn
    gc.unfreeze()
    after = device.memory_stats()
    assert (after.in_use, after.storages, after.limit) == (before.in_use, before.storages, 4 << 20)
    assert after.pooled + after.in_use <= 4 << 20
    kept.add_(1)  # an operation that needs no memory still works
    assert kept[-1].item() == 2
    device.dispose()


@pytest.mark.parametrize("name", ["cpu", pytest.param("webgpu", marks=pytest.mark.webgpu)])
def test_freed_memory_is_found_before_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooled memory of other sizes, and tensors in cycles, make room."""
    monkeypatch.setattr(devices, "_devices", {})
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", str(4 << 20))
    where = "cpu" if name == "cpu" else ADAPTER
    several = [wf.ones(100_000, device=where) for _ in range(8)]
    del several
    cycle: list[Any] = [wf.ones(700_000, device=where)]
    cycle.append(cycle)
    del cycle
    assert wf.ones(900_000, device=where)[-1].item() == 1
    devices.open(where).dispose()


def mixed(seed: int, where: str) -> list[float]:
    """Return the results of a worker: ops of many kinds and shapes, with gradients and in-place writes."""
    generator = numpy.random.default_rng(seed)
    results: list[float] = []
    for turn in range(6):
        rows = 3 + (seed + turn) % 5
        x = wf.tensor(generator.normal(size=(rows, 8)).astype("float32"), device=where, requires_grad=True)
        w = wf.tensor(generator.normal(size=(8, 4)).astype("float32"), device=where, requires_grad=True)
        loss = ((x @ w).relu() * (seed + 1)).sum() + wf.softmax(x, -1)[:, ::2].sum()
        loss.backward()
        with wf.no_grad():
            w -= 0.1 * w.grad
            x[1:].mul_(2)
        picked = wf.nn.functional.embedding(wf.tensor([0, rows - 1], device=where), x.detach())
        results += [loss.item(), w.sum().item(), x.sum().item(), picked.sum().item(), x.grad.sum().item()]
    return results


def test_sixteen_threads_give_what_one_gives(device: Device) -> None:
    expected = {seed: mixed(seed, device.name) for seed in range(16)}
    found: dict[int, Any] = {}
    barrier = threading.Barrier(16)

    def work(seed: int) -> None:
        try:
            barrier.wait()
            found[seed] = mixed(seed, device.name)
        except BaseException as problem:
            found[seed] = problem

    for _ in range(2):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == expected  # bit for bit
        found.clear()


def test_modes_of_one_thread_are_not_anothers(device: Device) -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[bool] = []

    def work() -> None:
        with wf.no_grad():
            inside.set()
            done.wait(10)
            x = wf.ones(2, device=device.name, requires_grad=True)
            seen.append((x * 2).requires_grad)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    x = wf.ones(2, device=device.name, requires_grad=True)
    seen.append((x * 2).requires_grad)
    done.set()
    thread.join()
    assert seen == [True, False]


SCRIPT = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import weft as wf
where = sys.argv[1]
x = wf.ones(100, device=where)
(x + 1).sum().item()
child = os.fork()
if child == 0:
    try:
        x + 1
    except wf.errors.DeviceError as error:
        os._exit(0 if "before this process was forked" in str(error) else 2)
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
hits = 0
for turn in range(40):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0002 * turn)
        y = wf.ones(1000, device=where, requires_grad=True)
        for _ in range(200):
            ((y * 2).relu() + 1).sum().backward()
            y.grad = None
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hits += 1
    z = wf.ones(1000, device=where, requires_grad=True)
    ((z * 2).relu() + 1).sum().backward()
    assert z.grad.sum().item() == 2000, turn
print("interrupted", hits > 5)  # Python swallows those that fall into a finaliser
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("name", ["cpu", pytest.param("webgpu", marks=pytest.mark.webgpu)])
def test_use_after_fork_and_ctrl_c_among_tensors(name: str) -> None:
    where = "cpu" if name == "cpu" else ADAPTER
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), where],
        capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted True"), done.stderr


@pytest.mark.webgpu
def test_copies_between_devices() -> None:
    """Copies to the cpu and back: of views, of every type, of empty tensors, and with a gradient."""
    for dtype in (
        wf.float32,
        wf.float16,
        wf.bfloat16,
        wf.int64,
        wf.int32,
        wf.int16,
        wf.int8,
        wf.uint8,
        wf.bool,
    ):
        x = wf.arange(12, device="cpu").reshape(3, 4).to(dtype)
        there = x.to(ADAPTER)
        assert str(there.device) == ADAPTER
        assert there.dtype is dtype
        assert there.T[1:].to("cpu").tolist() == x.T[1:].tolist()
    assert wf.ones(0, 3, device=ADAPTER).to("cpu").shape == (0, 3)
    leaf = wf.ones(3, device="cpu", requires_grad=True)
    (leaf.to(ADAPTER) * 2).to("cpu").sum().backward()
    assert leaf.grad.tolist() == [2, 2, 2]
    assert str(leaf.grad.device) == "cpu"


@pytest.mark.webgpu
def test_two_devices_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second device (here on the same adapter) has its own memory; mixing the two is an error."""
    second = WebGpuDevice(find(ADAPTER))
    second.name = "webgpu:1"
    monkeypatch.setitem(devices._devices, "webgpu:1", second)
    a = wf.arange(5, device=ADAPTER).float()
    b = a.to("webgpu:1")
    assert (b + 1).tolist() == [1, 2, 3, 4, 5]
    assert (b.to(ADAPTER) + a).tolist() == [0, 2, 4, 6, 8]
    with pytest.raises(errors.DeviceError, match=r"webgpu:1.*expected on one device"):
        _ = a + b
    second.synchronize()
    second.dispose()


def test_more_workgroups_than_a_dimension_holds(device: Device) -> None:
    """65,536 workgroups and more: rows of a reduction, elements of a pointwise op, products of a batch."""
    count = 70_000
    rows = wf.arange(count, device=device.name).float().reshape(count, 1).expand(count, 40)
    numpy.testing.assert_array_equal(rows.sum(1).numpy(), numpy.arange(count, dtype="float32") * 40)
    batch = wf.ones(count, 1, 2, device=device.name) @ wf.ones(2, 1, device=device.name)
    assert batch.sum().item() == 2 * count


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4), (2, 0, 5)])
def test_tensors_of_size_zero(device: Device, shape: tuple[int, ...]) -> None:
    x = wf.zeros(*shape, device=device.name, requires_grad=True)
    y = (x * 2 + 1).relu()
    assert y.shape == shape
    assert y.sum().item() == 0
    y.sum().backward()
    assert x.grad.shape == shape
    assert wf.cat([x, x], 0).shape[0] == 2 * shape[0]
    assert x.detach().numpy().shape == shape
    assert x.to("cpu").to(device.name).shape == shape
