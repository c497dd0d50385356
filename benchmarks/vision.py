"""Losses and gradients of convolutional models against PyTorch, eager and as one compiled function.

``python -m benchmarks.vision [PART OF A NAME]``. Each model is written once for both libraries, with the same weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Row, measure, report, torch_candidates

Loss = Callable[..., Any]
"""A function of the arrays of a batch, as tensors."""


def resnet18(library: Any) -> tuple[Any, Loss, list[np.ndarray[Any, Any]]]:
    """Return ResNet-18 with a stem of 3x3 for images of 28x28, batch 16."""
    nn = library.nn

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, c: int, o: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
            self.short = nn.Sequential()
            if stride > 1 or c != o:
                self.short = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x: Any) -> Any:
            y = nn.functional.relu(self.bn1(self.conv1(x)))
            return nn.functional.relu(self.bn2(self.conv2(y)) + self.short(x))

    widths = [
        (64, 64, 1),
        (64, 64, 1),
        (64, 128, 2),
        (128, 128, 1),
        (128, 256, 2),
        (256, 256, 1),
        (256, 512, 2),
        (512, 512, 1),
    ]
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        *[Block(*width) for width in widths], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    batch = [rng.standard_normal((16, 3, 28, 28)).astype("f"), rng.integers(0, 10, 16)]
    return model, lambda x, y: nn.functional.cross_entropy(model(x), y), batch


def siamese(library: Any) -> tuple[Any, Loss, list[np.ndarray[Any, Any]]]:
    """Return a Siamese ResNet-18 of two images of 28x28 with a small perceptron, batch 16."""
    nn = library.nn
    trunk, _, (pictures, _) = resnet18(library)
    head = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 1))
    model = nn.ModuleList([trunk, head])
    rng = np.random.default_rng(1)
    batch = [
        pictures,
        rng.standard_normal(pictures.shape).astype("f"),
        rng.integers(0, 2, (16, 1)).astype("f"),
    ]

    def loss(first: Any, second: Any, same: Any) -> Any:
        pair = library.cat([trunk(first), trunk(second)], 1)
        return nn.functional.binary_cross_entropy_with_logits(head(pair), same)

    return model, loss, batch


def dcgan(library: Any) -> tuple[Any, Loss, list[np.ndarray[Any, Any]]]:
    """Return the generator's loss of a DCGAN of 64x64 images with 64 channels at the edge, batch 16."""
    nn = library.nn

    def up(c: int, o: int, stride: int, padding: int) -> list[Any]:
        return [nn.ConvTranspose2d(c, o, 4, stride, padding, bias=False), nn.BatchNorm2d(o), nn.ReLU()]

    def down(c: int, o: int) -> list[Any]:
        return [nn.Conv2d(c, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]

    generator = nn.Sequential(
        *up(100, 512, 1, 0), *up(512, 256, 2, 1), *up(256, 128, 2, 1), *up(128, 64, 2, 1),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        *down(3, 64), *down(64, 128), *down(128, 256), *down(256, 512), nn.Conv2d(512, 1, 4, bias=False)
    )
    model = nn.ModuleList([generator, discriminator])
    batch = [np.random.default_rng(0).standard_normal((16, 100, 1, 1)).astype("f")]

    def loss(noise: Any) -> Any:
        score = discriminator(generator(noise)).reshape(-1)
        return nn.functional.binary_cross_entropy_with_logits(score, library.ones_like(score))

    return model, loss, batch


MODELS: dict[str, Callable[[Any], tuple[Any, Loss, list[np.ndarray[Any, Any]]]]] = {
    "ResNet-18, 28x28, batch 16": resnet18,
    "siamese ResNet-18, 28x28, batch 16": siamese,
    "DCGAN, 64x64, batch 16": dcgan,
}


def _run(library: Any, model: Any, loss: Loss, batch: list[Any]) -> Callable[[], Any]:
    """Return a step: zero the gradients, compute a loss and its gradients."""

    def run() -> Any:
        model.zero_grad()
        result = loss(*batch)
        result.backward()
        return result.detach()

    return run


def _rows(name: str, turns: int) -> list[Row]:
    models = {library: MODELS[name](library) for library in (wf, torch)}
    weights = {key: value.numpy() for key, value in models[torch][0].state_dict().items()}
    models[wf][0].load_state_dict({key: wf.tensor(value, device="cpu") for key, value in weights.items()})
    runs = {}
    for library, (model, loss, arrays) in models.items():
        model.to("cpu")
        batch = [
            wf.tensor(each, device="cpu") if library is wf else torch.from_numpy(each) for each in arrays
        ]
        runs[library] = _run(library, model, loss, batch)
    ours, theirs = float(runs[wf]()), float(runs[torch]())
    if abs(ours - theirs) > 1e-3 * max(1.0, abs(theirs)):
        raise AssertionError(f"{name}: losses {ours} and {theirs} differ")
    compiled = wf.jit(runs[wf])
    return [
        measure(f"{name}, {form}", run, torch_candidates(runs[torch]), turns)
        for form, run in (("eager", runs[wf]), ("compiled", compiled))
    ]


def main() -> None:
    """Print a row eager and a row compiled for each model."""
    chosen = [name for name in MODELS if all(word in name for word in sys.argv[1:])]
    report("vision", [row for name in chosen for row in _rows(name, 7)])


if __name__ == "__main__":
    main()
