"""Convolutions, forward and backward, against PyTorch: layers of the digits CNN, of ResNets, of a GAN, and in 3-d.

``python -m benchmarks.convolution [PART OF A NAME]``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import measure, report, torch_candidates

# shape of the input and of the weight, padding and stride
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int]] = {
    "digits 1 to 16, 28x28, batch 64": ((64, 1, 28, 28), (16, 1, 3, 3), 1, 1),
    "digits 16 to 32, 14x14, batch 64": ((64, 16, 14, 14), (32, 16, 3, 3), 1, 1),
    "64 to 64, 56x56, batch 8": ((8, 64, 56, 56), (64, 64, 3, 3), 1, 1),
    "64 to 64, 28x28, batch 16": ((16, 64, 28, 28), (64, 64, 3, 3), 1, 1),
    "64 to 128, 28x28, stride 2": ((16, 64, 28, 28), (128, 64, 3, 3), 1, 2),
    "128 to 128, 14x14": ((16, 128, 14, 14), (128, 128, 3, 3), 1, 1),
    "256 to 256, 7x7": ((16, 256, 7, 7), (256, 256, 3, 3), 1, 1),
    "512 to 512, 4x4": ((16, 512, 4, 4), (512, 512, 3, 3), 1, 1),
    "512 to 512, 2x2": ((16, 512, 2, 2), (512, 512, 3, 3), 1, 1),
    "512 to 512, 1x1": ((16, 512, 1, 1), (512, 512, 3, 3), 1, 1),
    "512 to 512, 4x4, filters of 1x1": ((16, 512, 4, 4), (512, 512, 1, 1), 0, 1),
    "64 to 256, 28x28, filters of 1x1": ((16, 64, 28, 28), (256, 64, 1, 1), 0, 1),
    "64 to 128, 28x28, filters of 1x1, stride 2": ((16, 64, 28, 28), (128, 64, 1, 1), 0, 2),
    "64 to 128, 32x32, filters of 4x4, stride 2": ((16, 64, 32, 32), (128, 64, 4, 4), 1, 2),
    "3 to 64, 64x64, filters of 7x7, stride 2": ((16, 3, 64, 64), (64, 3, 7, 7), 3, 2),
    "16 to 32, 16x28x28, batch 2": ((2, 16, 16, 28, 28), (32, 16, 3, 3, 3), 1, 1),
}


def _pair(library: Any, x: Any, w: Any, b: Any, seed: Any, padding: int, stride: int) -> tuple[Any, Any]:
    convolve = getattr(library.nn.functional, f"conv{x.ndim - 2}d")

    def forward() -> Any:
        with library.no_grad():
            return convolve(x, w, b, stride=stride, padding=padding)

    def both() -> None:
        x.grad = w.grad = b.grad = None
        convolve(x, w, b, stride=stride, padding=padding).backward(seed)

    return forward, both


def main() -> None:
    """Return two rows for each layer: forward, and forward and backward."""
    rows = []
    rng = np.random.default_rng(0)
    chosen = {name: layer for name, layer in LAYERS.items() if all(word in name for word in sys.argv[1:])}
    for name, (shape, weight, padding, stride) in chosen.items():
        out = [(n + 2 * padding - taps) // stride + 1 for n, taps in zip(shape[2:], weight[2:], strict=True)]
        arrays = [
            rng.standard_normal(s).astype(np.float32)
            for s in (shape, weight, weight[:1], (shape[0], weight[0], *out))
        ]
        mine = [wf.tensor(value, device="cpu") for value in arrays]
        theirs = [torch.from_numpy(value) for value in arrays]
        for tensors in (mine, theirs):
            for tensor in tensors[:3]:
                tensor.requires_grad_()
        ours, peers = _pair(wf, *mine, padding, stride), _pair(torch, *theirs, padding, stride)
        for passes, run, peer in zip(("forward", "forward and backward"), ours, peers, strict=True):
            rows.append(measure(f"{name}: {passes}", run, torch_candidates(peer), turns=9))
    report("convolution", rows)


if __name__ == "__main__":
    main()
