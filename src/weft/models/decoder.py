"""``Decoder``: a decoder-only language model, assembled from parts as its ``DecoderConfig`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weft.dtypes import DType
from weft.models.activations import ACTIVATIONS
from weft.models.attending import softcapped
from weft.models.attention import Attention, Context
from weft.models.cache import CacheView, KVCache, Stored
from weft.models.config import DecoderConfig, LayerConfig, NormPlacement
from weft.models.mixture import Mixture
from weft.models.norms import norm
from weft.models.recurrent.gated_delta import GatedDeltaNet
from weft.models.recurrent.short_convolution import ShortConvolution
from weft.models.rope import Rotary
from weft.models.source import RandomSource, Source
from weft.nn.containers import ModuleList
from weft.nn.module import Module
from weft.tensors.creation import arange
from weft.tensors.tensor import Tensor


class FeedForward(Module):
    """A gated feed-forward part (Shazeer 2020): ``down(activation(gate(x)) * up(x))``, shape kept."""

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.activation = ACTIVATIONS[config.activation]
        self.gate_proj = source.linear("gate_proj", inner, hidden, config.mlp_bias)
        self.up_proj = source.linear("up_proj", inner, hidden, config.mlp_bias)
        self.down_proj = source.linear("down_proj", hidden, inner, config.mlp_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden), shape kept."""
        result: Tensor = self.down_proj(self.activation(self.gate_proj(hidden)) * self.up_proj(hidden))
        return result


class PlainFeedForward(Module):
    """A feed-forward part without a gate: ``down(activation(up(x)))``, shape kept."""

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.activation = ACTIVATIONS[config.activation]
        self.up_proj = source.linear("up_proj", inner, hidden, config.mlp_bias)
        self.down_proj = source.linear("down_proj", hidden, inner, config.mlp_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden), shape kept."""
        result: Tensor = self.down_proj(self.activation(self.up_proj(hidden)))
        return result


FEED_FORWARDS: Mapping[str, Callable[[DecoderConfig, Source], Module]] = {
    "gated": FeedForward,
    "mixture": Mixture,
    "plain": PlainFeedForward,
}
"""By ``LayerConfig.feed_forward``."""


@dataclass(frozen=True)
class Mixer:
    """What mixes the tokens of a layer: its name in checkpoints, and its module of (config, index, layer, source).

    The module maps (hidden, context) to hidden, shape kept; its ``stores()`` says what the cache keeps for it.
    """

    name: str
    module: Callable[[DecoderConfig, int, LayerConfig, Source], Module]


MIXERS: Mapping[str, Mixer] = {
    "attention": Mixer("self_attn", Attention),
    "convolution": Mixer("conv", ShortConvolution),
    "delta": Mixer("linear_attn", GatedDeltaNet),
}
"""By ``LayerConfig.mixer``."""


@dataclass(frozen=True)
class Placement:
    """Names of the norms before and after the mixer and the feed-forward part; None where there is none."""

    mixer: tuple[str | None, str | None]
    feed_forward: tuple[str | None, str | None]


PLACEMENTS: Mapping[NormPlacement, Placement] = {
    "before": Placement(("input_layernorm", None), ("post_attention_layernorm", None)),
    "after": Placement((None, "post_attention_layernorm"), (None, "post_feedforward_layernorm")),
    "around": Placement(
        ("input_layernorm", "post_attention_layernorm"),
        ("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    ),
}
"""By ``DecoderConfig.placement``."""


class Layer(Module):
    """A mixer of tokens and a feed-forward part, each with its norms, scaled and added to what came in."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        self.parallel, self.scale = config.parallel, config.residual_scale
        self.placement, self.mixer = PLACEMENTS[config.placement], MIXERS[layer.mixer]
        self.add_module(self.mixer.name, self.mixer.module(config, index, layer, source / self.mixer.name))
        self.mlp = FEED_FORWARDS[layer.feed_forward](config, source / "mlp")
        for name in (*self.placement.mixer, *self.placement.feed_forward):
            if name is not None:
                self.add_module(name, norm(config, config.hidden_size, source / name))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, hidden), shape kept."""
        mixer = getattr(self, self.mixer.name)
        mixed = self._part(self.placement.mixer, lambda given: mixer(given, context), hidden)
        if self.parallel:
            return hidden + mixed + self._part(self.placement.feed_forward, self.mlp, hidden)
        hidden = hidden + mixed
        return hidden + self._part(self.placement.feed_forward, self.mlp, hidden)

    def stores(self) -> dict[str, Stored]:
        """What the layer keeps of each token and sequence."""
        stored: dict[str, Stored] = getattr(self, self.mixer.name).stores()
        return stored

    def _part(
        self, norms: tuple[str | None, str | None], part: Callable[[Tensor], Tensor], hidden: Tensor
    ) -> Tensor:
        """Return what a part adds to ``hidden``: its output between its norms, scaled."""
        before, after = norms
        output = part(hidden if before is None else getattr(self, before)(hidden))
        output = output if after is None else getattr(self, after)(output)
        return output if self.scale == 1 else output * self.scale


class Backbone(Module):
    """Embedding, layers and the last norm: tokens (B, T) to hidden states (B, T, hidden)."""

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = source.embedding("embed_tokens", config.vocab_size, config.hidden_size)
        self.embed_positions = (
            source.embedding("embed_positions", config.max_positions, config.hidden_size)
            if config.learned_positions
            else None
        )
        self.layers = ModuleList(
            [
                Layer(config, index, layer, source / f"layers.{index}")
                for index, layer in enumerate(config.layers)
            ]
        )
        self.norm = norm(config, config.hidden_size, source / "norm")
        ropes = dict.fromkeys(map(config.rope_of, config.layers))
        device = str(self.norm.weight.device)
        self.rotary = ModuleList([Rotary(rope, device) for rope in ropes if rope is not None])

    def forward(self, tokens: Tensor, positions: Tensor, view: CacheView | None = None) -> Tensor:
        """Hidden states after the last norm of tokens (B, T) at ``positions`` (B, T)."""
        hidden = self.embed_tokens(tokens)
        if self.config.embedding_scale != 1:
            hidden = hidden * self.config.embedding_scale
        if self.embed_positions is not None:
            hidden = hidden + self.embed_positions(positions)
        context = self._context(positions, hidden, view)
        for layer in self.layers:
            hidden = layer(hidden, context)
        result: Tensor = self.norm(hidden)
        return result

    def _context(self, positions: Tensor, hidden: Tensor, view: CacheView | None) -> Context:
        """Rotations and the cache."""
        reach = None if view is None else view.reach
        rotations = {rotary.rope: rotary(positions, reach, hidden.dtype) for rotary in self.rotary}
        return Context(positions, rotations, view)


class Decoder(Module):
    """A decoder-only language model.

    Its weights have the names of the family's checkpoints; without a ``source`` they are drawn at random.

    >>> import weft as wf
    >>> from weft.models import Decoder, DecoderConfig, LayerConfig, RopeConfig
    >>> config = DecoderConfig("llama", vocab_size=11, hidden_size=8, intermediate_size=16, num_heads=2,
    ...     num_kv_heads=1, head_dim=4, layers=(LayerConfig(),), rope=RopeConfig(10000.0, 4), norm_eps=1e-5,
    ...     max_positions=32, tied=True)
    >>> tuple(Decoder(config)(wf.tensor([[1, 2, 3]])).shape)
    (1, 3, 11)
    """

    def __init__(self, config: DecoderConfig, source: Source | None = None) -> None:
        super().__init__()
        source = RandomSource() if source is None else source
        self.config = config
        self.model = Backbone(config, source / "model")
        self.lm_head = (
            None if config.tied else source.linear("lm_head", config.vocab_size, config.hidden_size)
        )

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, view: CacheView | None = None
    ) -> Tensor:
        """Logits (B, T, vocab) of tokens (B, T); ``positions`` (B, T) default to 0 to T - 1."""
        if positions is None:
            positions = arange(tokens.shape[1], device=str(tokens.device)).unsqueeze(0).expand(*tokens.shape)
        return self.logits(self.model(tokens, positions, view))

    def stores(self) -> list[dict[str, Stored]]:
        """Return what each layer keeps of the tokens so far."""
        return [layer.stores() for layer in self.model.layers]

    def cache(
        self, pages: int | Mapping[int | None, int], rows: int = 2, dtype: DType | None = None
    ) -> KVCache:
        """Return an empty cache of ``pages`` pages for ``rows`` sequences, on the model's device.

        Page 0 and row 0 are for padding. ``dtype`` is of keys and values; None takes the model's.
        """
        weight = self.model.norm.weight
        return KVCache(self.stores(), pages, rows, dtype or weight.dtype, str(weight.device))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (*, vocab) of hidden states (*, hidden)."""
        head = self.model.embed_tokens.as_linear if self.lm_head is None else self.lm_head
        logits: Tensor = head(hidden)
        if self.config.logits_divisor != 1:
            logits = logits / self.config.logits_divisor
        return softcapped(logits, self.config.logits_softcap)
