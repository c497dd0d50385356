"""Eager training loops around a compiled model: ``wf.compile`` and ``torch.compile``, against eager and ``wf.jit``.

``python -m benchmarks.compiled_models [--only MLP,GPT] [--turns 9]``. The loss is compiled as a function of the batch;
``backward()``, the optimizer's step and ``zero_grad`` are eager, except under ``wf.jit``, which compiles the step. One
process times all in turns. Besides times it prints the bytes that lie between forward and backward.
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
    """A training loop's step with a wrapped loss, and that loss."""
    kept: list[Any] = []

    def form(loss: Callable[..., Any]) -> Callable[..., Any]:
        kept.append(wrap(loss))
        return kept[0]  # type: ignore[no-any-return]

    step, batch = MAKERS[name](library, wrap=form)
    return (lambda: step(*batch)), (kept[0], batch)


def waiting(run: Callable[[], Any]) -> Callable[[], None]:
    """A run that waits for the device."""
    device = wf.devices.open("cpu")

    def both() -> None:
        run()
        device.synchronize()

    return both


def held(loss: Callable[..., Any], batch: Any) -> int:
    """Bytes of the device's memory that a loss holds until it goes backward."""
    device = wf.devices.open("cpu")
    loss(*batch).backward()
    before = device.memory_stats().in_use
    result = loss(*batch)
    after = device.memory_stats().in_use
    result.backward()
    return int(after - before)


def row(name: str, turns: int) -> Row:
    """A loop's times."""
    ours, (compiled, batch) = loop(wf, name, wf.compile)
    eager, (plain, _) = loop(wf, name, lambda loss: loss)
    step, own = MAKERS[name](wf)
    whole = wf.jit(step)
    peers = [
        Candidate("weft eager", waiting(eager)),
        Candidate("weft jit", waiting(lambda: whole(*own))),
        *torch_candidates(loop(torch, name, lambda loss: loss)[0], "torch"),
        *torch_candidates(loop(torch, name, torch.compile)[0], "torch.compile"),
    ]
    found = measure(name, waiting(ours), peers, turns)
    times = {"weft compile": found.ours, **found.peers}
    text = ", ".join(f"{which} {median(each) * 1e6:,.0f}" for which, each in times.items())
    print(f"{name}: µs {text}", file=sys.stderr)
    sizes = f"eager {held(plain, batch):,}, compiled {held(compiled, batch):,}"
    print(f"{name}: bytes held between forward and backward: {sizes}", file=sys.stderr)
    found.peers = {which: each for which, each in found.peers.items() if which.startswith("torch")}
    return found


def main() -> None:
    """The table."""
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
