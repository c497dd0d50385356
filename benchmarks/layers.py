"""Layers and data movement other than convolutions, forward and backward, against PyTorch.

``python -m benchmarks.layers [PART OF A NAME]``. Whole models are in ``benchmarks.vision``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Row, measure, report, torch_candidates

Layer = Callable[[Any, Any], Any]
"""A function of the library's ``nn.functional`` and a tensor."""

IMAGES = (8, 64, 56, 56)
SMALL = (8, 64, 28, 28)
LAYERS: dict[str, tuple[tuple[int, ...], Layer]] = {
    "max_pool2d(3, 2, 1)": (IMAGES, lambda f, x: f.max_pool2d(x, 3, 2, 1)),
    "max_pool2d(2)": (IMAGES, lambda f, x: f.max_pool2d(x, 2)),
    "max_pool2d(3, 1, 1)": (SMALL, lambda f, x: f.max_pool2d(x, 3, 1, 1)),
    "avg_pool2d(3, 2, 1)": (IMAGES, lambda f, x: f.avg_pool2d(x, 3, 2, 1)),
    "avg_pool2d(2)": (IMAGES, lambda f, x: f.avg_pool2d(x, 2)),
    "interpolate nearest, x2": (SMALL, lambda f, x: f.interpolate(x, scale_factor=2)),
    "interpolate bilinear, x2": (SMALL, lambda f, x: f.interpolate(x, scale_factor=2, mode="bilinear")),
    "interpolate bilinear, corners aligned": (
        SMALL, lambda f, x: f.interpolate(x, size=(56, 56), mode="bilinear", align_corners=True)
    ),
    "interpolate bicubic, x2": (
        (8, 16, 28, 28), lambda f, x: f.interpolate(x, scale_factor=2, mode="bicubic")
    ),
    "interpolate bilinear, x0.5": (IMAGES, lambda f, x: f.interpolate(x, scale_factor=0.5, mode="bilinear")),
    "interpolate trilinear, x2": (
        (2, 16, 16, 16, 16), lambda f, x: f.interpolate(x, scale_factor=2, mode="trilinear")
    ),
    "interpolate linear, x2": ((8, 64, 1000), lambda f, x: f.interpolate(x, scale_factor=2, mode="linear")),
    "pad by 3, constant": (IMAGES, lambda f, x: f.pad(x, (3, 3, 3, 3))),
    "pad by 3, reflect": (IMAGES, lambda f, x: f.pad(x, (3, 3, 3, 3), mode="reflect")),
    "pad by 3, replicate": (IMAGES, lambda f, x: f.pad(x, (3, 3, 3, 3), mode="replicate")),
    "pad by 3, circular": (IMAGES, lambda f, x: f.pad(x, (3, 3, 3, 3), mode="circular")),
    "t().contiguous(), 2048x2048": ((2048, 2048), lambda f, x: x.t().contiguous()),
    "permute(0, 2, 3, 1)": (IMAGES, lambda f, x: x.permute(0, 2, 3, 1).contiguous()),
    "permute(0, 2, 1, 3)": ((16, 128, 8, 64), lambda f, x: x.permute(0, 2, 1, 3).contiguous()),
    "flip(3)": (IMAGES, lambda f, x: x.flip(3)),
    "roll(3, 2)": (IMAGES, lambda f, x: x.roll(3, 2)),
    "topk 10 of 1000": ((512, 1000), lambda f, x: x.topk(10)[0]),
    "topk 5 of 50000": ((8, 50000), lambda f, x: x.topk(5)[0]),
    "cumsum(1)": ((512, 1000), lambda f, x: x.cumsum(1)),
    "cumsum(0)": ((512, 1000), lambda f, x: x.cumsum(0)),
}  # fmt: skip


def _pair(library: Any, layer: Layer, x: Any) -> tuple[Any, Any]:
    functional = library.nn.functional
    x.requires_grad_()
    seed = library.ones_like(layer(functional, x).detach())

    def forward() -> None:
        with library.no_grad():
            layer(functional, x)

    def both() -> None:
        x.grad = None
        layer(functional, x).backward(seed)

    return forward, both


def main() -> None:
    """Return two rows for each layer: forward, and forward and backward."""
    rows: list[Row] = []
    rng = np.random.default_rng(0)
    for name, (shape, layer) in LAYERS.items():
        if not all(word in name for word in sys.argv[1:]):
            continue
        value = rng.standard_normal(shape).astype(np.float32)
        ours = _pair(wf, layer, wf.tensor(value, device="cpu"))
        peers = _pair(torch, layer, torch.from_numpy(value.copy()))
        for passes, run, peer in zip(("forward", "forward and backward"), ours, peers, strict=True):
            rows.append(measure(f"{name}: {passes}", run, torch_candidates(peer), turns=9))
    report("layers", rows)


if __name__ == "__main__":
    main()
