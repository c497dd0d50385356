"""Attention as a function, as PyTorch has it: the op ``attention``, or with dropout scores, softmax and values."""

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
from weft.ops.registry.functions import whole
from weft.ops.registry.geometry import broadcast_shapes
from weft.random import dropout
from weft.tensors.tensor import Tensor

NAME = "scaled_dot_product_attention"
KEPT = {True: 1 << 14, False: 1 << 18}
"""Weights of a head up to which the CPU keeps them for the gradient, with and without causality: to make them again
takes longer (measured), as there are 5 products then instead of 4."""
KEPT_IN_ALL = 1 << 24
"""And those of all heads together."""


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
    evaluation. With ``enable_gqa`` groups of query heads share a key and value head. Without dropout, and for heads of
    at most 256, the weights are not held (Dao 2023), but for few of them on the CPU.

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
    """(..., heads, length, size) as (batch, length, heads, size); heads are repeated where there are fewer."""
    *lead, own, length, size = given.shape
    if own != heads:
        spread = given.unsqueeze(-3).expand(*lead, own, heads // own, length, size)
        given = spread.reshape(*lead, heads, length, size)
    if given.shape[:-3] != batch:
        given = given.expand(*batch, heads, length, size)
    if len(batch) != 1:
        given = given.reshape(math.prod(batch), heads, length, size)
    return given.permute(0, 2, 1, 3)


def _mask(mask: Any, dtype: DType, whole: tuple[int, ...], with_heads: bool) -> Tensor:
    """A mask as (batch, heads, length, keys), of which all but the batch may be 1 in place of their size."""
    checked_tensor(NAME, "attn_mask", mask)
    shape = whole if with_heads else (*whole[:-3], *whole[-2:])
    given = (1,) * (len(shape) - len(mask.shape)) + tuple(mask.shape)
    if len(given) != len(shape) or any(own not in (1, size) for own, size in zip(given, shape, strict=True)):
        raise ShapeError(
            mistake(NAME, "attn_mask's shape", tuple(mask.shape), f"one that broadcasts to {shape}")
        )
    if mask.dtype.kind != "bool" and mask.dtype is not dtype:
        raise DTypeError(mistake(NAME, "attn_mask's dtype", mask.dtype.name, f"bool or {dtype.name}"))
    if not with_heads:
        given = (*given[:-2], 1, *given[-2:])
    own: Tensor = mask.reshape(*given)
    if len(given) == 4:
        return own
    if any(size != 1 for size in given[:-3]):
        own = own.expand(*whole[:-3], *given[-3:])
    return own.reshape(math.prod(own.shape[:-3]), *given[-3:])


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, **options: Any) -> Tensor:
    """(batch, heads, length, size) of what the op, or the composed form, gives."""
    if dropout_p == 0 and suits(q, k, v) and not _kept(q, k, options["causal"]):
        given = (q, k, v) if mask is None else (q, k, v, mask)
        mixed: Tensor = bind(ATTENTION, *given, **options)[0]
        return mixed.permute(0, 2, 1, 3)
    return _composed(q, k, v, mask, dropout_p, **options)


def _kept(q: Tensor, k: Tensor, causal: bool) -> bool:
    """Whether the weights are few enough that the CPU is faster where it keeps them."""
    (batch, length, heads, _), keys = q.shape, k.shape[1]
    few = length * keys <= KEPT[causal] and batch * heads * length * keys <= KEPT_IN_ALL
    return few and str(q.device) == "cpu"


def _composed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, *, causal: bool, scale: float
) -> Tensor:
    """The same with all weights at once: with dropout, and for sizes that the op does not take.

    Scores and weights of 16-bit operands are float32, as the op's are.
    """
    shared, dtype = k.shape[2], q.dtype
    q, k, v = (to_dtype(formulas.grouped(tensor, shared), dtype.compute) for tensor in (q, k, v))
    if mask is not None and mask.dtype.kind == "float":
        mask = to_dtype(mask, dtype.compute)
    scores = (q * scale) @ k.transpose(-2, -1)
    weights = formulas.weights_of(scores, formulas.grouped_mask(mask, shared), causal)
    mixed: Tensor = to_dtype(dropout(weights, dropout_p) @ v, dtype)
    return mixed.flatten(1, 2)
