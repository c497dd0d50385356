"""Rotary position embeddings: the frequencies of each kind of scaling, and the rotation of queries and keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.dtypes import DType
from weft.models.config import RopeConfig, RopeScaling
from weft.nn.module import Module
from weft.ops.index.indexing import cat, stack
from weft.tensors.creation import as_tensor
from weft.tensors.tensor import Tensor

Frequencies = np.ndarray[Any, np.dtype[np.float64]]


def _default(base: Frequencies, rope: RopeConfig) -> Frequencies:
    return base


def _linear(base: Frequencies, rope: RopeConfig) -> Frequencies:
    return base / rope.factor


def _blended(base: Frequencies, rope: RopeConfig, kept: Frequencies) -> Frequencies:
    """Return frequencies of which the share ``kept`` is not divided by the factor."""
    return kept * base + (1 - kept) * base / rope.factor


def _llama3(base: Frequencies, rope: RopeConfig) -> Frequencies:
    """Keep short wavelengths, divide long ones by the factor, and blend in between."""
    turns = rope.original_positions * base / (2 * math.pi)  # full turns within the original context
    return _blended(base, rope, np.clip((turns - rope.low) / (rope.high - rope.low), 0.0, 1.0))


def _yarn(base: Frequencies, rope: RopeConfig) -> Frequencies:
    """Blend by a ramp over the dimensions, between those of ``high`` and ``low`` turns."""

    def dimension(turns: float) -> float:
        return (
            rope.dims * math.log(rope.original_positions / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))
        )

    start, end = dimension(rope.high), dimension(rope.low)
    if rope.truncate:
        start, end = math.floor(start), math.ceil(end)
    start, end = max(start, 0), min(end, rope.dims - 1)
    ramp = (np.arange(rope.dims // 2) - start) / ((end - start) or 0.001)
    return _blended(base, rope, 1 - np.clip(ramp, 0.0, 1.0))


def _longrope(base: Frequencies, rope: RopeConfig) -> Frequencies:
    short: Frequencies = np.array(rope.short)
    return base / short


SCALINGS: Mapping[RopeScaling, Callable[[Frequencies, RopeConfig], Frequencies]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "dynamic": _default,
    "yarn": _yarn,
    "longrope": _longrope,
}
"""Frequencies while the length in use does not exceed the original positions."""


@dataclass(frozen=True)
class LengthScaling:
    """How frequencies depend on the length in use.

    ``apply(frequencies, constants, lengths, rope)`` gives (B, 1, dims / 2) from ``lengths`` (B, 1, 1), float, and
    frequencies and constants (dims / 2).
    """

    constants: Callable[[RopeConfig], Frequencies]
    apply: Callable[[Tensor, Tensor, Tensor, RopeConfig], Tensor]


def _exponents(rope: RopeConfig) -> Frequencies:
    return np.arange(0, rope.dims, 2) / (rope.dims - 2)


def _raise_theta(frequencies: Tensor, exponents: Tensor, lengths: Tensor, rope: RopeConfig) -> Tensor:
    """Raise theta with the length (NTK-aware scaling): frequency i is divided by a power of the stretch."""
    stretch = (lengths * (rope.factor / rope.original_positions) - (rope.factor - 1)).clamp(min=1.0)
    return frequencies * (-stretch.log() * exponents).exp()


def _choose_long(frequencies: Tensor, ratios: Tensor, lengths: Tensor, rope: RopeConfig) -> Tensor:
    return frequencies.where(lengths <= rope.original_positions, frequencies * ratios)


LENGTH_SCALINGS: Mapping[RopeScaling, LengthScaling] = {
    "dynamic": LengthScaling(_exponents, _raise_theta),
    "longrope": LengthScaling(lambda rope: np.array(rope.short) / np.array(rope.long), _choose_long),
}
"""The kinds of scaling that depend on the length in use."""


def frequencies(rope: RopeConfig) -> Frequencies:
    """Return radians a position of each pair of dimensions, float64 (dims / 2).

    Kinds that depend on the length in use have here the frequencies within the original positions.

    >>> frequencies(RopeConfig(theta=100.0, dims=4)).tolist()
    [1.0, 0.1]
    """
    base = rope.theta ** (-np.arange(0, rope.dims, 2, dtype=np.float64) / rope.dims)
    return SCALINGS[rope.scaling](base, rope)


@dataclass(frozen=True)
class Rotation:
    """The rotation of each token: ``cos`` and ``sin`` (B, T, 1, dims / 2), and a factor of queries (B, T, 1, 1)."""

    cos: Tensor
    sin: Tensor
    query_scale: Tensor | None = None

    def apply(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate queries and keys (B, T, heads, D), and scale the queries."""
        queries, keys = (rotate(heads, self.cos, self.sin) for heads in (queries, keys))
        return queries if self.query_scale is None else queries * self.query_scale, keys


class Rotary(Module):
    """The rotations of one ``RopeConfig``: positions (B, T) and lengths in use (B) to a ``Rotation``.

    Without lengths each sequence is as long as its last position says.
    """

    frequencies: Tensor
    constants: Tensor

    def __init__(self, rope: RopeConfig, device: str) -> None:
        super().__init__()
        self.rope, self.by_length = rope, LENGTH_SCALINGS.get(rope.scaling)
        self._keep("frequencies", frequencies(rope), device)
        if self.by_length is not None:
            self._keep("constants", self.by_length.constants(rope), device)

    def _keep(self, name: str, values: Frequencies, device: str) -> None:
        self.register_buffer(name, as_tensor(values.astype(np.float32), device=device), persistent=False)

    def forward(self, positions: Tensor, lengths: Tensor | None, dtype: DType) -> Rotation:
        """Return the rotation, cosines and sines in ``dtype``."""
        rope, kind = self.rope, self.frequencies.dtype
        turning = self.frequencies
        if self.by_length is not None:
            lengths = positions.amax(1) + 1 if lengths is None else lengths
            in_use = lengths.to(kind).reshape(-1, 1, 1)
            turning = self.by_length.apply(turning, self.constants, in_use, rope)
        angles = positions.unsqueeze(-1).to(kind) * turning
        cos, sin = angles.cos(), angles.sin()
        if rope.attention_factor != 1:
            cos, sin = cos * rope.attention_factor, sin * rope.attention_factor
        cos, sin = (part.to(dtype).unsqueeze(2) for part in (cos, sin))
        if not rope.query_beta:
            return Rotation(cos, sin)
        periods = (positions // rope.original_positions).to(kind)
        scale = 1 + rope.query_beta * (1 + periods).log()
        return Rotation(cos, sin, scale.to(dtype).reshape(*positions.shape, 1, 1))


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate ``heads`` (B, T, H, D) by ``cos`` and ``sin`` (B, T, 1, dims / 2): dimension i pairs with i + dims / 2.

    The pairs are exchanged by a reversal of two halves, which an index expresses: no kernel stores a half of its own.
    """
    half = cos.shape[-1]
    turned, rest = heads[..., : 2 * half], heads[..., 2 * half :]
    pairs = turned.reshape(*heads.shape[:-1], 2, half)
    sines = stack([-sin, sin], -2)
    joined: Tensor = (pairs * cos.unsqueeze(-2) + pairs.flip(-2) * sines).reshape(turned.shape)
    return cat([joined, rest], -1) if rest.shape[-1] else joined
