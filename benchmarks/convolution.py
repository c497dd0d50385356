"""2-d convolutions, forward and backward, against PyTorch: the digits CNN's layers and a ResNet layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import measure, report, torch_candidates

LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "digits 1 to 16, 28x28, batch 64": ((64, 1, 28, 28), (16, 1, 3, 3), 1),
    "digits 16 to 32, 14x14, batch 64": ((64, 16, 14, 14), (32, 16, 3, 3), 1),
    "64 to 64, 56x56, batch 8": ((8, 64, 56, 56), (64, 64, 3, 3), 1),
}


def _pair(library: Any, x: Any, w: Any, b: Any, seed: Any, padding: int) -> tuple[Any, Any]:
    def forward() -> Any:
        with library.no_grad():
            return library.nn.functional.conv2d(x, w, b, padding=padding)

    def both() -> None:
        x.grad = w.grad = b.grad = None
        library.nn.functional.conv2d(x, w, b, padding=padding).backward(seed)

    return forward, both


def main() -> None:
    """A row for forward and one for forward and backward of each layer."""
    rows = []
    rng = np.random.default_rng(0)
    for name, (shape, weight, padding) in LAYERS.items():
        size = shape[2] + 2 * padding - weight[2] + 1
        arrays = [
            rng.standard_normal(s).astype(np.float32)
            for s in (shape, weight, weight[:1], (shape[0], weight[0], size, size))
        ]
        mine = [wf.tensor(value, device="cpu") for value in arrays]
        theirs = [torch.from_numpy(value) for value in arrays]
        for tensors in (mine, theirs):
            for tensor in tensors[:3]:
                tensor.requires_grad_()
        ours, peers = _pair(wf, *mine, padding), _pair(torch, *theirs, padding)
        for what, run, peer in zip(("forward", "forward and backward"), ours, peers, strict=True):
            rows.append(measure(f"{name}: {what}", run, torch_candidates(peer), turns=9))
    report("convolution", rows)


if __name__ == "__main__":
    main()
