"""Graphs after the passes, lowered, fused and planned, as they print: ``WEFT_REGENERATE=1`` regenerates them.

Read the difference before committing it. All are made for the ``cpu``, whose plan does not depend on the machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft as wf
from tests.graph.passes.models import mlp
from weft import nn
from weft.compiler import cond, scan, trace, while_loop
from weft.graph import passes
from weft.graph.fuse.fusing import fuse
from weft.graph.lower.blocks import lower
from weft.graph.lower.ordering import ordered
from weft.graph.plan.planning import plan
from weft.target import CPU

GOLDEN = Path(__file__).parent / "golden"
Program = tuple[Callable[..., Any], tuple[Any, ...]]


def layer_norm() -> Program:
    weight, bias = wf.ones(8, device="cpu").requires_grad_(), wf.zeros(8, device="cpu").requires_grad_()

    def run(x: Any, g: Any) -> Any:
        x = x.detach().requires_grad_()
        y = nn.functional.layer_norm(x, (8,), weight, bias)
        return [y, *wf.autograd.grad((y * g).sum(), [x, weight, bias])]

    return run, (wf.ones(4, 8, device="cpu"), wf.ones(4, 8, device="cpu"))


def adam() -> Program:
    parameters = [nn.Parameter(wf.ones(*shape, device="cpu")) for shape in ((3, 4), (4,), (2,))]
    optimizer = wf.optim.Adam(parameters, lr=1e-3)

    def run(*grads: Any) -> None:
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad
        optimizer.step()

    return run, tuple(wf.ones(*parameter.shape, device="cpu") for parameter in parameters)


def control() -> Program:
    def run(x: Any) -> Any:
        halved = cond(x.sum() > 1, lambda x: (x * 0.5).sin(), lambda x: x.exp() + 1, (x,))
        return while_loop(lambda y: (y * y).sum() > 1e-3, lambda y: (y * halved * 0.1,), (halved,))[0]

    return run, (wf.ones(3, device="cpu"),)


def loop() -> Program:
    def run(h: Any, xs: Any) -> Any:
        h = h.detach().requires_grad_()
        last, ys = scan(lambda h, x: ((h * 0.5 + x).tanh(), h), h, xs)
        return [last, ys, *wf.autograd.grad((ys * ys).sum(), [h])]

    return run, (wf.ones(3, device="cpu"), wf.ones(6, 3, device="cpu"))


def attention() -> Program:
    """Written out, as many programs have it."""
    seen = wf.tensor([[True, False], [True, True]], device="cpu")

    def run(q: Any, k: Any, v: Any) -> Any:
        scores = (q @ k.transpose(-2, -1) / 4.0).masked_fill(~seen, -float("inf"))
        return scores.softmax(-1) @ v

    return run, tuple(wf.ones(1, 3, 2, 16, device="cpu") for _ in range(3))


PROGRAMS: dict[str, Callable[[], Program]] = {
    "mlp_step": lambda: mlp("cpu"), "layer_norm": layer_norm, "adam": adam, "scan": loop, "control": control,
    "attention": attention,
}  # fmt: skip


@pytest.mark.cpu
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_stages_of_a_program_print_as_reviewed(name: str) -> None:
    wf.manual_seed(0)
    run, arguments = PROGRAMS[name]()
    graph = passes.run(trace(run, *arguments).graph, CPU)
    lowered = lower(graph, CPU)
    fused = ordered(fuse(lowered, CPU), CPU)
    stages = {"graph": graph, "lowered": lowered, "fused": fused, "plan": plan(fused, CPU)}
    text = "\n\n".join(f"== {stage}\n{re.sub(r' +# .*', '', repr(value))}" for stage, value in stages.items())
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WEFT_REGENERATE") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text(), f"{path.name} differs; WEFT_REGENERATE=1 writes it anew"
