"""``MultiheadAttention`` (Vaswani et al. 2017): projections, heads, masks; with PyTorch's weights and results."""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.nn import functional, init
from weft.nn.linear import Linear, extent
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops import FUNCTIONS
from weft.tensors.creation import empty, zeros
from weft.tensors.tensor import Tensor


class NonDynamicallyQuantizableLinear(Linear):
    """``Linear`` under the class name that PyTorch prints for the output projection."""


class MultiheadAttention(Module):
    """Attention in ``num_heads`` heads, as ``torch.nn.MultiheadAttention``.

    ``query`` (L, N, embed_dim), ``key`` (S, N, kdim) and ``value`` (S, N, vdim), or N first with ``batch_first``, or
    without N, give the output, shaped as ``query``, and the weights (N, L, S).

    >>> import weft as wf
    >>> x = wf.zeros(5, 2, 8)
    >>> output, weights = wf.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> tuple(output.shape), tuple(weights.shape)
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = extent("MultiheadAttention", "embed_dim", embed_dim, 1)
        self.num_heads = extent("MultiheadAttention", "num_heads", num_heads, 1)
        if embed_dim % num_heads:
            raise ArgumentError(
                mistake("MultiheadAttention", "num_heads", num_heads, f"a divisor of embed_dim, {embed_dim}")
            )
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.head_dim = embed_dim // num_heads

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(*shape, device=device, dtype=dtype))

        split = (self.kdim, self.vdim) != (embed_dim, embed_dim)
        widths = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        self.register_parameter("in_proj_weight", None if split else parameter(3 * embed_dim, embed_dim))
        for name, width in widths.items():
            self.register_parameter(name, parameter(embed_dim, width) if split else None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the projections at random, and the biases to 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the output, and with ``need_weights`` the weights: their mean over heads, or (N, heads, L, S).

        Masks are bool, True where attention is not allowed, or numbers that are added to the scores:
        ``key_padding_mask`` (N, S), ``attn_mask`` (L, S) or (N * heads, L, S). ``is_causal`` declares that
        ``attn_mask`` is causal.
        """
        batched = self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise ArgumentError(
                mistake("MultiheadAttention", "attn_mask", None, "the causal mask, with is_causal")
            )
        if not batched:
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        query, key, value = self._steps_first(query, key, value, batched)
        q, k, v = self._project(query, key, value)
        mask = self._mask(q, k, attn_mask, key_padding_mask)
        if self.bias_k is not None and self.bias_v is not None:
            k, v, mask = _with_position(k, v, mask, self.bias_k, self.bias_v)
        if self.add_zero_attn:
            zero = zeros(1, 1, self.embed_dim, dtype=k.dtype, device=str(k.device))
            k, v, mask = _with_position(k, v, mask, zero, zero)
        output, weights = self._attend(self._heads(q), self._heads(k), self._heads(v), mask, need_weights)
        length, count = query.shape[:2]
        output = self.out_proj(output.permute(2, 0, 1, 3).reshape(length, count, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output.squeeze(1), None if weights is None else weights.squeeze(0)
        return output.transpose(0, 1) if self.batch_first else output, weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Return whether there is a batch dimension; ``ShapeError`` for shapes that do not fit."""
        sizes = {"query": self.embed_dim, "key": self.kdim, "value": self.vdim}
        for (name, size), given in zip(sizes.items(), (query, key, value), strict=True):
            if given.ndim not in (2, 3) or given.ndim != query.ndim or given.shape[-1] != size:
                expected = (
                    f"({'N, L' if self.batch_first else 'L, N'}, {size}) or (L, {size}), all of one rank"
                )
                raise ShapeError(
                    mistake("MultiheadAttention", f"{name}'s shape", tuple(given.shape), expected)
                )
        if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
            raise ShapeError(
                mistake(
                    "MultiheadAttention",
                    "value's shape",
                    tuple(value.shape),
                    f"as the key's, {tuple(key.shape)}",
                )
            )
        return query.ndim == 3

    def _steps_first(self, query: Tensor, key: Tensor, value: Tensor, batched: bool) -> list[Tensor]:
        """Return the three tensors as (L, N, E); arguments that are one tensor stay one tensor."""
        viewed: dict[int, Tensor] = {}
        for given in (query, key, value):
            if id(given) not in viewed:
                length_first = given.transpose(0, 1) if batched and self.batch_first else given
                viewed[id(given)] = length_first if batched else given.unsqueeze(1)
        return [viewed[id(given)] for given in (query, key, value)]

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project to queries, keys and values; a single product serves self-attention."""
        size = self.embed_dim
        if self.in_proj_weight is not None and query is key and key is value:
            packed = functional.linear(query, self.in_proj_weight, self.in_proj_bias)
            return packed[..., :size], packed[..., size : 2 * size], packed[..., 2 * size :]
        biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        if self.in_proj_weight is None:
            weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = self.in_proj_weight.chunk(3)
        q, k, v = (
            functional.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        return q, k, v

    def _heads(self, x: Tensor) -> Tensor:
        """View (L, N, E) as (N, heads, L, E / heads)."""
        length, count = x.shape[:2]
        return x.reshape(length, count, self.num_heads, self.head_dim).permute(1, 2, 0, 3)

    def _mask(self, q: Tensor, k: Tensor, attn_mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """Return the sum of both masks as an additive mask that broadcasts to (N, heads, L, S)."""
        length, count, source, heads = q.shape[0], q.shape[1], k.shape[0], self.num_heads
        total: Tensor | None = None
        if attn_mask is not None:
            shape = tuple(attn_mask.shape)
            if shape not in ((length, source), (count * heads, length, source)):
                expected = f"({length}, {source}) or ({count * heads}, {length}, {source})"
                raise ShapeError(mistake("MultiheadAttention", "attn_mask's shape", shape, expected))
            total = _additive("attn_mask", attn_mask, q)
            if total.ndim == 3:
                total = total.reshape(count, heads, length, source)
        if padding is not None:
            if tuple(padding.shape) != (count, source):
                raise ShapeError(
                    mistake(
                        "MultiheadAttention",
                        "key_padding_mask's shape",
                        tuple(padding.shape),
                        f"({count}, {source})",
                    )
                )
            hidden = _additive("key_padding_mask", padding, q).reshape(count, 1, 1, source)
            total = hidden if total is None else total + hidden
        return total

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        rate = self.dropout if self.training else 0.0
        if not need_weights:
            if mask is not None:
                mask = mask.expand(*q.shape[:-1], k.shape[-2])
            return functional.scaled_dot_product_attention(q, k, v, mask, rate), None
        scores = (q * (1 / math.sqrt(self.head_dim))) @ k.transpose(-2, -1)
        weights = functional.softmax(scores if mask is None else scores + mask, -1)
        if rate:
            weights = functional.dropout(weights, rate)
        return weights @ v, weights

    def _child_lines(self) -> list[str]:
        return [f"(out_proj): {self.out_proj!r}"]


def _additive(name: str, mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as numbers to add: -inf where a bool mask is True."""
    if mask.dtype.name == "bool":
        return zeros(*mask.shape, dtype=like.dtype, device=str(like.device)).masked_fill(mask, -math.inf)
    if not mask.dtype.is_floating_point:
        raise DTypeError(
            mistake("MultiheadAttention", f"{name}'s dtype", mask.dtype.name, "bool or a floating point type")
        )
    return mask.to(like.dtype)


def _with_position(
    k: Tensor, v: Tensor, mask: Tensor | None, last_k: Tensor, last_v: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Append a position to keys and values, which the mask does not hide."""
    cat, shape = FUNCTIONS["cat"].function, (1, *k.shape[1:])
    k, v = cat([k, last_k.expand(*shape)], 0), cat([v, last_v.expand(*shape)], 0)
    return k, v, None if mask is None else functional.pad(mask, (0, 1))
