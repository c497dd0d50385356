"""Attention over keys and values at hand: the masked product, and the options that layers choose."""

from __future__ import annotations

from dataclasses import dataclass

from weft.nn import functional
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class AttentionForm:
    """How scores become weights: their factor, the window in tokens (None: all), and a soft cap (None: none).

    A cap ``c`` makes a score ``x`` into ``c * tanh(x / c)`` (Gemma 2's report).
    """

    scale: float
    window: int | None = None
    softcap: float | None = None


def visible(queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
    """Return who sees whom, bool (B, T, S): itself and earlier positions in the window, of (B, T) and (B, S)."""
    theirs, ours = keys.unsqueeze(1), queries.unsqueeze(2)
    causal = theirs <= ours
    return causal if window is None else causal & (theirs > ours - window)


def softcapped(scores: Tensor, cap: float | None) -> Tensor:
    """Return ``cap * tanh(scores / cap)``; the scores where there is no cap."""
    return scores if cap is None else (scores / cap).tanh() * cap


def masked_attention(
    queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor, form: AttentionForm, sinks: Tensor | None
) -> Tensor:
    """Attend from (B, T, H, D) to keys and values (B, S, KV, D) where ``seen`` (B, T, S); gives (B, T, H, D).

    ``sinks`` (H) are scores that take weight and give no value (Xiao et al. 2023).
    """
    batch, tokens, heads, size = queries.shape
    shared = keys.shape[2]
    if form.softcap is None and sinks is None:
        q, k, v = (part.transpose(1, 2) for part in (queries, keys, values))
        mixed: Tensor = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=seen.unsqueeze(1), scale=form.scale, enable_gqa=heads != shared
        )
        return mixed.transpose(1, 2)
    group = heads // shared
    rows = queries.reshape(batch, tokens, shared, group, size).permute(0, 2, 3, 1, 4)
    scores = (rows * form.scale) @ keys.permute(0, 2, 3, 1).unsqueeze(2)
    scores = softcapped(scores, form.softcap)
    scores = scores.masked_fill(~seen.unsqueeze(1).unsqueeze(1), float("-inf"))
    peak = scores.amax(-1, keepdim=True)
    own: Tensor | None = None
    if sinks is not None:
        own = sinks.reshape(1, shared, group, 1, 1).to(scores.dtype)
        peak = peak.maximum(own)
    weights = (scores - peak).exp()
    total = weights.sum(-1, keepdim=True)
    if own is not None:
        total = total + (own - peak).exp()
    result = (weights / total) @ values.permute(0, 2, 1, 3).unsqueeze(2)
    return result.permute(0, 3, 1, 2, 4).reshape(batch, tokens, heads, values.shape[-1])
