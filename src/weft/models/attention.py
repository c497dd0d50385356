"""Self-attention of a decoder: grouped heads, rotary positions, an optional cache and window."""

from __future__ import annotations

from dataclasses import dataclass

from weft.models.attending import AttentionForm, masked_attention, visible
from weft.models.cache import CacheView, Stored
from weft.models.config import DecoderConfig, LayerConfig
from weft.models.norms import RMSNorm
from weft.models.rope import rotate
from weft.models.source import Source
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class Context:
    """What all layers of one call share: positions (B, T), the rotation of each token, and the cache.

    ``cos`` and ``sin`` are (B, T, 1, dims / 2).
    """

    positions: Tensor
    cos: Tensor
    sin: Tensor
    view: CacheView | None = None

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, form: AttentionForm,
        sinks: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Attend from queries (B, T, H, D) to keys and values (B, T, KV, D), and to those that the cache holds."""
        if self.view is not None:
            return self.view.attend(layer, queries, keys, values, form, sinks)
        seen = visible(self.positions, self.positions, form.window)
        return masked_attention(queries, keys, values, seen, form, sinks)


class Attention(Module):
    """Grouped-query attention (Ainslie et al. 2023): (B, T, hidden) to (B, T, hidden)."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.index, self.layer = index, layer
        self.form = AttentionForm(config.score_scale, layer.window)
        hidden, width, shared = config.hidden_size, self.heads * self.head_dim, self.kv_heads * self.head_dim
        self.q_proj = source.linear("q_proj", width, hidden, config.qkv_bias)
        self.k_proj = source.linear("k_proj", shared, hidden, config.qkv_bias)
        self.v_proj = source.linear("v_proj", shared, hidden, config.qkv_bias)
        self.o_proj = source.linear("o_proj", hidden, width, config.out_bias)
        self.q_norm = RMSNorm(self.head_dim, config.norm_eps, source / "q_norm") if config.qk_norm else None
        self.k_norm = RMSNorm(self.head_dim, config.norm_eps, source / "k_norm") if config.qk_norm else None

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """Map (B, T, hidden) to (B, T, hidden)."""
        batch, tokens = hidden.shape[:2]
        queries = self.q_proj(hidden).reshape(batch, tokens, self.heads, self.head_dim)
        keys = self.k_proj(hidden).reshape(batch, tokens, self.kv_heads, self.head_dim)
        values = self.v_proj(hidden).reshape(batch, tokens, self.kv_heads, self.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        if self.layer.rope:
            queries, keys = (rotate(heads, context.cos, context.sin) for heads in (queries, keys))
        attended = context.attend(self.index, queries, keys, values, self.form)
        result: Tensor = self.o_proj(attended.reshape(batch, tokens, self.heads * self.head_dim))
        return result

    def stores(self) -> dict[str, Stored]:
        """What the layer keeps of each token."""
        shape = (self.kv_heads, self.head_dim)
        return {"keys": Stored(shape), "values": Stored(shape)}
