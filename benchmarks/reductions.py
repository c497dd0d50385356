"""Sums, softmax and layer norm against PyTorch, forward, on float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Row, measure, report, torch_candidates

SHAPES = ((4096, 1024), (64, 65536), (100_000, 32))


def _rows(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[Row]:
    value = rng.standard_normal(shape).astype(np.float32)
    mine, theirs = wf.tensor(value, device="cpu"), torch.from_numpy(value)
    width = shape[1:]
    weight, bias = wf.ones(*width, device="cpu"), wf.zeros(*width, device="cpu")
    their_weight, their_bias = torch.ones(*width), torch.zeros(*width)
    ours, torchs = wf.nn.functional, torch.nn.functional
    cases = {
        "sum": (lambda: mine.sum(), lambda: theirs.sum()),
        "sum(1)": (lambda: mine.sum(1), lambda: theirs.sum(1)),
        "sum(0)": (lambda: mine.sum(0), lambda: theirs.sum(0)),
        "amax(1)": (lambda: mine.amax(1), lambda: theirs.amax(1)),
        "softmax(-1)": (lambda: mine.softmax(-1), lambda: theirs.softmax(-1)),
        "log_softmax(-1)": (lambda: mine.log_softmax(-1), lambda: theirs.log_softmax(-1)),
        "layer_norm": (
            lambda: ours.layer_norm(mine, width, weight, bias),
            lambda: torchs.layer_norm(theirs, width, their_weight, their_bias),
        ),
    }
    with wf.no_grad(), torch.no_grad():
        for name, (run, peer) in cases.items():
            yield measure(f"{name} {list(shape)}", run, torch_candidates(peer))


def main() -> None:
    """Return the rows by shape: sums of all elements, of rows, of columns; softmax and layer norm of rows."""
    rng = np.random.default_rng(0)
    report("reductions", [row for shape in SHAPES for row in _rows(shape, rng)])


if __name__ == "__main__":
    main()
