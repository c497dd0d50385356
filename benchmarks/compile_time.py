"""Compile times of programs that are written as Python loops, per 1,000 operations and in total.

    python benchmarks/compile_time.py [--device cpu] [--steps 16 64] [--parameters 100 1000] [--cells 50 200]

Times are processor seconds of this process, so that other work on the machine matters little. The kernel cache on disk
is off, so that machine code is compiled each time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import weft as wf
from weft import devices
from weft.compiler import trace
from weft.graph.pipeline import compile_graph


def seconds(run: Callable[[], Any]) -> float:
    """Return the processor seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def recurrent(cell: Any, steps: int, device: str) -> tuple[Callable[[Any], Any], Any]:
    """Return a cell in a Python loop with its loss and gradients."""
    x = wf.randn(steps, 4, 8, device=device)
    lstm = isinstance(cell, wf.nn.LSTMCell)

    def run(x: Any) -> Any:
        state: Any = wf.zeros(4, 16, device=device)
        state = (state, state) if lstm else state
        total = 0.0
        for at in range(steps):
            state = cell(x[at], state)
            total = total + (state[0] if lstm else state).sum()
        return wf.autograd.grad(total, list(cell.parameters()))

    return run, x


def selective(steps: int, device: str) -> tuple[Callable[[Any], Any], Any]:
    """Return the recurrence of a selective state space block, as in Mamba, as a loop."""
    x = wf.randn(steps, 4, 16, device=device)
    a = wf.rand(16, 8, device=device, requires_grad=True)
    b = wf.rand(16, 8, device=device, requires_grad=True)

    def run(x: Any) -> Any:
        state = wf.zeros(4, 16, 8, device=device)
        total = 0.0
        for at in range(steps):
            delta = wf.nn.functional.softplus(x[at])[:, :, None]
            state = wf.exp(-delta * a) * state + delta * b * x[at][:, :, None]
            total = total + (state * b).sum(-1).mean()
        return wf.autograd.grad(total, [a, b])

    return run, x


def two_cells(steps: int, device: str, training: bool) -> tuple[Callable[[Any], Any], Any]:
    """Return two LSTM cells in a Python loop with a linear layer at each step; for ``training`` with gradients."""
    first, second = wf.nn.LSTMCell(8, 16, device=device), wf.nn.LSTMCell(16, 16, device=device)
    head = wf.nn.Linear(16, 1, device=device)
    x, y = wf.randn(steps, 4, 8, device=device), wf.randn(steps, 4, 1, device=device)
    parameters = [*first.parameters(), *second.parameters(), *head.parameters()]

    def forward(x: Any) -> Any:
        start = wf.zeros(4, 16, device=device)
        low, high, outputs = (start, start), (start, start), []
        for at in range(steps):
            low = first(x[at], low)
            high = second(low[0], high)
            outputs.append(head(high[0]))
        return wf.stack(outputs)

    def train(x: Any) -> Any:
        return wf.autograd.grad(wf.nn.functional.mse_loss(forward(x), y), parameters)

    return train if training else forward, x


def main() -> None:
    """Compile all programs and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, nargs="*", default=[16, 64])
    parser.add_argument("--parameters", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--cells", type=int, nargs="*", default=[50, 200], help="steps of two LSTM cells")
    options = parser.parse_args()
    os.environ["WEFT_CACHE"] = "0"  # before the first kernel is compiled
    device = options.device
    profile = devices.open(device).profile
    programs = {
        "LSTMCell": lambda steps: recurrent(wf.nn.LSTMCell(8, 16, device=device), steps, device),
        "GRUCell": lambda steps: recurrent(wf.nn.GRUCell(8, 16, device=device), steps, device),
        "selective": lambda steps: selective(steps, device),
    }
    print(
        f"{'program':<24}{'operations':>11}{'plan':>8}{'per 1,000':>11}{'with code':>11}   processor seconds"
    )
    programs["two LSTMCells"] = lambda steps: two_cells(steps, device, training=False)
    programs["and gradients"] = lambda steps: two_cells(steps, device, training=True)
    for name, make in programs.items():
        for steps in options.cells if name in ("two LSTMCells", "and gradients") else options.steps:
            run, x = make(steps)
            graph = trace(run, x).graph
            planned = seconds(lambda graph=graph: compile_graph(graph, profile))
            whole = seconds(lambda run=run, x=x: wf.jit(run)(x))
            count = len(graph.nodes)
            print(
                f"{name + ', ' + str(steps) + ' steps':<24}{count:>11,}{planned:>8.2f}"
                f"{1000 * planned / count:>11.2f}{whole:>11.2f}",
                flush=True,
            )
    for count in options.parameters:
        for compiled in (False, True):
            parameters = [wf.nn.Parameter(wf.ones(3 + at % 7, device=device)) for at in range(count)]
            for parameter in parameters:
                parameter.grad = wf.ones_like(parameter)
            step = wf.optim.AdamW(parameters).step
            taken = seconds(wf.jit(step) if compiled else step)
            print(f"AdamW, {count:,} parameters, {'jit' if compiled else 'eager'}: {taken:.2f}", flush=True)


if __name__ == "__main__":
    main()
