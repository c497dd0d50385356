"""Imports every family of ops, which fills the table."""

from weft.ops import (
    convolution,
    creation,
    elementwise,
    indexing,
    linear,
    loss,
    movement,
    pooling,
    randomness,
    reduction,
    softmax,
    updates,
)

__all__ = [
    "convolution",
    "creation",
    "elementwise",
    "indexing",
    "linear",
    "loss",
    "movement",
    "pooling",
    "randomness",
    "reduction",
    "softmax",
    "updates",
]
