"""``DecoderConfig``: every choice that tells one decoder-only language model from another, as frozen data.

A row of ``weft.models.families`` makes it from a checkpoint's ``config.json``; ``weft.models.decoder`` reads nothing
else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeScaling = Literal["default", "linear", "llama3"]
ACTIVATION_NAMES = ("silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
"""The activations of feed-forward parts, as ``config.json`` calls them."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021) of the first ``dims`` dimensions of each head.

    ``factor`` and the fields after it belong to ``scaling``: ``linear`` divides positions by ``factor``; ``llama3``
    divides long wavelengths only (Llama 3.1's report), between ``low`` and ``high`` gradually.
    """

    theta: float
    dims: int
    scaling: RopeScaling = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class LayerConfig:
    """What may differ from layer to layer: the attention window in tokens (None: all), and whether heads rotate."""

    window: int | None = None
    rope: bool = True


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer with rotary positions and normalisation before each part.

    ``qk_norm`` normalises each head of queries and keys before their rotation. ``scale`` multiplies the attention's
    scores. ``tied`` shares the embedding with the output layer. ``max_positions`` is the longest context that the
    model was trained for.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    layers: tuple[LayerConfig, ...]
    rope: RopeConfig
    norm_eps: float
    max_positions: int
    tied: bool
    activation: str = "silu"
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    scale: float = 0.0
    eos: tuple[int, ...] = ()
    bos: int | None = None

    @property
    def score_scale(self) -> float:
        """The factor of the attention's scores: ``scale``, or 1 / sqrt(head_dim) where it is 0."""
        return self.scale or self.head_dim**-0.5
