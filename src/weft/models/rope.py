"""Rotary position embeddings: the frequencies of each kind of scaling, and the rotation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from weft.models.config import RopeConfig
from weft.ops.index.indexing import cat
from weft.tensors.tensor import Tensor

Frequencies = np.ndarray[Any, np.dtype[np.float64]]


def _default(base: Frequencies, rope: RopeConfig) -> Frequencies:
    return base


def _linear(base: Frequencies, rope: RopeConfig) -> Frequencies:
    return base / rope.factor


def _llama3(base: Frequencies, rope: RopeConfig) -> Frequencies:
    """Keep short wavelengths, divide long ones by the factor, and blend in between."""
    turns = rope.original_positions * base / (2 * math.pi)  # full turns within the original context
    share = np.clip((turns - rope.low) / (rope.high - rope.low), 0.0, 1.0)
    return share * base + (1 - share) * base / rope.factor


SCALINGS: dict[str, Callable[[Frequencies, RopeConfig], Frequencies]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
}


def frequencies(rope: RopeConfig) -> Frequencies:
    """Return radians a position of each pair of dimensions, float64 (dims / 2).

    >>> frequencies(RopeConfig(theta=100.0, dims=4)).tolist()
    [1.0, 0.1]
    """
    base = rope.theta ** (-np.arange(0, rope.dims, 2, dtype=np.float64) / rope.dims)
    return SCALINGS[rope.scaling](base, rope)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate ``heads`` (B, T, H, D) by ``cos`` and ``sin`` (B, T, 1, dims / 2): dimension i pairs with i + dims / 2."""
    half = cos.shape[-1]
    first, second, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
    rotated = [first * cos - second * sin, second * cos + first * sin]
    joined: Tensor = cat([*rotated, rest] if rest.shape[-1] else rotated, -1)
    return joined
