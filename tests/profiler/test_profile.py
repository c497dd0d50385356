"""The profiler, the leak report, and the output of WEFT_DEBUG."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import errors
from weft.devices.base import Device
from weft.devices.events import Printer
from weft.profiler.profile import bandwidth


def work(device: str, turns: int = 3) -> None:
    x = wf.ones(64, 64, device=device, requires_grad=True)
    for _ in range(turns):
        ((x @ x) * 2).relu().sum().backward()
    assert x.grad is not None


def test_every_op_is_counted_and_timed(device: Device) -> None:
    work(device.name)
    before = device.memory_stats().dispatches
    with wf.profiler.profile() as p:
        work(device.name)
    made = device.memory_stats().dispatches - before
    rows = {row.op: row for row in p.averages()}
    assert rows["matmul"].calls == 9  # forward, and one for each factor
    assert rows["mul"].calls == 3
    assert rows["relu.grad0"].calls == 3
    assert rows["permute"].dispatches == 0
    assert rows["mul"].bytes == 3 * 2 * 64 * 64 * 4
    assert sum(row.dispatches for row in rows.values()) == len(p.events) == made
    for event in p.events:
        assert event.device == device.name
        assert event.duration is not None
        assert event.duration >= 0
    assert 0 < sum(row.device for row in rows.values()) <= p.seconds * 1.5
    assert not device.observers
    count = len(p.events)
    work(device.name)
    assert len(p.events) == count


def test_more_dispatches_than_a_batch_holds(device: Device) -> None:
    x = wf.ones(10, device=device.name)
    with wf.profiler.profile() as p:
        for _ in range(700):
            x = x + 1
        assert x[0].item() == 701
    assert [row.calls for row in p.averages() if row.op == "add"] == [700]
    assert all(event.duration is not None for event in p.events)


@pytest.mark.webgpu
def test_times_are_gpu_timestamps_where_available(monkeypatch: pytest.MonkeyPatch) -> None:
    device = wf.devices.open(ADAPTER)
    expected = "timestamps" if "timestamp-query" in device.profile.features else "host"
    small, large = wf.ones(64, device=ADAPTER), wf.ones(1 << 22, device=ADAPTER)
    (small.sin(), large.sin())
    with wf.profiler.profile() as p:
        _ = small.sin()
        _ = large.sin()
    assert {event.clock for event in p.events} == {expected}
    first, second = p.events
    assert first.duration is not None
    assert second.duration is not None
    assert second.duration > 3 * first.duration  # 65,536 times the work


def test_the_table_and_the_trace(device: Device, tmp_path: Path) -> None:
    with wf.profiler.profile() as p:
        work(device.name)
    table = p.table()
    assert table.splitlines()[0].split()[:3] == ["op", "device", "calls"]
    assert any(line.startswith("matmul ") and f" {device.name} " in line for line in table.splitlines())
    assert "dispatches" in table.splitlines()[-1]
    assert p.table(sort_by="calls", limit=1).splitlines()[3].startswith("and ")
    with pytest.raises(errors.ArgumentError, match="sort_by is 'speed', expected one of op, device_name"):
        p.table(sort_by="speed")
    path = tmp_path / "trace.json"
    p.export_chrome_trace(path)
    entries = json.loads(path.read_text())["traceEvents"]
    kernels = [entry for entry in entries if entry["cat"] == "kernel"]
    assert len(kernels) == len(p.events)
    assert all(entry["ph"] == "X" and entry["dur"] >= 0 for entry in entries)
    assert {entry["name"] for entry in entries if entry["cat"] == "op"} >= {"matmul", "mul", "sum"}


def test_the_share_is_relative_to_a_copy(device: Device) -> None:
    most = bandwidth(device.name)
    assert most is not None
    assert 1e8 < most < 2e13
    with wf.profiler.profile() as p:
        work(device.name)
    for row in p.averages():
        if row.dispatches and row.device:
            assert row.share == pytest.approx(row.bytes / row.device / most)


def test_a_profile_is_used_once_and_read_when_done() -> None:
    p = wf.profiler.profile()
    with p, pytest.raises(errors.UnsupportedError, match="its block has not ended"):
        p.averages()
    with pytest.raises(errors.UnsupportedError, match="was used already"):
        p.__enter__()


def test_profiles_nest_and_see_other_threads(device: Device) -> None:
    with wf.profiler.profile() as outer:
        _ = wf.ones(3, device=device.name) + 1
        with wf.profiler.profile() as inner:
            thread = threading.Thread(target=lambda: wf.ones(3, device=device.name) * 2)
            thread.start()
            thread.join()
    assert {event.op for event in inner.events} == {"full", "mul"}
    assert len(outer.events) == 4


def test_an_error_inside_leaves_nothing_on(device: Device) -> None:
    with pytest.raises(errors.ShapeError), wf.profiler.profile():
        _ = wf.ones(2, 3, device=device.name) @ wf.ones(2, 3, device=device.name)
    assert not device.observers


# Leaks.


def test_a_leak_is_named_by_its_line() -> None:
    cache: list[Any] = []
    with wf.profiler.leaks() as report:
        for _ in range(3):
            x = wf.ones(100, device="cpu")
            cache.append(x * 2)
            del x
    (site,) = report.sites()
    assert site.line.startswith("test_profile.py:")
    assert (site.storages, site.bytes, site.device) == (3, 1200, "cpu")
    assert "1,200" in report.table()
    cache.clear()
    assert report.sites() == []
    assert "no memory" in report.table()
    cache.append(wf.ones(100, device="cpu"))  # after the block nothing is noted
    assert report.sites() == []
    with wf.profiler.leaks(), pytest.raises(errors.UnsupportedError, match="another report is active"):
        wf.profiler.leaks().__enter__()


# WEFT_DEBUG.


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_debug_lines(device: Device, level: int) -> None:
    x = wf.ones(1000, device=device.name)
    device.synchronize()
    stream = io.StringIO()
    device.observers = (Printer(level, stream),)
    try:
        for _ in range(2):
            _ = x * 2.5
        device.synchronize()
    finally:
        device.observers = ()
    lines = stream.getvalue().splitlines()
    assert sum(line.startswith(f"weft: {device.name} mul") and "took" not in line for line in lines) == (
        1 if level == 1 else 2
    )
    assert ("groups" in stream.getvalue() and "8,000 bytes" in stream.getvalue()) == (level >= 2)
    assert stream.getvalue().count("source of mul") == (1 if level >= 3 else 0)
    assert stream.getvalue().count("µs") == (2 if level == 4 else 0)


def test_operations_that_repeat_are_counted(device: Device) -> None:
    x = wf.ones(10, device=device.name)
    device.synchronize()
    stream = io.StringIO()
    device.observers = (Printer(1, stream),)
    try:
        for _ in range(130):
            _ = x * 2.5
            _ = x + 1
        device.synchronize()
    finally:
        device.observers = ()
    found = [
        line.partition("mul")[2].partition(", ")[2]
        for line in stream.getvalue().splitlines()
        if " mul" in line
    ]
    assert found == ["", "10 times so far", "100 times so far"]


def test_the_environment_turns_debug_on() -> None:
    code = "import weft as wf; (wf.ones(3, device='cpu') + 1).tolist()"
    for level, expected in (("1", "weft: cpu add"), ("", ""), ("9", "WEFT_DEBUG is '9', expected 0 to 4")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=os.environ | {"WEFT_DEBUG": level},
            check=False,
        )
        assert expected in done.stderr
        assert bool(done.stderr) == bool(expected)
        assert done.returncode == (level == "9")


def test_a_printed_profile_is_its_table() -> None:
    with wf.profiler.profile() as measured:
        wf.ones(8, device="cpu") + 1
        assert str(measured) == "a profile whose block has not ended"
    assert str(measured) == measured.table() and "add" in str(measured)
    assert repr(measured).startswith("<profile: ") and "\n" not in repr(measured)
