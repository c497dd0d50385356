"""``attention`` and its gradient: ops over (batch, length, heads, size) that never hold all weights at once.

The ops compute ``softmax(q k^T scale + mask) v`` one tile of keys at a time (Dao, FlashAttention-2, 2023). The second
output of forward, ``sums``, is each row's largest score and 1 over its sum of exponentials; backward recomputes the
weights from them. These are two numbers, not the logarithm of the sum: float32 loses that logarithm beside a large
score, of a row that a mask of -1e9 hides, say. Results lie as (batch, length, heads, size), so that the heads of a
token are contiguous for the projection that follows.
"""

from __future__ import annotations

from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.kernels.library.attentions import LARGEST_HEAD
from weft.ops.attention.formulas import by_mask, second_gradient
from weft.ops.attention.kernels import lower, lower_backward
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import Gradient, OpSpec, TensorType
from weft.ops.registry.table import declare


def suits(query: Any, key: Any, value: Any) -> bool:
    """Return whether the op takes these tensors: none is empty, and heads have at most ``LARGEST_HEAD`` elements."""
    sizes = (*query.shape, *key.shape, *value.shape)
    return 0 not in sizes and max(query.shape[-1], value.shape[-1]) <= LARGEST_HEAD


def _check(q: TensorType, k: TensorType, v: TensorType, mask: TensorType | None) -> None:
    for name, given in (("query", q), ("key", k), ("value", v)):
        if len(given.shape) != 4 or 0 in given.shape or given.shape[-1] > LARGEST_HEAD:
            expected = f"(batch, length, heads, size) with no size 0, the last at most {LARGEST_HEAD}"
            raise ShapeError(mistake("attention", f"{name}'s shape", given.shape, expected))
        if given.dtype.kind != "float" or given.dtype is not q.dtype:
            expected = "a floating point type" if given is q else f"{q.dtype.name}, as the query's"
            raise DTypeError(mistake("attention", f"{name}'s dtype", given.dtype.name, expected))
    (batch, length, heads, size), (_, keys, shared, _) = q.shape, k.shape
    if k.shape != (batch, keys, shared, size) or heads % shared:
        expected = f"({batch}, length, heads that divide {heads}, {size})"
        raise ShapeError(mistake("attention", "key's shape", k.shape, expected))
    if v.shape[:3] != k.shape[:3]:
        raise ShapeError(mistake("attention", "value's shape", v.shape, f"{k.shape[:3]} and a size"))
    if mask is None:
        return
    whole = (batch, heads, length, keys)
    if len(mask.shape) != 4 or any(n not in (1, size) for n, size in zip(mask.shape, whole, strict=True)):
        raise ShapeError(
            mistake("attention", "mask's shape", mask.shape, f"{whole}, or 1 in place of a size")
        )
    if mask.dtype.kind != "bool" and mask.dtype is not q.dtype:
        raise DTypeError(mistake("attention", "mask's dtype", mask.dtype.name, f"bool or {q.dtype.name}"))


def _infer(
    q: TensorType, k: TensorType, v: TensorType, mask: TensorType | None = None, *, causal: bool, scale: float
) -> tuple[TensorType, ...]:
    _check(q, k, v, mask)
    batch, length, heads, _ = q.shape
    return (
        TensorType((batch, length, heads, v.shape[-1]), q.dtype),
        TensorType((batch, heads, length, 2), q.dtype.compute),
    )


def _scores(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    """Return the scores (batch, heads, length, keys) in float64, -inf where a key is masked."""
    import numpy

    spread = numpy.repeat(k.astype("float64"), q.shape[2] // k.shape[2], axis=2)
    scores = numpy.einsum("blhe,bshe->bhls", q.astype("float64"), spread) * scale
    if mask is not None:
        scores = (
            numpy.where(mask, scores, -numpy.inf) if mask.dtype == bool else scores + mask.astype("float64")
        )
    if causal:
        scores = numpy.where(numpy.tri(*scores.shape[-2:], dtype=numpy.bool_), scores, -numpy.inf)
    return scores


def _reference(q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool, scale: float) -> Any:
    import numpy

    scores = _scores(q, k, mask, causal, scale)
    largest = scores.max(-1, keepdims=True)
    largest = numpy.where(largest == -numpy.inf, 0, largest)
    powers = numpy.exp(scores - largest)
    total = powers.sum(-1, keepdims=True)
    weights = powers / numpy.where(total == 0, 1, total)
    spread = numpy.repeat(v.astype("float64"), q.shape[2] // v.shape[2], axis=2)
    out = numpy.einsum("bhls,bshe->blhe", weights, spread)
    sums = numpy.concatenate([largest, numpy.where(total == 0, 0, 1 / numpy.where(total == 0, 1, total))], -1)
    return out.astype(q.dtype), sums.astype("float64" if q.dtype == "float64" else "float32")


def _all_operands(needs: tuple[bool, ...]) -> tuple[int, ...]:
    """Return the positions of all operands: each is saved."""
    return tuple(range(len(needs)))


def _gradient(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    given = [context.input(at) for at in range(len(context.types))]
    results: list[Any] = [None] * len(given)
    if any(context.needs[:3]):
        saved = (context.output(0), context.output(1))
        results[:3] = bind(ATTENTION_BACKWARD, grad, *saved, *given, **context.attributes)
    if len(given) > 3 and context.needs[3] and given[3].dtype.kind == "float":
        results[3] = by_mask(grad, given, context.types[3], **context.attributes)
    return results


ATTENTION: OpSpec = declare(
    "attention", rules=Rules("attention"),
    infer=_infer, reference=_reference, lower=lower, gradient=_gradient, saves=_all_operands,
    saves_output=True, constants=(1,),
    doc="softmax(q k^T scale + mask) v, and a row's largest score and 1 over its sum (0 and 0 where it sees no key).",
)  # fmt: skip


def _infer_backward(
    grad: TensorType, out: TensorType, sums: TensorType, q: TensorType, k: TensorType, v: TensorType,
    mask: TensorType | None = None, *, causal: bool, scale: float,
) -> tuple[TensorType, ...]:  # fmt: skip
    expected = dict(zip(("out", "sums"), _infer(q, k, v, mask, causal=causal, scale=scale), strict=True))
    given = (("grad", grad, expected["out"]), ("out", out, expected["out"]), ("sums", sums, expected["sums"]))
    for name, actual, wanted in given:
        if actual.shape != wanted.shape:
            raise ShapeError(mistake("attention_backward", name, actual.shape, wanted.shape))
    return q, k, v


def _reference_backward(
    grad: Any, out: Any, sums: Any, q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool, scale: float
) -> Any:
    import numpy

    scores = _scores(q, k, mask, causal, scale)
    wide_sums = sums.astype("float64")
    weights = numpy.exp(scores - wide_sums[..., :1]) * wide_sums[..., 1:]
    groups = q.shape[2] // k.shape[2]
    keys, values = (numpy.repeat(tensor.astype("float64"), groups, axis=2) for tensor in (k, v))
    wide = grad.astype("float64")
    rest = (wide * out.astype("float64")).sum(-1).transpose(0, 2, 1)[..., None]
    by_scores = weights * (numpy.einsum("blhe,bshe->bhls", wide, values) - rest) * scale

    def summed(grad: Any, like: Any) -> Any:
        batch, length, shared, size = like.shape
        return grad.reshape(batch, length, shared, groups, size).sum(3).astype(like.dtype)

    by_q = numpy.einsum("bhls,bshe->blhe", by_scores, keys).astype(q.dtype)
    by_k = summed(numpy.einsum("bhls,blhe->bshe", by_scores, q.astype("float64")), k)
    return by_q, by_k, summed(numpy.einsum("bhls,blhe->bshe", weights, wide), v)


def _gradient_backward(context: Gradient, *seeds: Any) -> list[Any]:
    """Return the gradients by ``second_gradient``; ``out`` and ``sums`` have none, as functions of the operands."""
    grad, *given = (context.input(at) for at in (0, *range(3, len(context.types))))
    by_grad, *rest = second_gradient(seeds, grad, given, context.types[3:], **context.attributes)
    return [by_grad, None, None, *rest]


ATTENTION_BACKWARD: OpSpec = declare(
    "attention_backward", rules=Rules("attention"),
    infer=_infer_backward, reference=_reference_backward, lower=lower_backward,
    gradient=_gradient_backward, saves=_all_operands,
    doc="The gradient of attention with respect to queries, keys and values.",
)  # fmt: skip
