"""Slow compilations are logged, with the lines of an unrolled loop."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

import weft as wf
from weft.compiler import slow, trace
from weft.compiler.unrolled import unrolled_loop

pytestmark = pytest.mark.cpu


def looped(x: Any) -> Any:
    for _ in range(20):
        x = wf.tanh(x)
    return x


def test_a_loop_that_was_written_out_is_named() -> None:
    graph = trace(looped, wf.ones(3, device="cpu")).graph
    found = slow.description(graph)
    line = looped.__code__.co_firstlineno + 2
    assert "20 operations" in found
    assert (
        f"an unrolled loop of about 19 steps at the line test_slow.py:{line}:" in found
    )  # the first reads an input
    assert "weft.compiler.scan" in found
    short = trace(lambda x: wf.tanh(x) + 1, wf.ones(3, device="cpu")).graph
    assert "scan" not in slow.description(short)


@pytest.mark.parametrize("kind", [wf.nn.LSTMCell, wf.nn.GRUCell])
def test_the_loop_is_named_and_not_the_backward_pass(kind: Any) -> None:
    cell, x = kind(4, 4, device="cpu"), wf.ones(12, 2, 4, device="cpu")

    def train(x: Any) -> Any:
        state: Any = wf.zeros(2, 4, device="cpu")
        state = (state, state) if kind is wf.nn.LSTMCell else state
        for at in range(12):
            state = cell(x[at], state)
        loss = (state[0] if kind is wf.nn.LSTMCell else state).square().mean()
        return wf.autograd.grad(loss, list(cell.parameters()))

    found = unrolled_loop(trace(train, x).graph)
    line = train.__code__.co_firstlineno + 4
    assert found is not None
    assert found.lines == f"line test_slow.py:{line}"
    assert found.steps in (11, 12)  # the first may make views of the weights


class Residual(wf.nn.Module):
    """A layer whose lines run once for each of many layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = wf.nn.Linear(4, 4, device="cpu"), wf.nn.Linear(4, 4, device="cpu")

    def forward(self, x: Any) -> Any:
        return x + self.second(wf.relu(self.first(x)))


def test_layers_and_optimizers_are_no_loops() -> None:
    model = wf.nn.Sequential(*(Residual() for _ in range(20)))
    optimizer = wf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    assert unrolled_loop(trace(train, wf.ones(3, 4, device="cpu")).graph) is None


def shared_line(x: Any) -> Any:
    return wf.tanh(x)


def test_a_line_that_is_reached_from_different_places_is_no_loop() -> None:
    def run(x: Any) -> Any:
        for width in range(3, 15):  # each step makes another shape
            x = shared_line(wf.cat([x, x[:1]]))
            assert x.shape[0] == width + 1
        return x

    assert unrolled_loop(trace(run, wf.ones(3, device="cpu")).graph) is None


def test_a_slow_compilation_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph = trace(looped, wf.ones(3, device="cpu")).graph
    monkeypatch.setattr(slow, "AFTER", 0.05)
    with caplog.at_level(logging.WARNING, "weft.compiler"), slow.announced(graph):
        time.sleep(0.5)
    assert len([record for record in caplog.records if "still compiling" in record.message]) == 1
    caplog.clear()
    monkeypatch.setattr(slow, "AFTER", 60.0)
    with caplog.at_level(logging.WARNING, "weft.compiler"), slow.announced(graph):
        pass
    assert not caplog.records
