"""Attention, forward and backward, against PyTorch's on the same GPU, in one run.

``python -m benchmarks.attention [--device webgpu] [--quick]`` prints a Markdown table. Calls are eager, and their times
include Python; the backward pass is ``autograd.grad`` of a recorded call. A time is the median of batches, each ended
by a synchronisation. Results are first compared with PyTorch's. TFLOP/s count the products of forward (2) and backward
(5), and half of them for causal attention.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.compiled_gpu import CUDA, median

SHAPES = [
    ((64, 6, 256, 64), "float32", True), ((8, 16, 1024, 64), "float32", False), ((4, 8, 1024, 256), "float32", False),
    ((8, 16, 1024, 64), "float16", False), ((1, 32, 4096, 128), "float16", True),
]  # fmt: skip
QUICK = [((2, 2, 96, 32), "float32", True), ((2, 2, 96, 32), "float16", False)]
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}

Pass = Callable[[], Any]


def passes(library: Any, arrays: list[Any], causal: bool) -> tuple[Pass, Pass, Pass]:
    """Return the result, a forward call and a backward call."""
    q, k, v = (array.requires_grad_() for array in arrays[:3])
    attention = library.nn.functional.scaled_dot_product_attention
    out = attention(q, k, v, is_causal=causal)

    def forward() -> Any:
        with library.no_grad():
            return attention(q, k, v, is_causal=causal)

    def backward() -> Any:
        return library.autograd.grad(out, (q, k, v), arrays[3], retain_graph=True)

    return lambda: (out, *backward()), forward, backward


def row(shape: tuple[int, ...], kind: str, causal: bool, device: str, seconds: float) -> str:
    """Return a line of the table, after a comparison with PyTorch."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype="float32") for _ in range(4)]
    opened, there = wf.devices.open(device), "cuda" if CUDA else "cpu"
    ours = [wf.tensor(array, device=device).to(getattr(wf, kind)) for array in arrays]
    theirs = [torch.from_numpy(array).to(there).to(getattr(torch, kind)) for array in arrays]
    all_ours, *calls = passes(wf, ours, causal)
    all_theirs, *peers = passes(torch, theirs, causal)
    for result, other in zip(all_ours(), all_theirs(), strict=True):
        expected = other.detach().float().cpu().numpy()
        error = np.abs(result.detach().to(wf.float32).numpy() - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE[kind]:
            raise AssertionError(f"attention of {shape} {kind}: the results differ by {error}")
    cells = [f"{shape} {kind}{', causal' if causal else ''}"]
    b, h, length, size = shape
    for call, peer, products in zip(calls, peers, (2, 5), strict=True):
        our_time = median(call, opened.synchronize, seconds)
        rate = 2 * products * b * h * length * length * size / (2 if causal else 1) / our_time / 1e12
        cells.append(f"{our_time * 1e3:.2f} ms, {rate:.1f}")
        if CUDA:
            other_time = median(peer, torch.cuda.synchronize, seconds)
            cells[-1] += f" ({our_time / other_time:.2f})"
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="webgpu")
    parser.add_argument("--quick", action="store_true", help="small sizes, to show that the script runs")
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    print("| shape | forward, TFLOP/s (time of PyTorch's) | backward |\n| --- | --- | --- |")
    for shape, kind, causal in QUICK if given.quick else SHAPES:
        print(row(shape, kind, causal, given.device, 0.01 if given.quick else 0.1), flush=True)


if __name__ == "__main__":
    main()
