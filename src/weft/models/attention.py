"""Self-attention of a decoder: grouped heads, rotary positions, an optional cache and window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.models.attending import AttentionForm, masked_attention, visible
from weft.models.cache import CacheView, Stored
from weft.models.config import DecoderConfig, LayerConfig, RopeConfig
from weft.models.norms import norm
from weft.models.rope import Rotation
from weft.models.source import Source
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class Context:
    """What all layers of one call share: positions (B, T), the rotation of each token, and the cache."""

    positions: Tensor
    rotations: Mapping[RopeConfig, Rotation]
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
        scale = config.score_scale / (index + 1 if config.scale_by_layer else 1)
        self.form = AttentionForm(scale, layer.window, config.attention_softcap)
        hidden, width, shared = config.hidden_size, self.heads * self.head_dim, self.kv_heads * self.head_dim
        self.gated = config.attention_gate
        self.q_proj = source.linear("q_proj", width * (2 if self.gated else 1), hidden, config.qkv_bias)
        self.k_proj = source.linear("k_proj", shared, hidden, config.qkv_bias)
        self.v_proj = source.linear("v_proj", shared, hidden, config.qkv_bias)
        self.o_proj = source.linear("o_proj", hidden, width, config.out_bias)
        sinks = source.tensor("sinks", (self.heads,)) if config.sinks else None
        self.sinks = None if sinks is None else Parameter(sinks, requires_grad=False)
        self.rope, self.qk_norm = config.rope_of(layer), config.qk_norm
        if self.qk_norm is not None:
            sizes = (width, shared) if self.qk_norm == "width" else (self.head_dim, self.head_dim)
            self.q_norm, self.k_norm = (
                norm(config, size, source / name)
                for size, name in zip(sizes, ("q_norm", "k_norm"), strict=True)
            )

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """Map (B, T, hidden) to (B, T, hidden)."""
        batch, tokens = hidden.shape[:2]
        queries, keys, values = self.q_proj(hidden), self.k_proj(hidden), self.v_proj(hidden)
        gate: Tensor | None = None
        if self.gated:  # each head's query, then its gate
            queries, gate = queries.reshape(batch, tokens, self.heads, 2 * self.head_dim).chunk(2, -1)
        if self.qk_norm == "width":
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        queries = queries.reshape(batch, tokens, self.heads, self.head_dim)
        keys, values = (part.reshape(batch, tokens, self.kv_heads, self.head_dim) for part in (keys, values))
        if self.qk_norm == "head":
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        if self.rope is not None:
            queries, keys = context.rotations[self.rope].apply(queries, keys)
        attended = context.attend(self.index, queries, keys, values, self.form, self.sinks)
        if gate is not None:
            attended = attended * gate.sigmoid()
        result: Tensor = self.o_proj(attended.reshape(batch, tokens, self.heads * self.head_dim))
        return result

    def stores(self) -> dict[str, Stored]:
        """What the layer keeps of each token."""
        shape = (self.kv_heads, self.head_dim)
        return {name: Stored(shape, self.layer.window) for name in ("keys", "values")}
