"""Whole training steps for tests of the passes and later stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft as wf
from weft import nn
from weft.nn import functional as F

Step = tuple[Callable[..., Any], tuple[Any, ...]]


def mlp(device: str) -> Step:
    """An MLP with Adam."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(device)
    optimizer = wf.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, (wf.randn(5, 8, device=device), wf.tensor([0, 1, 2, 3, 0], device=device))


class Block(nn.Module):
    """A block of a GPT."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Any) -> Any:
        """(B, T, D) to (B, T, D)."""
        b, t, d = x.shape
        parts = self.qkv(self.norms[0](x)).chunk(3, -1)
        q, k, v = (part.reshape(b, t, self.heads, d // self.heads).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


def gpt(device: str) -> Step:
    """A GPT of one block, forward and backward."""
    blocks = nn.Sequential(nn.Embedding(11, 16), Block(16, 2), nn.Linear(16, 11)).to(device)

    def step(tokens: Any, target: Any) -> Any:
        blocks.zero_grad()
        loss = F.cross_entropy(blocks(tokens).reshape(-1, 11), target.reshape(-1))
        loss.backward()
        return loss, [parameter.grad for parameter in blocks.parameters()]

    tokens = wf.tensor([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]], device=device)
    return step, (tokens, tokens + 1)


def convolutional(device: str) -> Step:
    """A convolutional net with batch norm, pooling and dropout, with SGD."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 10)
    ).to(device)  # fmt: skip
    optimizer = wf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, (wf.randn(2, 1, 8, 8, device=device), wf.tensor([1, 2], device=device))


MODELS: dict[str, Callable[[str], Step]] = {"mlp": mlp, "gpt": gpt, "convolutional": convolutional}
