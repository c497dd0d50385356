"""Looking into compiled programs: ``capture``, ``explain``, ``debug``."""

from __future__ import annotations

import re

import numpy
import pytest

import weft as wf
from weft.errors import ArgumentError, NotANumberError


def test_captures_are_given_beside_the_result(device) -> None:
    w = wf.ones(2, device=device.name, requires_grad=True)

    @wf.jit
    def f(x):
        hidden = wf.capture("hidden", x * w)
        for at in range(2):
            hidden = wf.capture(f"layer{at}", hidden * 2)
        hidden.detach().zero_()
        return hidden.sum()

    x = wf.ones(2, device=device.name)
    assert f(x).item() == 0
    result, captures = f.with_captures(x * 3)
    assert result.item() == 0
    assert {name: tensor.tolist() for name, tensor in captures.items()} == {
        "hidden": [3, 3], "layer0": [6, 6], "layer1": [12, 12],
    }  # fmt: skip
    assert not any(tensor.requires_grad for tensor in captures.values())


def test_a_graph_without_captures_holds_no_sign_of_them() -> None:
    x = wf.ones(2, device="cpu")
    plain = wf.jit(lambda x: (x * 2).sum()).graph(x)
    assert wf.jit(lambda x: wf.capture("a", x * 2).sum()).graph(x) == plain
    assert wf.capture("outside", x) is x


def test_a_name_is_captured_once() -> None:
    @wf.jit
    def f(x):
        return wf.capture("a", wf.capture("a", x))

    with pytest.raises(ArgumentError, match="capture: name is 'a', expected a name that was not used"):
        f.with_captures(wf.ones(1, device="cpu"))


def test_explain_prints_and_writes_mermaid(capsys, tmp_path) -> None:
    w = wf.ones(3, device="cpu")

    def program(x):
        w.add_(1)
        return (x * w).sum(), x

    found = wf.explain(program, wf.ones(3, device="cpu"), mermaid=tmp_path / "graph.mmd")
    text = capsys.readouterr().out
    assert text.startswith("traced: 3 nodes\ngraph(%0: float32[3])") and "test_looking.py" in text
    assert re.search(r"^3 kernels, \d+ bytes read and written$", text, re.MULTILINE)
    assert re.search(
        r"^  1\. add: reads v\d+: float32 x 3; writes v\d+: float32 x 3; 24 bytes", text, re.MULTILINE
    )
    chart = found.mermaid(0)
    assert chart.splitlines()[:3] == [
        "flowchart TD", '    input0[/"input 0: float32[3]"/]', '    state0[/"state 0: float32[3]"/]',
    ]  # fmt: skip
    assert 'node1["mul<br/>float32[3]"]' in chart and "node0 -.-> state0" in chart
    assert (tmp_path / "graph.mmd").read_text().startswith("flowchart TD")
    assert w.tolist() == [1.0, 1.0, 1.0]


def test_the_first_op_with_a_nan_is_named(device) -> None:
    w = wf.ones(2, device=device.name)

    @wf.jit
    def f(x):
        w.mul_(2)
        y = (x - 1).log()  # line of the mistake
        return y * 2

    good, bad = wf.ones(2, device=device.name) * 2, wf.zeros(2, device=device.name)
    f(good)
    line = f.__wrapped__.__code__.co_firstlineno + 3
    with wf.debug(nan=True):
        f(good)
        with pytest.raises(
            NotANumberError, match=rf"log: its result holds a NaN.*held none \(at test_looking\.py:{line}\)"
        ):
            f(bad)
        with pytest.raises(FloatingPointError, match=r"sqrt: .*NaN"):
            (bad - 1).sqrt()
        with pytest.raises(NotANumberError, match="operand 0 already held a NaN"):
            wf.tensor([numpy.nan], device=device.name) + 1
    assert w.tolist() == [4.0, 4.0]
    assert numpy.isnan(f(bad).numpy()).all() and f.compilations == 1


def test_nan_mode_is_set_and_left() -> None:
    minus = -wf.ones(1, device="cpu")
    wf.debug(nan=True)
    try:
        with pytest.raises(NotANumberError):
            minus.log()
    finally:
        wf.debug(nan=False)
    minus.log()

    @wf.debug(nan=True)
    def inside():
        return minus.log()

    with pytest.raises(NotANumberError):
        inside()
    minus.log()


def test_explain_wraps_lines_and_shows_kernels(capsys) -> None:
    many = [wf.ones(2, device="cpu") for _ in range(30)]
    found = wf.explain(lambda *xs: (sum(xs) * 2).sum(), *many)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100 and "%29: float32[2]" in text.replace("\n", " ")
    assert found.kernels and sum(row.bytes for row in found.kernels) >= 30 * 8 + 4
    row = found.kernels[-1]
    assert row.ops[-1] == "sum" and any("float32 x 1" in value for value in row.writes)
    assert f"{len(found.kernels)} kernel" in text and str(row).split(":")[0] in text.replace("\n", " ")
