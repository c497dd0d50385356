"""Self-attention of a decoder: grouped heads, rotary positions, an optional cache and window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.models.cache import CacheView
from weft.models.config import DecoderConfig, LayerConfig
from weft.models.norms import RMSNorm
from weft.models.rope import rotate
from weft.models.source import Source
from weft.nn import functional
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class Context:
    """What all layers of one call share: the rotation of each token, who sees whom by window, and the cache.

    ``cos`` and ``sin`` are (B, T, 1, dims / 2); ``visible[window]`` is bool (B, T, S).
    """

    cos: Tensor
    sin: Tensor
    visible: Mapping[int | None, Tensor]
    view: CacheView | None = None


class Attention(Module):
    """Grouped-query attention (Ainslie et al. 2023): (B, T, hidden) to (B, T, hidden)."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.index, self.layer, self.scale = index, layer, config.score_scale
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
        if context.view is not None:
            keys, values = context.view.append(self.index, keys, values)
        attended = attend(queries, keys, values, context.visible[self.layer.window], self.scale)
        result: Tensor = self.o_proj(attended.reshape(batch, tokens, self.heads * self.head_dim))
        return result


def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor, scale: float) -> Tensor:
    """Attend from (B, T, H, D) to keys and values (B, S, KV, D) where ``visible`` (B, T, S); gives (B, T, H, D).

    One new token takes two plain products, in which the heads of a group are the rows of one matrix.
    """
    batch, tokens, heads, size = queries.shape
    shared = keys.shape[2]
    if tokens > 1:
        q, k, v = (part.transpose(1, 2) for part in (queries, keys, values))
        mixed: Tensor = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=visible.unsqueeze(1), scale=scale, enable_gqa=heads != shared
        )
        return mixed.transpose(1, 2)
    rows = queries.reshape(batch, shared, heads // shared, size)
    scores = (rows * scale) @ keys.permute(0, 2, 3, 1)
    weights = scores.masked_fill(~visible.unsqueeze(1), float("-inf")).softmax(-1)
    return (weights @ values.transpose(1, 2)).reshape(batch, 1, heads, size)
