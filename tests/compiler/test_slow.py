"""Compilations that take long say what they compile, and name a loop that was written out."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

import weft as wf
from weft.compiler import slow, trace

pytestmark = pytest.mark.cpu


def looped(x: Any) -> Any:
    for _ in range(20):
        x = wf.tanh(x)
    return x


def test_a_loop_that_was_written_out_is_named() -> None:
    graph = trace(looped, wf.ones(3, device="cpu")).graph
    found = slow.description(graph)
    assert "20 operations" in found
    assert "test_slow.py" in found
    assert "weft.compiler.scan" in found
    short = trace(lambda x: wf.tanh(x) + 1, wf.ones(3, device="cpu")).graph
    assert "scan" not in slow.description(short)


def test_a_slow_compilation_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph = trace(looped, wf.ones(3, device="cpu")).graph
    monkeypatch.setattr(slow, "AFTER", 0.05)
    with caplog.at_level(logging.WARNING, "weft.compiler"), slow.announced(graph):
        time.sleep(0.5)
    assert len([one for one in caplog.records if "still compiling" in one.message]) == 1
    caplog.clear()
    monkeypatch.setattr(slow, "AFTER", 60.0)
    with caplog.at_level(logging.WARNING, "weft.compiler"), slow.announced(graph):
        pass
    assert not caplog.records
