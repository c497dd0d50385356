"""Eager training loops around a compiled model: ``wf.compile`` and ``torch.compile``, against eager and ``wf.jit``.

``python -m benchmarks.compiled_models [--only MLP,GPT] [--turns 9]``. The loss is compiled as a function of the batch;
``backward()``, the optimizer's step and ``zero_grad`` are eager, except under ``wf.jit``, which compiles the step. A
single process times all candidates in turns. It also prints the bytes that are saved between forward and backward.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import weft as wf
from benchmarks.harness import Candidate, Row, measure, report, torch_candidates
from benchmarks.programs import MAKERS

NAMES = ("MLP step", "digits CNN step", "char GPT step")


def loop(library: Any, name: str, wrap: Callable[[Any], Any]) -> tuple[Callable[[], Any], Any]:
    """Return the step of a training loop with a wrapped loss, and the loss."""
    kept: list[Any] = []

    def form(loss: Callable[..., Any]) -> Callable[..., Any]:
        kept.append(wrap(loss))
        return kept[0]  # type: ignore[no-any-return]

    step, batch = MAKERS[name](library, wrap=form)
    return (lambda: step(*batch)), (kept[0], batch)


def waiting(run: Callable[[], Any]) -> Callable[[], None]:
    """Return a run that waits for the device."""
    device = wf.devices.open("cpu")

    def both() -> None:
        run()
        device.synchronize()

    return both


def held(loss: Callable[..., Any], batch: Any) -> int:
    """Return the bytes of device memory that a loss holds until its backward pass."""
    device = wf.devices.open("cpu")
    loss(*batch).backward()
    before = device.memory_stats().in_use
    result = loss(*batch)
    after = device.memory_stats().in_use
    result.backward()
    return int(after - before)


def row(name: str, turns: int) -> Row:
    """Return the times of a loop."""
    ours, (compiled, batch) = loop(wf, name, wf.compile)
    eager, (plain, _) = loop(wf, name, lambda loss: loss)
    step, batch = MAKERS[name](wf)
    whole = wf.jit(step)
    peers = [
        Candidate("weft eager", waiting(eager)),
        Candidate("weft jit", waiting(lambda: whole(*batch))),
        *torch_candidates(loop(torch, name, lambda loss: loss)[0], "torch"),
        *torch_candidates(loop(torch, name, torch.compile)[0], "torch.compile"),
    ]
    measured = measure(name, waiting(ours), peers, turns)
    times = {"weft compile": measured.ours, **measured.peers}
    text = ", ".join(f"{which} {median(each) * 1e6:,.0f}" for which, each in times.items())
    print(f"{name}: µs {text}", file=sys.stderr)
    sizes = f"eager {held(plain, batch):,}, compiled {held(compiled, batch):,}"
    print(f"{name}: bytes held between forward and backward: {sizes}", file=sys.stderr)
    measured.peers = {label: peer for label, peer in measured.peers.items() if label.startswith("torch")}
    return measured


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="MLP,CNN,GPT", help="words of the rows' names")
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    wanted = given.only.split(",")
    wf.set_default_device("cpu")
    report(
        "compiled_models",
        [row(name, given.turns) for name in NAMES if any(word in name for word in wanted)],
    )


if __name__ == "__main__":
    main()
