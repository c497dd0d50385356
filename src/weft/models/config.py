"""``DecoderConfig``: every choice that tells one decoder-only language model from another, as frozen data.

A row of ``weft.models.families`` makes it from a checkpoint's ``config.json``; ``weft.models.decoder`` reads nothing
else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeScaling = Literal["default", "linear", "llama3", "dynamic", "yarn", "longrope"]
NormKind = Literal["rms", "rms_plus_one", "layer"]
NormPlacement = Literal["before", "after", "around"]
ACTIVATION_NAMES = ("silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
"""The activations of feed-forward parts, as ``config.json`` calls them."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021) of the first ``dims`` dimensions of each head.

    ``scaling`` names how a longer context than the ``original_positions`` is reached:

    - ``linear`` divides positions by ``factor``;
    - ``llama3`` divides the frequencies of less than ``low`` turns within the original positions, keeps those of more
      than ``high``, and blends in between (Llama 3.1's report);
    - ``yarn`` does the same with a ramp over the dimensions, whose ends are whole dimensions with ``truncate`` (Peng et
      al. 2023);
    - ``dynamic`` raises ``theta`` with the length in use beyond the original positions;
    - ``longrope`` divides each frequency by its entry of ``short``, or of ``long`` where the length in use exceeds the
      original positions (Ding et al. 2024).

    ``attention_factor`` multiplies rotated queries and keys. Queries at position p are multiplied by
    ``1 + query_beta * log(1 + p // original_positions)``.
    """

    theta: float
    dims: int
    scaling: RopeScaling = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_positions: int = 8192
    truncate: bool = True
    short: tuple[float, ...] = ()
    long: tuple[float, ...] = ()
    attention_factor: float = 1.0
    query_beta: float = 0.0


@dataclass(frozen=True)
class LayerConfig:
    """What may differ from layer to layer.

    ``window`` is the attention's window in tokens (None: all), ``rope`` whether heads rotate. ``mixer`` names what
    mixes the tokens (``weft.models.decoder.MIXERS``), ``feed_forward`` the part after it (``FEED_FORWARDS``).
    """

    window: int | None = None
    rope: bool = True
    mixer: str = "attention"
    feed_forward: str = "gated"


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer.

    Args:
        rope: the rotation of queries and keys; None where no layer rotates.
        window_rope: the rotation in layers with a window, where it differs.
        learned_positions: add an embedding of the position to that of the token.
        norm: ``rms``, ``rms_plus_one`` (a scale of 1 + weight) or ``layer``.
        placement: norms ``before`` each part, ``after`` it, or ``around`` it (both).
        parallel: attention and feed-forward part read the same input, and both are added to it.
        qk_norm: queries and keys are normalised before their rotation, each ``head`` or over the full ``width``.
        scale: multiplies the attention's scores; None means 1 / sqrt(head_dim).
        scale_by_layer: divide the scores of layer i, counted from 1, by i.
        attention_softcap: scores s become ``softcap * tanh(s / softcap)``; ``logits_softcap`` does so with logits.
        embedding_scale: multiplies embeddings, ``residual_scale`` the output of each part.
        logits_divisor: divides the logits.
        experts: the experts of a mixture, of which each token takes ``experts_chosen``; each has ``expert_size`` inner
            features.
        renormalise: the chosen experts' shares sum to 1.
        expert_bias: router and experts have biases.
        expert_stacking: how checkpoints hold the experts (``weft.models.stacking``).
        gate_slope: experts compute ``(up + 1) * gate * sigmoid(slope * gate)``, of factors clamped to ``gate_limit``.
        sinks: attention has a score for each head that takes weight and gives no value.
        attention_gate: what attention gives is multiplied by the sigmoid of a projection.
        conv_size: tokens that a short convolution sees, itself among them; ``conv_bias``: it has a bias.
        delta_key_heads: heads of the gated delta rule, of ``delta_key_size`` features; ``delta_value_heads`` and
            ``delta_value_size`` are a multiple of them, and the features of its values.
        tied: the embedding is the output layer.
        max_positions: the longest context that the model was trained for.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    layers: tuple[LayerConfig, ...]
    rope: RopeConfig | None
    norm_eps: float
    max_positions: int
    tied: bool
    window_rope: RopeConfig | None = None
    learned_positions: bool = False
    activation: str = "silu"
    norm: NormKind = "rms"
    placement: NormPlacement = "before"
    parallel: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: Literal["head", "width"] | None = None
    scale: float | None = None
    scale_by_layer: bool = False
    attention_softcap: float | None = None
    logits_softcap: float | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logits_divisor: float = 1.0
    experts: int = 0
    experts_chosen: int = 0
    expert_size: int = 0
    renormalise: bool = True
    expert_bias: bool = False
    expert_stacking: str = "separate"
    gate_slope: float | None = None
    gate_limit: float | None = None
    sinks: bool = False
    attention_gate: bool = False
    conv_size: int = 0
    conv_bias: bool = False
    delta_key_heads: int = 0
    delta_value_heads: int = 0
    delta_key_size: int = 0
    delta_value_size: int = 0
    eos: tuple[int, ...] = ()
    bos: int | None = None

    @property
    def score_scale(self) -> float:
        """The factor of the attention's scores: ``scale``, or 1 / sqrt(head_dim) where it is None."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    def rope_period(self, length: int) -> int:
        """Return a number for the rotations of a sequence of ``length`` tokens.

        Where it changes as a sequence grows, keys of earlier tokens no longer fit: the cache must be read anew.
        """
        ropes = (self.rope, self.window_rope)
        return sum(
            rope is not None and rope.scaling == "longrope" and length > rope.original_positions
            for rope in ropes
        )

    def rope_of(self, layer: LayerConfig) -> RopeConfig | None:
        """Return the rotation of a layer; None where it does not rotate."""
        own = self.window_rope if layer.window is not None and self.window_rope is not None else self.rope
        return own if layer.rope else None
