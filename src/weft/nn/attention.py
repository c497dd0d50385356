"""``scaled_dot_product_attention``: the op ``attention``, or a composite that holds all weights."""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.nn.attention_backends import SDPBackend as SDPBackend
from weft.nn.attention_backends import sdpa_kernel as sdpa_kernel
from weft.ops import bind
from weft.ops.attention import formulas
from weft.ops.attention.ops import ATTENTION, suits
from weft.ops.make.creation import to_dtype
from weft.ops.registry.arguments import tensor as checked_tensor
from weft.ops.registry.functions import with_autocast
from weft.ops.registry.geometry import broadcast_shapes
from weft.random import dropout
from weft.tensors.tensor import Tensor

NAME = "scaled_dot_product_attention"
KEPT = {True: 1 << 14, False: 1 << 18}
"""The most weights of a head that the CPU saves for the gradient, by causality; recomputing so few takes longer, as it
needs 5 products instead of 4 (measured)."""
KEPT_IN_ALL = 1 << 24
"""The most weights of all heads that the CPU saves for the gradient."""


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


@with_autocast("lower")
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

    ``query`` (..., L, E), ``key`` (..., S, E) and ``value`` (..., S, Ev) give (..., L, Ev). ``attn_mask`` broadcasts to
    (..., L, S): bool, True where a key takes part, or numbers that are added to the scores. With ``is_causal`` query i
    attends to keys 0 to i. ``scale`` defaults to 1 / sqrt(E). A query that attends to no key gives 0. ``dropout_p``
    always applies: pass 0 in evaluation. With ``enable_gqa`` groups of query heads share a key and value head. Without
    dropout, and for heads of at most 256 elements, the weights are not stored (Dao 2023), except few weights on the
    CPU.

    >>> import weft as wf
    >>> q, k = wf.ones(2, 4, 5, 8), wf.ones(2, 4, 7, 8)
    >>> tuple(wf.nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True).shape)
    (2, 4, 5, 8)
    """
    _check(query, key, value, enable_gqa)
    if attn_mask is not None and is_causal:
        raise ArgumentError(
            mistake(NAME, "is_causal", True, "False together with attn_mask", "mask the triangle")
        )
    factor = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else float(scale)
    with_heads = enable_gqa or max(len(tensor.shape) for tensor in (query, key, value)) > 3
    if not with_heads:
        query, key, value = (tensor.unsqueeze(-3) for tensor in (query, key, value))
    q, k, v = (tensor.unsqueeze(0) if len(tensor.shape) < 3 else tensor for tensor in (query, key, value))
    batch = broadcast_shapes(NAME, *(tensor.shape[:-3] for tensor in (q, k, v)))
    heads = (
        q.shape[-3]
        if enable_gqa
        else broadcast_shapes(NAME, *(tensor.shape[-3:-2] for tensor in (q, k, v)))[0]
    )
    mask = None
    if attn_mask is not None:
        mask = _mask(attn_mask, q.dtype, (*batch, heads, q.shape[-2], k.shape[-2]), with_heads)
    shared = k.shape[-3] if k.shape[-3] == v.shape[-3] else heads
    result = _attend(_rows(q, batch, heads), _rows(k, batch, shared), _rows(v, batch, shared), mask, dropout_p,
                     causal=bool(is_causal), scale=factor)  # fmt: skip
    if len(batch) != 1:
        result = result.reshape(*batch, *result.shape[1:])
    return result if with_heads else result.squeeze(-3)


def _rows(given: Tensor, batch: tuple[int, ...], heads: int) -> Tensor:
    """Return (..., shared, length, size) as (batch, length, heads, size), with shared heads repeated."""
    *lead, shared, length, size = given.shape
    if shared != heads:
        repeated = given.unsqueeze(-3).expand(*lead, shared, heads // shared, length, size)
        given = repeated.reshape(*lead, heads, length, size)
    if given.shape[:-3] != batch:
        given = given.expand(*batch, heads, length, size)
    if len(batch) != 1:
        given = given.reshape(math.prod(batch), heads, length, size)
    return given.permute(0, 2, 1, 3)


def _mask(mask: Any, dtype: DType, whole: tuple[int, ...], with_heads: bool) -> Tensor:
    """Return a mask as (batch, heads, length, keys); all sizes but the batch's may be 1."""
    checked_tensor(NAME, "attn_mask", mask)
    shape = whole if with_heads else (*whole[:-3], *whole[-2:])
    given = (1,) * (len(shape) - len(mask.shape)) + tuple(mask.shape)
    if len(given) != len(shape) or any(n not in (1, size) for n, size in zip(given, shape, strict=True)):
        raise ShapeError(
            mistake(NAME, "attn_mask's shape", tuple(mask.shape), f"one that broadcasts to {shape}")
        )
    if mask.dtype.kind != "bool" and mask.dtype is not dtype:
        raise DTypeError(mistake(NAME, "attn_mask's dtype", mask.dtype.name, f"bool or {dtype.name}"))
    if not with_heads:
        given = (*given[:-2], 1, *given[-2:])
    result: Tensor = mask.reshape(*given)
    if len(given) == 4:
        return result
    if any(size != 1 for size in given[:-3]):
        result = result.expand(*whole[:-3], *given[-3:])
    return result.reshape(math.prod(result.shape[:-3]), *given[-3:])


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, **options: Any) -> Tensor:
    """Return the output (batch, heads, length, size) of the op, or of the composite."""
    if dropout_p == 0 and suits(q, k, v) and not _saves_weights(q, k, options["causal"]):
        given = (q, k, v) if mask is None else (q, k, v, mask)
        mixed: Tensor = bind(ATTENTION, *given, **options)[0]
        return mixed.permute(0, 2, 1, 3)
    return _composed(q, k, v, mask, dropout_p, **options)


def _saves_weights(q: Tensor, k: Tensor, causal: bool) -> bool:
    """Return whether the weights are so few that the CPU is faster where it saves them for the gradient."""
    (batch, length, heads, _), keys = q.shape, k.shape[1]
    few = length * keys <= KEPT[causal] and batch * heads * length * keys <= KEPT_IN_ALL
    return few and str(q.device) == "cpu"


def _composed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, *, causal: bool, scale: float
) -> Tensor:
    """Return the output of the composite, which holds all weights: for dropout, and for sizes outside of the op's.

    Scores and weights of 16-bit operands are float32, as in the op.
    """
    shared, dtype = k.shape[2], q.dtype
    q, k, v = (to_dtype(formulas.grouped(tensor, shared), dtype.compute) for tensor in (q, k, v))
    if mask is not None and mask.dtype.kind == "float":
        mask = to_dtype(mask, dtype.compute)
    scores = (q * scale) @ k.transpose(-2, -1)
    weights = formulas.weights_of(scores, formulas.grouped_mask(mask, shared), causal)
    mixed: Tensor = to_dtype(dropout(weights, dropout_p) @ v, dtype)
    return mixed.flatten(1, 2)
