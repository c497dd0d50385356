"""Loops and branches in compiled plans: the cost of a step and of a decision, against Python control flow.

``python -m benchmarks.control_flow [DEVICE]``: ``cpu``, ``webgpu`` or ``webgpu:software``. The next step depends on a
value: PyTorch and weft's eager operations read it on the host, a plan reads it on the device. On ``webgpu`` two ways
are timed: *gated*, where dispatches are recorded before it is known whether they do anything, and *read back*, where
the host waits for the word that decides. PyTorch runs on the processor, and is left out on ``webgpu``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

import weft as wf
from benchmarks.harness import Row, measure, report
from weft import devices
from weft.compiler import cond, while_loop
from weft.devices.webgpu import replay


def newton(device: str) -> Row:
    """Measure Newton's method for the square roots of three numbers, until all have converged."""

    @wf.jit
    def roots(a: Any) -> Any:
        return while_loop(lambda x: ((x * x - a).abs() > 1e-4 * a).any(), lambda x: ((x + a / x) / 2,), (a,))[
            0
        ]

    values = [2.0, 9.0, 1e4]
    a, other = wf.tensor(values, device=device), torch.tensor(values)

    def eager() -> None:
        x = other
        while bool(((x * x - other).abs() > 1e-4 * other).any()):
            x = (x + other / x) / 2

    peers = {"torch": eager} if device == "cpu" else {"eager": lambda: roots.__wrapped__(a).numpy()}
    return measure("Newton, 11 steps", lambda: roots(a).numpy(), peers)


def steps(device: str, count: int, width: int) -> Row:
    """Measure a recurrence over a vector, with the number of steps as an argument."""
    weight, x = wf.randn(width, width, device=device) / width**0.5, wf.randn(1, width, device=device)
    limit = wf.tensor(count, device=device)

    @wf.jit
    def run(limit: Any, x: Any) -> Any:
        start = (wf.zeros((), dtype=wf.int64, device=device), x)
        return while_loop(lambda at, x: at < limit, lambda at, x: (at + 1, (x @ weight).tanh()), start)[1]

    theirs, h = torch.tensor(weight.numpy()), torch.tensor(x.numpy())

    def eager() -> None:
        at, most, value = torch.tensor(0), torch.tensor(count), h
        with torch.no_grad():
            while bool(at < most):
                at, value = at + 1, (value @ theirs).tanh()

    peers = {"torch": eager} if device == "cpu" else {"eager": lambda: run.__wrapped__(limit, x).numpy()}
    return measure(f"{count} steps of {width} x {width}", lambda: run(limit, x).numpy(), peers)


def branch(device: str, calls: int) -> Row:
    """Measure a branch with a chain of products, against computing both branches and selecting a result."""
    weight, x = wf.randn(64, 64, device=device) / 8, wf.randn(64, 64, device=device)
    sign = wf.tensor(1.0, device=device)

    def chain(x: Any, by: float) -> Any:
        for _ in range(calls):
            x = (x.flip(0) @ weight).tanh() * by
        return x

    taken = wf.jit(lambda c, x: cond(c > 0, lambda x: chain(x, 1.0), lambda x: chain(x, 0.5), (x,)))
    chosen = wf.jit(lambda c, x: wf.where(c > 0, chain(x, 1.0), chain(x, 0.5)))
    straight = wf.jit(lambda c, x: chain(x, 1.0) + c)
    peers: dict[str, Callable[[], Any]] = {
        "both, one chosen": lambda: chosen(sign, x).numpy(), "no branch": lambda: straight(sign, x).numpy(),
    }  # fmt: skip
    theirs, value = torch.tensor(weight.numpy()), torch.tensor(x.numpy())

    def eager() -> None:
        y = value
        by = 1.0 if bool(torch.tensor(1.0) > 0) else 0.5
        for _ in range(calls):
            y = (y.flip(0) @ theirs).tanh() * by

    if device == "cpu":
        peers["torch"] = eager
    return measure(f"branch of {calls} products", lambda: taken(sign, x).numpy(), peers)


def rows(device: str) -> list[Row]:
    """Return all rows, with the device's present way of decisions."""
    measured = [newton(device), steps(device, 100, 16)]
    if device == "cpu":
        measured += [steps(device, 1000, 4), steps(device, 100, 256)]
    return measured + [branch(device, calls) for calls in (1, 4, 16)]


def main() -> None:
    """Measure and print."""
    device = devices.open(sys.argv[1] if len(sys.argv) > 1 else "cpu").name
    if device == "cpu":
        report("control flow on cpu", rows(device))
        return
    for way, most in (("gated", 1000), ("read back", 0)):
        replay.GATED = replay.GATED_SOFTWARE = most
        report(f"control flow on {device}, {way}", rows(device))


if __name__ == "__main__":
    main()
