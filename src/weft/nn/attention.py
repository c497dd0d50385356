"""Attention as a function: scores, mask, softmax, dropout and values, from other operations."""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops import OPS, bind, lookup
from weft.ops.arguments import tensor as checked_tensor
from weft.ops.functions import whole
from weft.ops.softmax import softmax
from weft.random import dropout
from weft.tensors.creation import arange
from weft.tensors.tensor import Tensor

NAME = "scaled_dot_product_attention"


def _check(query: Any, key: Any, value: Any, enable_gqa: bool) -> None:
    for name, given in (("query", query), ("key", key), ("value", value)):
        if len(checked_tensor(NAME, name, given).shape) < 2:
            raise ShapeError(
                mistake(NAME, name, f"{len(given.shape)}-dimensional", "at least 2-dimensional, (..., L, E)")
            )
        if given.dtype is not query.dtype:
            raise DTypeError(
                mistake(NAME, f"{name}'s dtype", given.dtype.name, f"{query.dtype.name}, as the query's")
            )
    if query.dtype.kind != "float":
        raise DTypeError(mistake(NAME, "query's dtype", query.dtype.name, "a floating point type"))
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            mistake(NAME, "key's size", key.shape[-1], f"{query.shape[-1]}, as the query's last")
        )
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(mistake(NAME, "value's length", value.shape[-2], f"{key.shape[-2]}, as the key's"))
    if enable_gqa:
        for name, given in (("key", key), ("value", value)):
            if len(query.shape) < 3 or len(given.shape) < 3 or query.shape[-3] % max(given.shape[-3], 1):
                raise ShapeError(
                    mistake(
                        NAME,
                        f"{name}'s shape",
                        tuple(given.shape),
                        "heads that divide the query's, with enable_gqa",
                    )
                )


def _repeated(given: Tensor, heads: int) -> Tensor:
    """Each head as often as query heads share it."""
    *batch, own, length, size = given.shape
    if own == heads:
        return given
    spread = given.unsqueeze(-3).expand(*batch, own, heads // own, length, size)
    return spread.reshape(*batch, heads, length, size)


@whole("lower")
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value`` (Vaswani et al. 2017), as PyTorch's function of that name.

    ``query`` (..., L, E), ``key`` (..., S, E), ``value`` (..., S, Ev) give (..., L, Ev). ``attn_mask`` broadcasts to
    (..., L, S): bool, True where a key takes part, or numbers that are added. ``is_causal`` lets row i see keys 0 to
    i. ``scale`` defaults to 1 / sqrt(E). A row that sees no key gives 0. ``dropout_p`` always applies: pass 0 in
    evaluation. With ``enable_gqa`` groups of query heads share a key and value head.
    """
    _check(query, key, value, enable_gqa)
    if attn_mask is not None and is_causal:
        raise ArgumentError(
            mistake(NAME, "is_causal", True, "False together with attn_mask", "mask the triangle")
        )
    if enable_gqa:
        key, value = _repeated(key, query.shape[-3]), _repeated(value, query.shape[-3])
    factor = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else float(scale)
    scores: Tensor = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        device = str(query.device)
        rows, columns = arange(query.shape[-2], device=device), arange(key.shape[-2], device=device)
        seen = columns <= rows.unsqueeze(-1)
        weights = softmax(bind(OPS["where"], seen, scores, -math.inf), -1)
    elif attn_mask is None:
        weights = softmax(scores, -1)
    else:
        weights = _masked(scores, attn_mask)
    result: Tensor = dropout(weights, dropout_p) @ value
    return result


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """The softmax of masked scores; rows that see nothing are 0, and let no gradient through."""
    checked_tensor(NAME, "attn_mask", mask)
    where = lookup("where")
    if mask.dtype.kind == "bool":
        scores = bind(where, mask, scores, -math.inf)
    elif mask.dtype is scores.dtype:
        scores = scores + mask
    else:
        raise DTypeError(mistake(NAME, "attn_mask's dtype", mask.dtype.name, f"bool or {scores.dtype.name}"))
    dead = scores.detach().amax(-1, keepdim=True) == -math.inf
    weights: Tensor = softmax(bind(where, dead, 0.0, scores), -1)
    result: Tensor = bind(where, dead, 0.0, weights)
    return result
