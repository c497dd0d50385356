"""``weft plan``: the report of a saved plan, on any machine."""

from __future__ import annotations

import pytest

import weft as wf
from weft.cli import main


def test_the_report_is_printed_and_no_device_opened(device, tmp_path, capsys, monkeypatch) -> None:
    w = wf.ones(3, device=device.name)

    def update(x):
        w.add_(x)
        return (w * 2).sum()

    plan = wf.jit(update).plan(wf.ones(3, device=device.name))
    plan.save(tmp_path / "plan")
    monkeypatch.setattr(wf.devices, "open", lambda name: pytest.fail(f"{name} was opened"))
    assert main(["plan", str(tmp_path / "plan")]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        f"update: {len(plan.graph.nodes)} nodes, saved by weft {wf.__version__} on {device.name} ("
    )
    assert "\nstate:\n  w  float32[3]\n" in text
    assert str(plan.report()) in text and "graph(" not in text
    assert main(["plan", "--graph", str(tmp_path / "plan")]) == 0
    assert repr(plan.graph) in capsys.readouterr().out


def test_what_is_no_plan_is_an_error_in_one_line(tmp_path, capsys) -> None:
    assert main(["plan", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("weft plan: read_plan: ")
    wf.jit(lambda x: x).plan(wf.ones(1, device="cpu")).save(tmp_path / "plan")
    (tmp_path / "plan" / "plan.json").write_text('{"format": "weft-plan", "version": 9}')
    assert main(["plan", str(tmp_path / "plan")]) == 1
    assert "version is 9, a newer format, expected at most 1" in capsys.readouterr().err
