"""Batching rules: they run an op on all samples at once. Each op names its rule where it is declared.

A rule takes a ``BatchedCall`` and returns the op's outputs with the samples in dimension 0. Most ops take the samples
as a further leading dimension, with shifted dimension attributes, or as further examples in their first dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import UnsupportedError
from weft.func.calls import BatchedCall, Rule
from weft.func.rules_indexing import embedding, index, index_put, searchsorted
from weft.func.rules_loops import scan
from weft.func.rules_products import (
    convolution,
    convolution_input,
    convolution_weight,
    in_turn,
    matmul,
    quantized,
)
from weft.func.rules_views import update_view, view
from weft.ops import OPS, OpSpec, TensorType, bind


def pointwise(call: BatchedCall) -> Sequence[Any]:
    """Broadcast and promote operands as for one sample; a 0-d tensor has the low priority of type promotion."""
    rank = max([len(type_.shape) for type_ in call.types])
    values = [call.aligned(at, rank) for at in range(len(call.values))]
    if any(not type_.shape and not type_.scalar for type_ in call.types):
        values = _as_promoted(call, values)
    return call.again(*values)


def _as_promoted(call: BatchedCall, values: list[Any]) -> list[Any]:
    """Cast operands to the promoted type of one sample, where promotion of the whole operands would differ."""
    info = call.op.info["pointwise"]
    compute = info.compute(call.types)
    whole_types = [type_ if type_.scalar else TensorType(tuple(value.shape), type_.dtype)
           for type_, value in zip(call.types, values, strict=True)]  # fmt: skip
    if info.compute(whole_types) is compute:
        return values
    return [
        value if type_.scalar or type_.dtype is compute or name in info.conditions else cast(value, compute)
        for type_, value, name in zip(call.types, values, info.parameters, strict=True)
    ]


def cast(value: Any, dtype: Any) -> Any:
    """Return a value cast to a type."""
    return bind(OPS["cast"], value, dtype=dtype)


def leading(call: BatchedCall) -> Sequence[Any]:
    """Batch ops without dimension attributes: the samples are a further leading dimension."""
    return call.again(*call.fronts())


SHIFTS: dict[str, Callable[[Any], Any]] = {
    "dim": lambda dim: dim + 1,
    "dims": lambda dims: tuple(dim + 1 for dim in dims),
    "shifts": lambda shifts: tuple((dim + 1, shift) for dim, shift in shifts),
    "padding": lambda padding: ((0, 0), *padding),
}
"""The shift of each dimension attribute by the leading dimension of the samples."""


def shifted(call: BatchedCall) -> Sequence[Any]:
    """Batch ops along dimensions: the samples are a further leading dimension, and the attributes are shifted."""
    return call.again(*call.fronts(), **_behind_samples(call))


def _behind_samples(call: BatchedCall) -> dict[str, Any]:
    return {name: SHIFTS[name](value) for name, value in call.attributes.items() if name in SHIFTS}


def along_one(call: BatchedCall) -> Sequence[Any]:
    """Batch ops along one dimension; a 0-d sample counts as a vector of one element."""
    if call.shape(0):
        return shifted(call)
    values = [bind(OPS["reshape"], front, shape=(call.size, 1)) for front in call.fronts()]
    outputs = call.again(*values, dim=1)
    return [
        _shaped(output, (call.size, *result.shape))
        for output, result in zip(outputs, call.results, strict=True)
    ]


def _shaped(value: Any, shape: tuple[int, ...]) -> Any:
    return value if tuple(value.shape) == shape else bind(OPS["reshape"], value, shape=shape)


def folded(call: BatchedCall) -> Sequence[Any]:
    """Batch ops on independent examples along dimension 0: the examples of all samples become one dimension."""
    values = [
        bind(OPS["reshape"], value, shape=(call.size * type_.shape[0], *type_.shape[1:]))
        for value, type_ in zip(call.fronts(), call.types, strict=True)
    ]
    shape = call.attributes.get("shape")
    changed = {} if shape is None else {"shape": (call.size * shape[0], *shape[1:])}
    outputs = call.again(*values, **changed)
    return [
        _shaped(output, (call.size, *result.shape))
        for output, result in zip(outputs, call.results, strict=True)
    ]


def attention(call: BatchedCall) -> Sequence[Any]:
    """Batch attention over a joint batch dimension; a mask that all batches share is not expanded."""
    count = 6 if call.op.name == "attention_backward" else 3
    examples = call.shape(0)[0]
    values = [_folded(call.front(at)) for at in range(count)]
    for at in range(count, len(call.values)):
        shape = call.shape(at)
        if call.batched[at] or shape[0] != 1:
            whole = bind(OPS["expand"], call.front(at), shape=(call.size, examples, *shape[1:]))
            values.append(_folded(whole))
        else:
            values.append(call.values[at])
    outputs = call.again(*values)
    return [
        _shaped(output, (call.size, *result.shape))
        for output, result in zip(outputs, call.results, strict=True)
    ]


def _folded(value: Any) -> Any:
    """Merge the first two dimensions."""
    first, second, *rest = value.shape
    return bind(OPS["reshape"], value, shape=(first * second, *rest))


def norm(call: BatchedCall) -> Sequence[Any]:
    """Batch a norm, whose scale and shift have the input's rank and broadcast to it."""
    values = [call.front(0)]
    for at in range(1, len(call.values)):
        parameter = call.values[at]
        values.append(
            parameter if call.batched[at] else bind(OPS["reshape"], parameter, shape=(1, *call.shape(at)))
        )
    return call.again(*values, **_behind_samples(call))


def norm_parameters(call: BatchedCall) -> Sequence[Any]:
    """Batch the gradients of scale and shift, for each sample."""
    shape = (call.size, *call.attributes["shape"])
    return call.again(*call.fronts(), shape=shape, **_behind_samples(call))


def any_non_finite(call: BatchedCall) -> Sequence[Any]:
    """Return for each sample whether any element of the tensors is infinite or NaN."""
    finite: Any = None
    for value in call.fronts():
        dims = tuple(range(1, len(value.shape)))
        all_finite = bind(OPS["all"], bind(OPS["isfinite"], value), dims=dims, keepdim=False)
        finite = all_finite if finite is None else bind(OPS["logical_and"], finite, all_finite)
    return (cast(bind(OPS["logical_not"], finite), call.results[0].dtype),)


def update(call: BatchedCall) -> Sequence[Any]:
    """Batch an optimizer's update of many tensors; the learning rate and counters must be the same for all samples."""
    shared = call.op.info["update"][0]
    if any(call.batched[:shared]):
        raise call.unsupported(
            "a rate or a step count that differs between samples is used",
            "pass it with in_dims None, or write the step with operations on tensors",
        )
    tensors = [call.front(at) for at in range(shared, len(call.values))]
    return call.again(*call.values[:shared], *tensors)


def draw(call: BatchedCall) -> Sequence[Any]:
    """Draw random numbers for each sample; draws for all samples need no rule."""
    if any(call.batched):
        raise call.unsupported(
            "a random generator's state that differs between samples is used",
            "pass randomness='different' and draw from one generator",
        )
    return call.again(*call.values, shape=(call.size, *call.attributes["shape"]))


def dropout(call: BatchedCall) -> Sequence[Any]:
    """Drop other elements of each sample, or the same elements of all samples, by ``randomness``."""
    if any(call.batched[1:]):
        raise call.unsupported(
            "a random generator's state that differs between samples is used",
            "pass randomness='different' and draw from one generator",
        )
    x, *state = call.front(0), *call.values[1:]
    if call.randomness == "different":
        return call.again(x, *state)
    type_ = call.types[0]
    ones = bind(OPS["full"], 1, shape=type_.shape, dtype=type_.dtype, device=str(x.device))
    scaled, kept = call.again(ones, *state)
    whole = bind(OPS["expand"], bind(OPS["reshape"], kept, shape=(1, *type_.shape)), shape=tuple(x.shape))
    return bind(OPS["where"], kept, bind(OPS["mul"], x, scaled), 0.0), whole


def advance(call: BatchedCall) -> Sequence[Any]:
    """Raise ``UnsupportedError``: a generator's state must be the same for all samples."""
    raise call.unsupported(
        "a random generator's state that differs between samples is moved on", "draw from one generator"
    )


BATCHING: dict[str, Rule] = {
    "pointwise": pointwise, "view": view, "update": update, "leading": leading, "dims": shifted, "rows": along_one,
    "examples": folded, "draw": draw, "dropout": dropout, "advance": advance,
    "matmul": matmul, "convolution": convolution, "convolution_input": convolution_input,
    "convolution_weight": convolution_weight, "attention": attention, "norm": norm, "norm_parameters": norm_parameters,
    "index": index, "index_put": index_put, "embedding": embedding, "searchsorted": searchsorted,
    "update_view": update_view, "scan": scan, "any_non_finite": any_non_finite, "quantized": quantized,
    "in_turn": in_turn,
}  # fmt: skip
"""The batching rules that ops name where they are declared (``ops.rules``)."""

INSTEAD = "compute it outside of vmap, or on each sample in a loop, or write it with other operations"


def rule_of(op: OpSpec) -> Rule:
    """Return the batching rule of an op; ``UnsupportedError`` for an op without a rule."""
    if op.rules.batching:
        return BATCHING[op.rules.batching]
    instead = op.rules.unbatched or INSTEAD
    raise UnsupportedError(f"{op.name}: has no vmap rule, expected an op with a vmap rule; {instead}")
