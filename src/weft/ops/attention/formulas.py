"""Attention as a composite of ops that holds all weights: for dropout, a mask's gradient and second gradients.

Values are (batch, shared heads, group, length, size): query heads that share keys and values are a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.linear import MATMUL, swap_last
from weft.ops.pointwise.expressions import unbroadcast
from weft.ops.reduce.softmax import SOFTMAX, SOFTMAX_BACKWARD
from weft.ops.registry.binders import add, mul, sub
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import TensorType
from weft.ops.registry.table import lookup


def grouped(value: Any, shared: int) -> Any:
    """View (batch, length, heads, size) as (batch, shared, heads / shared, length, size)."""
    batch, length, heads, size = value.shape
    value = bind(lookup("reshape"), value, shape=(batch, length, shared, heads // max(shared, 1), size))
    return bind(lookup("permute"), value, order=(0, 2, 3, 1, 4))


def _ungrouped(value: Any, like: TensorType) -> Any:
    """Invert ``grouped``: sum a gradient over the group where heads are shared, and restore the type's shape."""
    batch, length, heads, size = like.shape
    shared = value.shape[1]
    value = unbroadcast(value, TensorType((batch, shared, heads // shared, length, size), like.dtype))
    value = bind(lookup("permute"), value, order=(0, 3, 1, 2, 4))
    return bind(lookup("reshape"), value, shape=like.shape)


def grouped_mask(mask: Any, shared: int) -> Any:
    """View a mask (batch, heads, length, keys), where a size may be 1, as (batch, shared, group, length, keys)."""
    if mask is None:
        return None
    batch, heads, length, keys = mask.shape
    shape = (
        (batch, 1, 1, length, keys) if heads == 1 else (batch, shared, heads // max(shared, 1), length, keys)
    )
    return bind(lookup("reshape"), mask, shape=shape)


def weights_of(scores: Any, mask: Any, causal: bool) -> Any:
    """Return the softmax of scores (..., length, keys); fully masked rows are 0 and have a gradient of 0."""
    where, hidden = lookup("where"), -math.inf
    dim = len(scores.shape) - 1
    if causal:
        rows, columns = (
            bind(lookup("arange"), 0, 1, count=count, dtype=dtypes.int64, device=str(scores.device))
            for count in scores.shape[-2:]
        )
        rows = bind(lookup("reshape"), rows, shape=(rows.shape[0], 1))
        scores = bind(where, bind(lookup("le"), columns, rows), scores, hidden)
    if mask is None:
        return bind(SOFTMAX, scores, dim=dim)
    if mask.dtype.kind == "bool":
        scores = bind(where, mask, scores, hidden)
    else:
        scores = add(scores, mask)
    masked = bind(lookup("eq"), bind(lookup("amax"), scores.detach(), dims=(dim,), keepdim=True), hidden)
    weights = bind(SOFTMAX, bind(where, masked, 0.0, scores), dim=dim)
    return bind(where, masked, 0.0, weights)


def _wide(value: Any) -> Any:
    """Convert 16-bit numbers to float32, so that scores and weights are not rounded between the products."""
    return to_dtype(value, value.dtype.compute)


def _product(a: Any, b: Any) -> Any:
    return bind(MATMUL, a, b)


def _softmax_gradient(weights: Any, values: Any) -> Any:
    """Return ``weights * (values - sum(weights * values))``."""
    return bind(SOFTMAX_BACKWARD, values, weights, dim=len(weights.shape) - 1)


@dataclass(frozen=True)
class _Parts:
    """The output's gradient and the operands, grouped and wide, and the attention weights."""

    grad: Any
    q: Any
    k: Any
    v: Any
    weights: Any


def _parts(grad: Any, given: Sequence[Any], causal: bool, scale: float) -> _Parts:
    shared = given[1].shape[2]
    out, q, k, v = (_wide(grouped(value, shared)) for value in (grad, *given[:3]))
    scores = mul(_product(q, swap_last(k)), scale)
    mask = grouped_mask(given[3] if len(given) > 3 else None, shared)
    return _Parts(out, q, k, v, weights_of(scores, mask, causal))


def by_mask(grad: Any, given: Sequence[Any], mask: TensorType, *, causal: bool, scale: float) -> Any:
    """Return the gradient of an additive mask."""
    parts = _parts(grad, given, causal, scale)
    return _to_mask(_softmax_gradient(parts.weights, _product(parts.grad, swap_last(parts.v))), mask)


def _to_mask(by_scores: Any, mask: TensorType) -> Any:
    """Sum the scores' gradient to the mask's shape."""
    batch, shared, group, length, keys = by_scores.shape
    whole = bind(lookup("reshape"), by_scores, shape=(batch, shared * group, length, keys))
    return unbroadcast(whole, mask)


def second_gradient(
    seeds: Sequence[Any],
    grad: Any,
    given: Sequence[Any],
    types: Sequence[TensorType],
    *,
    causal: bool,
    scale: float,
) -> list[Any]:
    """Return the gradients of ``attention_backward`` with respect to ``grad`` and each of ``given``.

    ``seeds`` A, B and C are the gradients of dq, dk and dv. With the weights P, T = dO V^T and
    W = (A K^T + Q B^T) scale, the differentiated function is ``sum(W * P (T - sum(P T))) + sum(P * dO C^T)``, where P
    is a function of the scores.
    """
    parts = _parts(grad, given, causal, scale)
    a, b, c = (_wide(grouped(seed, given[1].shape[2])) for seed in seeds)
    weights, q, k = parts.weights, parts.q, parts.k

    def inner(x: Any, y: Any) -> Any:
        return bind(lookup("sum"), mul(x, y), dims=(len(x.shape) - 1,), keepdim=True)

    by_weights = _product(parts.grad, swap_last(parts.v))
    seen = mul(add(_product(a, swap_last(k)), _product(q, swap_last(b))), scale)
    by_products = _softmax_gradient(weights, seen)  # the gradient of T
    by_p = sub(mul(seen, sub(by_weights, inner(weights, by_weights))),
                mul(by_weights, inner(weights, seen)))  # fmt: skip
    by_p = add(by_p, _product(parts.grad, swap_last(c)))
    by_scores = _softmax_gradient(weights, by_p)
    by_seen = _softmax_gradient(weights, by_weights)  # the gradient of W
    of_scores, of_seen = mul(by_scores, scale), mul(by_seen, scale)
    by_grad = add(_product(by_products, parts.v), _product(weights, c))
    by_q = add(_product(of_scores, k), _product(of_seen, b))
    by_k = add(_product(swap_last(of_scores), q), _product(swap_last(of_seen), a))
    by_v = _product(swap_last(by_products), parts.grad)
    of_out = TensorType(tuple(grad.shape), grad.dtype)
    grads = zip((by_grad, by_q, by_k, by_v), (of_out, *types[:3]), strict=True)
    results = [_ungrouped(value, like) for value, like in grads]
    if len(types) > 3:
        results.append(_to_mask(by_scores, types[3]) if types[3].dtype.kind == "float" else None)
    return results
