"""What plans report: dispatches, bytes, operations, memory; times as a table and as a Chrome trace."""

from __future__ import annotations

import json

import pytest

import weft as wf
from tests.compiler import programs
from weft import nn
from weft.compiler import PlanReport, load_plan, read_plan
from weft.devices.replay import unrolled
from weft.graph.plan.work import operations
from weft.kernels import Library


def _plan(model: str, name: str):
    made = programs.training(model, "Adam", name, batches=1)
    return wf.jit(made.step).plan(*made.batches[0]), made.batches[0]


def test_sums_are_those_of_the_dispatches(device) -> None:
    plan, _ = _plan("lstm", device.name)
    report, own = plan.report(), plan.dispatches
    assert report.dispatches == sum(1 for _ in unrolled(own.steps)) > len(report.rows)
    assert report.bytes == sum(
        sum({p: p.size for p in dispatch.places}.values()) for dispatch, _ in unrolled(own.steps)
    )
    assert report.arena == sum(own.arenas) >= report.peak == own.peak > 0
    assert report.states == sum(own.states) and report.outputs == 4
    assert report.kernels == len({dispatch.spec for dispatch in own.dispatches()})
    assert {row.site.partition(":")[0] for row in report.rows} <= {"programs.py", "test_report.py", ""}


def test_operations_of_a_product_and_its_epilogue(device) -> None:
    a, b = wf.ones(64, 32, device=device.name), wf.ones(32, 48, device=device.name)
    report = wf.jit(lambda a, b: (a @ b).exp() * 2.0 + 1.0).plan(a, b).report()
    assert report.operations == 2 * 64 * 32 * 48 + 3 * 64 * 48
    report = wf.jit(lambda a: (a * a).sum(1)).plan(a).report()
    assert report.operations == 64 * 32 * 2
    assert report.bytes == 4 * (64 * 32 + 64) and report.inputs == 4 * 64 * 32 and report.outputs == 4 * 64


def test_operations_of_a_convolution(device) -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False, device=device.name)
    report = wf.jit(layer).plan(wf.ones(2, 4, 8, 8, device=device.name)).report()
    expected = 2 * 2 * 6 * 8 * 8 * (4 // 2) * 3 * 3
    assert expected <= report.operations <= expected * 1.1


def test_operations_of_attention(device) -> None:
    q = wf.rand(2, 4, 600, 32, device=device.name)
    for causal in (False, True):
        run = wf.jit(
            lambda q, causal=causal: nn.functional.scaled_dot_product_attention(q, q, q, is_causal=causal)
        )
        products = 2 * 2 * 4 * 600 * 600 * (32 + 32) // (2 if causal else 1)
        assert run.plan(q).report().operations == products


def test_kernels_that_move_count_nothing() -> None:
    assert operations(Library("sort", (wf.float32,)), (2, 3, 0)) == 0
    x = wf.ones(8, 8, device="cpu")
    assert wf.jit(lambda x: x.T.contiguous()).plan(x).report().operations == 0


def test_the_report_as_text(device) -> None:
    plan, _ = _plan("mlp", device.name)
    text = str(plan)
    first, _, head, *_ = text.splitlines()
    report = plan.report()
    assert isinstance(report, PlanReport)
    assert first.startswith(
        f"plan of step on {device.name}: {report.dispatches} dispatches of {report.kernels} kernels, "
    )
    assert head.split() == ["dispatch", "times", "kB", "kFLOP", "line"]
    assert f"arena {report.arena:,} bytes, at most {100 * report.peak / report.arena:.0f}% of it live" in text
    assert f"state {report.states:,}" in text and len(text.splitlines()) == 6 + len(report.rows)
    assert repr(plan) == f"<plan of step(x, y) on {device.name}>"


def test_a_saved_plan_reports_the_same_without_its_device(device, tmp_path, monkeypatch) -> None:
    for model in ("mlp", "cnn"):
        plan, _ = _plan(model, device.name)
        plan.save(tmp_path / model)
        expected = plan.report()
        with monkeypatch.context() as patch:
            patch.setattr(wf.devices, "open", lambda name: pytest.fail(f"{name} was opened"))
            found = read_plan(tmp_path / model).report()
        assert (found.dispatches, found.kernels, found.operations) == (
            expected.dispatches, expected.kernels, expected.operations,
        )  # fmt: skip
        assert (found.arena, found.peak) == (expected.arena, expected.peak)
        assert found.bytes == pytest.approx(expected.bytes, rel=0.01)  # states may lie further apart there


def test_a_call_is_timed(device, tmp_path) -> None:
    plan, batch = _plan("lstm", device.name)
    plan.save(tmp_path / "plan")
    plan(*batch)
    loaded = load_plan(tmp_path / "plan")
    loaded(*batch)
    timed = plan.profile(*batch)
    assert timed.result.item() == loaded(*batch).item()
    assert [at for at, _ in timed.events] == [
        {id(dispatch): at for at, dispatch in enumerate(plan.dispatches.dispatches())}[id(step)]
        for step, _ in unrolled(plan.dispatches.steps)
    ]
    assert len(timed.events) == timed.report.dispatches
    assert timed.runs == tuple(row.times for row in timed.report.rows)
    assert all(seconds > 0 for seconds in timed.seconds)
    assert 0 < timed.total <= timed.wall * (1 if device.name == "cpu" else 10)
    assert timed.clock == ("host" if device.name == "cpu" else timed.clock) and timed.clock in (
        "host",
        "timestamps",
    )
    lines = timed.table(3).splitlines()
    assert lines[2].split() == ["dispatch", "times", "µs", "%", "of", "all", "GB/s", "GFLOP/s", "line"]
    assert f"and {len(timed.seconds) - 3} more" in lines and str(timed) == timed.table()
    assert f"times by {timed.clock}, " in timed.table()


def test_the_chrome_trace(device, tmp_path) -> None:
    plan, batch = _plan("mlp", device.name)
    plan(*batch)
    timed = plan.profile(*batch)
    timed.export_chrome_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = trace["traceEvents"]
    assert len(events) == len(timed.events) and min(event["ts"] for event in events) == 0
    last = 0.0
    for entry, (at, _) in zip(events, timed.events, strict=True):
        row = timed.report.rows[at]
        assert set(entry) == {"name", "cat", "ph", "pid", "tid", "ts", "dur", "args"}
        assert (
            entry["ph"] == "X"
            and isinstance(entry["name"], str)
            and entry["name"] == ("+".join(row.ops) or row.kernel)
        )
        assert isinstance(entry["ts"], float) and isinstance(entry["dur"], float) and entry["dur"] >= 0
        assert entry["ts"] >= last and entry["pid"] == device.name
        last = entry["ts"]
        assert entry["args"]["bytes"] == row.bytes and entry["args"]["operations"] == row.operations
    assert sum(event["dur"] for event in events) == pytest.approx(timed.total * 1e6)
