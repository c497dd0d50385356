"""20 pointwise ops on 4 Mi float32 into a given output, against NumPy, PyTorch and the bandwidth of a copy."""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Candidate, Row, measure, report, torch_candidates

COUNT = 4 << 20

OPS: dict[str, tuple[int, str, str]] = {
    # op: operands, NumPy's and PyTorch's name ("" where there is none with an output)
    "add": (2, "add", "add"), "sub": (2, "subtract", "sub"), "mul": (2, "multiply", "mul"),
    "div": (2, "divide", "div"), "maximum": (2, "maximum", "maximum"), "minimum": (2, "minimum", "minimum"),
    "neg": (1, "negative", "neg"), "abs": (1, "absolute", "abs"), "sqrt": (1, "sqrt", "sqrt"),
    "floor": (1, "floor", "floor"), "reciprocal": (1, "reciprocal", "reciprocal"),
    "square": (1, "square", "square"), "exp": (1, "exp", "exp"), "log": (1, "log", "log"),
    "tanh": (1, "tanh", "tanh"), "sigmoid": (1, "", "sigmoid"), "sin": (1, "sin", "sin"),
    "cos": (1, "cos", "cos"), "log1p": (1, "log1p", "log1p"), "pow": (2, "power", "pow"),
}  # fmt: skip


def _row(name: str, values: list[Any], turns: int) -> Row:
    operands, in_numpy, in_torch = OPS[name]
    mine = [wf.tensor(value, device="cpu") for value in values[:operands]]
    target = wf.empty(COUNT, device="cpu")
    function = getattr(wf, name)
    peers: list[Candidate] = []
    if in_numpy:
        function, output = getattr(np, in_numpy), np.empty(COUNT, np.float32)
        peers.append(Candidate("numpy", lambda: function(*values[:operands], out=output)))
    theirs = [torch.from_numpy(value) for value in values[:operands]]
    torchs, wanted = getattr(torch, in_torch), torch.empty(COUNT)
    peers += torch_candidates(lambda: torchs(*theirs, out=wanted))
    return measure(name, lambda: function(*mine, out=target), peers, turns, 4 * COUNT * (operands + 1))


def copy_bandwidth(turns: int) -> float:
    """Return the bandwidth, read and written bytes per second, of the fastest copy of 4 Mi float32."""
    source, target = np.ones(COUNT, np.float32), np.empty(COUNT, np.float32)
    theirs, wanted = torch.from_numpy(source), torch.empty(COUNT)
    row = measure(
        "copy", lambda: np.copyto(target, source), torch_candidates(lambda: wanted.copy_(theirs)), turns
    )
    best = min(statistics.median(times) for times in (row.ours, *row.peers.values()))
    return 8 * COUNT / best


def main() -> None:
    """Print all rows, or those named on the command line."""
    turns = 15
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.1, 4.0, COUNT).astype(np.float32) for _ in range(2)]
    names = sys.argv[1:] or list(OPS)
    with torch.no_grad():
        before = copy_bandwidth(turns)
        rows = [_row(name, values, turns) for name in names]
        copy = statistics.median([before, copy_bandwidth(turns)])
    report("pointwise", rows, copy)
    print(f"\nThe copy moves {copy / 1e9:.1f} GB/s.")


if __name__ == "__main__":
    main()
