"""The work of compiling grows with the length of a program, not with its square: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import weft as wf
from weft.compiler import trace
from weft.expr import parse, simplify
from weft.graph.pipeline import lower_graph
from weft.target import CPU

pytestmark = pytest.mark.cpu


def calls_of(run: Callable[[], Any]) -> int:
    """How many functions are entered while something runs."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def unrolled(steps: int) -> Callable[[Any], Any]:
    """A recurrence written as a loop, with its gradient."""
    weight = wf.ones(8, 8, device="cpu", requires_grad=True)

    def run(x: Any) -> Any:
        state = x
        for _ in range(steps):
            state = wf.tanh(state @ weight) * wf.sigmoid(state) + x
        return wf.autograd.grad(state.sum(), [weight])[0]

    return run


def test_fusing_grows_with_the_length() -> None:
    x = wf.ones(4, 8, device="cpu")
    found = {}
    for steps in (4, 12, 48):  # the first one fills caches
        graph = trace(unrolled(steps), x).graph
        found[steps] = calls_of(lambda graph=graph: lower_graph(graph, CPU))
    assert found[48] < 4 * 1.8 * found[12]


def selective(steps: int) -> Callable[[Any], Any]:
    """The recurrence of a selective state space block as a loop: its kernels grow to the limit of their size."""
    a = wf.rand(16, 8, device="cpu", requires_grad=True)
    b = wf.rand(16, 8, device="cpu", requires_grad=True)

    def run(x: Any) -> Any:
        state = wf.zeros(4, 16, 8, device="cpu")
        total = 0.0
        for at in range(steps):
            delta = wf.nn.functional.softplus(x[at])[:, :, None]
            state = wf.exp(-delta * a) * state + delta * b * x[at][:, :, None]
            total = total + (state * b).sum(-1).mean()
        return wf.autograd.grad(total, [a, b])

    return run


def test_kernels_at_the_limit_of_their_size_are_not_tried_again_and_again() -> None:
    x = wf.rand(60, 4, 16, device="cpu")
    found = {}
    for steps in (20, 60):
        graph = trace(selective(steps), x).graph
        found[steps] = calls_of(lambda graph=graph: lower_graph(graph, CPU))
    assert found[60] < 3 * 1.6 * found[20]


def test_expressions_grow_with_their_length() -> None:
    def work(count: int) -> int:
        # a factor of its own: nodes are shared with expressions that there are already
        lines = [f"y{at + 1} = y{at} * {count}.0 + y{at}" for at in range(count)]
        source = "\n".join(["y0 = sin(x)", *lines, f"y{count}"])
        return calls_of(lambda: simplify(parse(source, {"x": wf.float32})))

    work(10)
    assert work(1200) < 4 * 1.3 * work(300)


def test_a_kernel_of_too_many_operations_is_refused_at_once() -> None:
    lines = [f"y{at + 1} = sin(y{at})" for at in range(2000)]
    source = "\n".join(["y0 = sin(x)", *lines, "y2000"])
    with pytest.raises(wf.errors.ExpressionError, match="operations with its functions inlined"):
        wf.register_kernel("two_thousand_sines", expression=source, inputs=["x"])
