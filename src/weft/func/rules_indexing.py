"""Batching rules of reads and writes at index tensors.

Where only the values differ between samples, the samples' dimension moves behind the indexed ones. Where the indices
differ, each sample's number is one more index, so that every index is still checked against its own dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.func.calls import BatchedCall
from weft.ops import OPS, bind
from weft.ops.index.index_tensors import put, read
from weft.ops.registry.geometry import broadcast_shapes


def _moved(value: Any, source: int, goal: int) -> Any:
    """Move a dimension to another position."""
    rest = iter(d for d in range(len(value.shape)) if d != source)
    order = tuple(source if d == goal else next(rest) for d in range(len(value.shape)))
    return bind(OPS["permute"], value, order=order)


def _index_shape(call: BatchedCall, first: int) -> tuple[int, ...]:
    return broadcast_shapes("index", *(call.shape(at) for at in range(first, len(call.types))))


def _indices(call: BatchedCall, first: int) -> list[Any]:
    """Return the index tensors in shapes that broadcast, with the samples' dimension first."""
    rank = len(_index_shape(call, first))
    return [call.aligned(at, rank) for at in range(first, len(call.types))]


def _numbers(call: BatchedCall, like: Any, rank: int) -> Any:
    """Return the numbers of the samples in a shape that broadcasts with indices of a rank."""
    count = bind(OPS["arange"], 0, 1, count=call.size, dtype=dtypes.int64, device=str(like.device))
    return bind(OPS["reshape"], count, shape=(call.size, *(1,) * rank))


def _numbered(call: BatchedCall, x: Any, first: int, rank: int) -> list[Any]:
    """Return index tensors for the samples' dimension of x and the indexed dimensions behind it."""
    return [_numbers(call, x, rank), *_indices(call, first)]


def index(call: BatchedCall) -> Sequence[Any]:
    """Batch a gather by index tensors in the dimensions from ``dim`` on."""
    rank, dim = len(_index_shape(call, 1)), call.attributes.get("dim", 0)
    x = call.values[0]
    if not any(call.batched[1:]):
        return (call.again(x, *call.values[1:], dim=dim + 1)[0],)
    if not call.batched[0]:
        return (_moved(read(x, _indices(call, 1), dim), dim, 0),)
    picked = read(_moved(x, 0, dim), _numbered(call, x, 1, rank), dim)
    return (_moved(picked, dim, 0),)


def index_put(call: BatchedCall) -> Sequence[Any]:
    """Batch a scatter by index tensors in the dimensions from ``dim`` on."""
    given = call.values[2:]
    rank, dim = len(_index_shape(call, 2)), call.attributes.get("dim", 0)
    mode, wrap = call.attributes["mode"], call.attributes["wrap"]
    x, values = call.front(0), call.front(1)
    if not any(call.batched[2:]):
        return (put(x, values, given, mode, wrap=wrap, dim=dim + 1),)
    indices = _numbered(call, x, 2, rank)
    written = put(_moved(x, 0, dim), _moved(values, 0, dim), indices, mode, wrap=wrap, dim=dim)
    return (_moved(written, dim, 0),)


def embedding(call: BatchedCall) -> Sequence[Any]:
    """Batch a lookup of rows: of a shared matrix, or of each sample's matrix by shared or own indices."""
    weight, rows = call.values
    if not call.batched[0]:
        return call.again(weight, rows)
    if not call.batched[1]:
        return (bind(OPS["index"], weight, rows, wrap=False, dim=1),)
    numbers = _numbers(call, rows, len(call.shape(1)))
    return (bind(OPS["index"], weight, numbers, rows, wrap=False, dim=0),)


def searchsorted(call: BatchedCall) -> Sequence[Any]:
    """Batch a binary search in a shared sorted sequence, or in each sample's sequence."""
    if len(call.shape(0)) > 1:
        return call.again(call.front(0), call.front(1))
    if not call.batched[0]:
        return call.again(*call.values)
    flat = bind(OPS["reshape"], call.front(1), shape=(call.size, math.prod(call.shape(1))))
    return (bind(OPS["reshape"], call.again(call.values[0], flat)[0], shape=(call.size, *call.shape(1))),)
