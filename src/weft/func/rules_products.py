"""Batching rules of matrix products and convolutions: samples become rows, channels, groups or a batch of products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.func.calls import BatchedCall
from weft.ops import OPS, bind


def _reshape(value: Any, *shape: int) -> Any:
    return bind(OPS["reshape"], value, shape=tuple(shape))


def _swapped(value: Any, first: int, second: int) -> Any:
    order = list(range(len(value.shape)))
    order[first], order[second] = second, first
    return bind(OPS["permute"], value, order=tuple(order))


def matmul(call: BatchedCall) -> Sequence[Any]:
    """Batch a product; a shared matrix by each sample's vector becomes one product with the vectors as rows."""
    (a, b), rank = call.values, max(len(type_.shape) for type_ in call.types)
    if rank == 2 and call.batched == (True, False) and call.shape(0)[0] == 1:
        rows = call.again(_reshape(a, call.size, call.shape(0)[1]), b)[0]
        return (_reshape(rows, call.size, 1, call.shape(1)[1]),)
    if rank == 2 and call.batched == (False, True) and call.shape(1)[1] == 1:
        rows = call.again(_reshape(b, call.size, call.shape(1)[0]), _swapped(a, 0, 1))[0]
        return (_reshape(rows, call.size, call.shape(0)[0], 1),)
    return call.again(call.aligned(0, rank), call.aligned(1, rank))


# Convolutions: x (N, C, *size), w (O, C / groups, *kernel), y (N, O, *out), and the samples B in front of those.


def _examples(call: BatchedCall, index: int) -> Any:
    """Return (B, N, …) as (B N, …)."""
    shape = call.shape(index)
    return _reshape(call.front(index), call.size * shape[0], *shape[1:])


def _channels(call: BatchedCall, index: int) -> Any:
    """Return (B, N, C, …) as (N, B C, …)."""
    shape = call.shape(index)
    return _reshape(_swapped(call.front(index), 0, 1), shape[0], call.size * shape[1], *shape[2:])


def _apart(call: BatchedCall, made: Any) -> tuple[Any]:
    """Return (N, B C, …) as (B, N, C, …)."""
    shape = call.results[0].shape
    return (_swapped(_reshape(made, shape[0], call.size, *shape[1:]), 0, 1),)


def convolution(call: BatchedCall) -> Sequence[Any]:
    """Batch a convolution: with shared filters the samples are further images; else they are groups."""
    if not call.batched[1]:
        made = call.again(_examples(call, 0), call.values[1])[0]
        return (_reshape(made, call.size, *call.results[0].shape),)
    groups = call.attributes["groups"]
    if not call.batched[0] and groups == 1:  # one image for all: more filters
        return _apart(call, call.again(call.values[0], _examples(call, 1))[0])
    made = call.again(_channels(call, 0), _examples(call, 1), groups=groups * call.size)[0]
    return _apart(call, made)


def convolution_input(call: BatchedCall) -> Sequence[Any]:
    """Batch the gradient with respect to images, from y and w, as ``convolution``."""
    shape, groups = call.attributes["shape"], call.attributes["groups"]
    if not call.batched[1]:
        made = call.again(_examples(call, 0), call.values[1], shape=(call.size * shape[0], *shape[1:]))[0]
        return (_reshape(made, call.size, *shape),)
    whole = (shape[0], call.size * shape[1], *shape[2:])
    made = call.again(_channels(call, 0), _examples(call, 1), shape=whole, groups=groups * call.size)[0]
    return _apart(call, made)


def convolution_weight(call: BatchedCall) -> Sequence[Any]:
    """Batch the gradient with respect to filters, from y and x: the samples are groups of one convolution."""
    shape, groups = call.attributes["shape"], call.attributes["groups"]
    whole = (call.size * shape[0], *shape[1:])
    if not call.batched[1] and groups == 1:  # one image for all: more filters
        made = call.again(_channels(call, 0), call.values[1], shape=whole)[0]
    else:
        made = call.again(_channels(call, 0), _channels(call, 1), shape=whole, groups=groups * call.size)[0]
    return (_reshape(made, call.size, *shape),)


def quantized(call: BatchedCall) -> Sequence[Any]:
    """Batch an op on a quantised matrix; matrices that differ between samples are multiplied one after another."""
    if not any(call.batched[1:]):
        return call.again(call.front(0), *call.values[1:])
    return in_turn(call)


def in_turn(call: BatchedCall) -> Sequence[Any]:
    """Carry out an op of one output on one sample after another."""
    flags = call.batched
    every = [call.front(at) if batched else call.values[at] for at, batched in enumerate(flags)]
    samples = []
    for number in range(call.size):
        own = [value[number] if batched else value for value, batched in zip(every, flags, strict=True)]
        (result,) = call.again(*own)
        samples.append(_reshape(result, 1, *result.shape))
    return (bind(OPS["cat"], *samples, dim=0),)
