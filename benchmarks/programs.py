"""The training steps that compiled speed is measured on, written once for any library shaped like PyTorch.

Each maker takes the library (``weft`` or ``torch``), the options of its optimizer and, for GPT, the sizes; it gives the
step, a function of the batch that returns the loss, and the batch. Inputs are the same numbers for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

Step = Callable[..., Any]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a GPT: layers, width, heads, sequence length, batch size, and vocabulary."""

    layers: int
    width: int
    heads: int
    tokens: int
    batch: int
    words: int = 96


CHARACTERS = Sizes(layers=4, width=128, heads=4, tokens=64, batch=32)
SMALL = Sizes(layers=6, width=384, heads=6, tokens=256, batch=64)


def _step(library: Any, model: Any, loss: Callable[..., Any], device: Any, options: dict[str, Any]) -> Step:
    """Return a training step with Adam; the option ``wrap`` is applied to the function of the model and its loss."""
    model = model.to(device)
    wrap = options.pop("wrap", lambda run: run)
    optimizer = library.optim.Adam(model.parameters(), lr=1e-3, **options)
    run = wrap(lambda inputs, targets: loss(model(inputs), targets))

    def step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        result = run(inputs, targets)
        result.backward()
        optimizer.step()
        return result.detach()

    return step


def mlp(library: Any, device: Any = "cpu", **options: Any) -> tuple[Step, tuple[Any, ...]]:
    """Return an MLP, 64 → 128 → 10, on a batch of 64."""
    nn, rng = import_module(f"{library.__name__}.nn"), np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    given = rng.standard_normal((64, 64), np.float32), rng.integers(0, 10, 64)
    batch = tuple(library.tensor(value, device=device) for value in given)
    return _step(library, model, nn.functional.cross_entropy, device, options), batch


def cnn(library: Any, device: Any = "cpu", **options: Any) -> tuple[Step, tuple[Any, ...]]:
    """Return the network of ``examples.digits`` on a batch of 64, with dropout."""
    nn, rng = import_module(f"{library.__name__}.nn"), np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 10),
    )  # fmt: skip
    given = rng.random((64, 1, 8, 8), np.float32), rng.integers(0, 10, 64)
    batch = tuple(library.tensor(value, device=device) for value in given)
    return _step(library, model, nn.functional.cross_entropy, device, options), batch


def gpt(
    library: Any, device: Any = "cpu", sizes: Sizes = CHARACTERS, **options: Any
) -> tuple[Step, tuple[Any, ...]]:
    """Return a decoder with causal attention and learned positions that predicts the next tokens."""
    nn, rng = import_module(f"{library.__name__}.nn"), np.random.default_rng(0)
    functional, (b, t, d) = nn.functional, (sizes.batch, sizes.tokens, sizes.width)

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.project = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.widen, self.narrow = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x: Any) -> Any:
            heads = self.qkv(self.norm1(x)).reshape(b, t, 3, sizes.heads, d // sizes.heads)
            q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(y.permute(0, 2, 1, 3).reshape(b, t, d))
            return x + self.narrow(functional.gelu(self.widen(self.norm2(x))))

    class Decoder(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(sizes.words, d)
            self.places = nn.Parameter(library.zeros(t, d))
            self.blocks = nn.Sequential(*[Block() for _ in range(sizes.layers)])
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, sizes.words)

        def forward(self, words: Any) -> Any:
            return self.head(self.norm(self.blocks(self.words(words) + self.places)))

    def loss(logits: Any, targets: Any) -> Any:
        return functional.cross_entropy(logits.reshape(b * t, sizes.words), targets.reshape(b * t))

    words = rng.integers(0, sizes.words, (b, t + 1))
    batch = tuple(library.tensor(words[:, at : at + t].copy(), device=device) for at in (0, 1))
    return _step(library, Decoder(), loss, device, options), batch


def chain(library: Any, device: Any = "cpu", count: int = 4 << 20) -> tuple[Step, tuple[Any, ...]]:
    """Return a chain of six element-wise operations."""
    value = np.random.default_rng(0).standard_normal(count, np.float32)

    def run(x: Any) -> Any:
        y = library.nn.functional.relu(x * 2.0 + 1.0)
        return (y - x).abs() * 0.5

    return run, (library.tensor(value, device=device),)


MAKERS: dict[str, Callable[..., tuple[Step, tuple[Any, ...]]]] = {
    "MLP step": mlp,
    "digits CNN step": cnn,
    "char GPT step": partial(gpt, sizes=CHARACTERS),
    "6 pointwise ops, 4 Mi": chain,
}
