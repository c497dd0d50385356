"""Reads and writes at index tensors, with any number of index tensors and with values that broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.errors import ShapeError, mistake
from weft.ops.index.expanded import put_repeated, repeated
from weft.ops.index.placement import INDEX_OP, INDEX_PUT
from weft.ops.make.creation import to_dtype
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import expand, reshape

MOST_INDICES = 3
"""Index tensors that one kernel binds beside its other operands; more are first combined into a flat index."""


def filled(like: Any, value: Any, shape: Sequence[int] = ()) -> Any:
    """Return a tensor of one value with the dtype and device of ``like``."""
    return bind(lookup("full"), value, shape=tuple(shape), dtype=like.dtype, device=str(like.device))


def counted(like: Any, count: int) -> Any:
    """Return 0, 1, …, count - 1 as int64 on the device of ``like``."""
    return bind(lookup("arange"), 0, 1, count=count, dtype=dtypes.int64, device=str(like.device))


def combined(x: Any, indices: Sequence[Any], wrap: bool, dim: int) -> tuple[Any, Any]:
    """Return x with its indexed dimensions merged into one, and a flat index for the merged dimension.

    Each index is wrapped and checked for its own dimension, by picking from 0, 1, ….
    """
    shape, behind = tuple(x.shape), dim + len(indices)
    flat: Any = None
    for index, size in zip(indices, shape[dim:], strict=False):
        wide = to_dtype(index, dtypes.int64)
        placed = bind(INDEX_OP, counted(x, size), wide, wrap=wrap, dim=0)  # wraps and checks
        flat = placed if flat is None else bind(lookup("add"), bind(lookup("mul"), flat, size), placed)
    return reshape(x, *shape[:dim], math.prod(shape[dim:behind]), *shape[behind:]), flat


def read(x: Any, indices: Sequence[Any], dim: int = 0) -> Any:
    """Return the elements that index tensors for the dimensions from ``dim`` on name.

    The dimensions of the indices, broadcast, take the place of the indexed dimensions.
    """
    if len(indices) > MOST_INDICES:
        x, flat = combined(x, indices, True, dim)
        indices = [flat]
    return bind(INDEX_OP, x, *indices, wrap=len(indices) <= MOST_INDICES, dim=dim)


def put(
    x: Any,
    values: Any,
    indices: Sequence[Any],
    mode: str,
    into: bool = False,
    wrap: bool = True,
    dim: int = 0,
) -> Any:
    """Write or fold ``values``, broadcast, at index tensors for the dimensions from ``dim`` on.

    ``into`` overwrites x and returns it; else the result is a new tensor.
    """
    named = broadcast_shapes("index_put", *(tuple(i.shape) for i in indices))
    shape = (*x.shape[:dim], *named, *x.shape[dim + len(indices) :])
    if tuple(values.shape) != shape:
        values = _expanded(values, shape)
    if len(indices) <= MOST_INDICES:
        if into and (dims := repeated(x)):
            put_repeated(x, dims, values, indices, mode, wrap, dim)
            return x
        target = (x,) if into else None
        return bind(INDEX_PUT, x, values, *indices, mode=mode, wrap=wrap, dim=dim, into=target)
    merged, flat = combined(x, indices, wrap, dim)
    if into and (dims := repeated(merged)):
        put_repeated(merged, dims, values, [flat], mode, False, dim)
        return x
    result = reshape(bind(INDEX_PUT, merged, values, flat, mode=mode, wrap=False, dim=dim), *x.shape)
    return x.copy_(result) if into else result


def _expanded(values: Any, shape: tuple[int, ...]) -> Any:
    """Return values expanded to a shape; leading dimensions of size 1 are dropped."""
    own = tuple(values.shape)
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    missing = len(shape) - len(own)
    if missing < 0 or any(size not in (1, shape[missing + d]) for d, size in enumerate(own)):
        raise ShapeError(
            mistake("index_put", "the value's shape", tuple(values.shape), f"one that broadcasts to {shape}")
        )
    if own != tuple(values.shape):
        values = reshape(values, *own)
    return values if own == shape else expand(values, *shape)
