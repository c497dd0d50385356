"""``Decoder``: a decoder-only language model, assembled from parts as its ``DecoderConfig`` says."""

from __future__ import annotations

from collections.abc import Callable

from weft.dtypes import DType
from weft.models.attention import Attention, Context
from weft.models.cache import CacheView, KVCache
from weft.models.config import DecoderConfig, LayerConfig
from weft.models.norms import RMSNorm
from weft.models.rope import frequencies
from weft.models.source import RandomSource, Source
from weft.nn import functional
from weft.nn.containers import ModuleList
from weft.nn.module import Module
from weft.tensors.creation import arange
from weft.tensors.tensor import Tensor, tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_new": lambda input: functional.gelu(input, approximate="tanh"),
    "gelu_pytorch_tanh": lambda input: functional.gelu(input, approximate="tanh"),
    "relu": functional.relu,
}
"""By the name in ``config.json``."""


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


class Layer(Module):
    """Attention and a feed-forward part, each after a norm and added to what came in."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        norm = (config.hidden_size, config.norm_eps)
        self.input_layernorm = RMSNorm(*norm, source / "input_layernorm")
        self.self_attn = Attention(config, index, layer, source / "self_attn")
        self.post_attention_layernorm = RMSNorm(*norm, source / "post_attention_layernorm")
        self.mlp = FeedForward(config, source / "mlp")

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, hidden), shape kept."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), context)
        result: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return result


class Backbone(Module):
    """Embedding, layers and the last norm: tokens (B, T) to hidden states (B, T, hidden)."""

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = source.embedding("embed_tokens", config.vocab_size, config.hidden_size)
        self.layers = ModuleList(
            [
                Layer(config, index, layer, source / f"layers.{index}")
                for index, layer in enumerate(config.layers)
            ]
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps, source / "norm")
        self.frequencies = tensor(
            frequencies(config.rope).astype("float32"), device=str(self.norm.weight.device)
        )

    def forward(self, tokens: Tensor, positions: Tensor, view: CacheView | None = None) -> Tensor:
        """Hidden states after the last norm of tokens (B, T) at ``positions`` (B, T)."""
        hidden = self.embed_tokens(tokens)
        context = self._context(positions, hidden, view)
        for layer in self.layers:
            hidden = layer(hidden, context)
        result: Tensor = self.norm(hidden)
        return result

    def _context(self, positions: Tensor, hidden: Tensor, view: CacheView | None) -> Context:
        """Rotations and the cache."""
        angles = positions.unsqueeze(-1).to(self.frequencies.dtype) * self.frequencies
        cos, sin = (part.to(hidden.dtype).unsqueeze(2) for part in (angles.cos(), angles.sin()))
        return Context(positions, cos, sin, view)


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

    def cache(self, pages: int, rows: int = 2, dtype: DType | None = None) -> KVCache:
        """Return an empty cache of ``pages`` pages for ``rows`` sequences, on the model's device.

        Page 0 and row 0 are for padding. ``dtype`` is of keys and values; None takes the model's.
        """
        weight = self.model.norm.weight
        layers = [layer.self_attn.stores() for layer in self.model.layers]
        return KVCache(layers, pages, rows, dtype or weight.dtype, str(weight.device))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (*, vocab) of hidden states (*, hidden)."""
        if self.lm_head is not None:
            result: Tensor = self.lm_head(hidden)
            return result
        tied: Tensor = self.model.embed_tokens.as_linear(hidden)
        return tied
