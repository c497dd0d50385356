"""Training steps of the ten programs of ``tests/programs``, weft's time over PyTorch's, eager and jitted.

``python -m benchmarks.public_programs [--only gpt,vit] [--turns 15] [--threads 2]``. Each program is run as source text
with both libraries from the same weights; a step on its first batch, including the read of the loss, is timed in turns
within one process. Start it with ``GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=PASSIVE``, so that PyTorch's threads do not spin on
the processors during the next turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import weft as wf
from benchmarks.harness import Candidate, machine, measure
from tests.programs import harness

Run = Callable[[], Any]


@dataclass(frozen=True)
class Times:
    """Seconds of a step by turn, and seconds of the first call of the jitted step."""

    name: str
    torch: list[float]
    eager: list[float]
    jitted: list[float]
    first_call: float

    def line(self) -> str:
        """Return a row of the table."""
        cells = [self.name, f"{statistics.median(self.torch) * 1e3:,.2f}"]
        for times in (self.eager, self.jitted):
            ratio = statistics.median(a / b for a, b in zip(times, self.torch, strict=True))
            cells += [f"{statistics.median(times) * 1e3:,.2f}", f"{ratio:.2f}"]
        return f"| {' | '.join(cells)} | {self.first_call:.1f} |"


def step_of(
    name: str, text: str, state: harness.Arrays | None, wrap: Callable[..., Any] | None = None
) -> tuple[Run, Any]:
    """Return a training step of a program on its first batch, with the loss read, and the program."""
    program = harness.started(name, text, "cpu")
    if state is not None:
        harness.load(program, state)
    step, batches = program.train_step, []

    def noted(*batch: Any) -> Any:
        batches.append(batch)
        return step(*batch)

    program.train_step = noted  # type: ignore[attr-defined]
    program.train(1)
    timed = step if wrap is None else wrap(step)

    def run() -> float:
        result = timed(*batches[0])
        loss = result[0] if isinstance(result, tuple) else result
        return float(loss.item())

    return run, program


def timed(name: str, turns: int) -> Times:
    """Return the times of a program."""
    text = (harness.SOURCES / f"{name}.py").read_text()
    state = harness.arrays(harness.started(name, text, "cpu"))
    theirs, _ = step_of(name, text, state)
    ours, _ = step_of(name, harness.with_weft(text), state)
    jitted, _ = step_of(name, harness.with_weft(text), state, wf.jit)
    start = time.perf_counter()
    jitted()
    first_call = time.perf_counter() - start
    row = measure(name, ours, [Candidate("torch", theirs), Candidate("jitted", jitted)], turns)
    return Times(name, row.peers["torch"], row.ours, row.peers["jitted"], first_call)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="names of programs, with commas between")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = arguments.only.split(",") if arguments.only else harness.NAMES
    if unknown := set(names) - set(harness.NAMES):
        sys.exit(f"no program {', '.join(sorted(unknown))}; there are {', '.join(harness.NAMES)}")
    print(
        f"\n## public_programs\n\n`python -m benchmarks.public_programs`, {time.strftime('%Y-%m-%d')}, {machine()}\n"
    )
    print("| program | torch, ms | eager, ms | ratio | jitted, ms | ratio | first jitted call, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        print(timed(name, arguments.turns).line(), flush=True)


if __name__ == "__main__":
    main()
