"""Copies with a part overwritten: a slice, a row, a diagonal, or elements by their row-major position."""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.index.advanced import index_put
from weft.ops.make.creation import to_dtype
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.ops import Path


def _written(name: str, input: Any, src: Any, expected: tuple[int, ...], path: Path) -> Any:
    """Return the input with ``src``, of the part's shape, in place of the elements that a path of views reaches."""
    given = tuple(arguments.tensor(name, "src", src).shape)
    if given != expected:
        raise ShapeError(mistake(name, "src's shape", given, f"{expected}, the part's"))
    return bind(lookup("update_view"), input, to_dtype(src, input.dtype), path=path)


def _slice(dim: int, start: int, stop: int, step: int) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return "slice", (("dim", dim), ("start", start), ("stop", stop), ("step", step))


@function(out=True)
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy of ``input`` with ``src`` in the place of ``input[start:end:step]`` along ``dim``.

    >>> import weft as wf
    >>> wf.slice_scatter(wf.zeros(4), wf.ones(2), start=1, end=3)
    tensor([0., 1., 1., 0.])
    """
    shape = tuple(arguments.tensor("slice_scatter", "input", input).shape)
    if not shape:
        raise ShapeError("slice_scatter: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("slice_scatter", dim, len(shape))
    by = arguments.integer("slice_scatter", "step", step)
    if by < 1:
        raise ArgumentError(mistake("slice_scatter", "step", step, "1 or more"))
    first, last, _ = slice(start, end).indices(shape[place])
    last = max(first, last)
    part = (*shape[:place], len(range(first, last, by)), *shape[place + 1 :])
    return _written("slice_scatter", input, src, part, (_slice(place, first, last, by),))


@function()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` in the place of ``input.select(dim, index)``."""
    shape = tuple(arguments.tensor("select_scatter", "input", input).shape)
    if not shape:
        raise ShapeError("select_scatter: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("select_scatter", dim, len(shape))
    size = shape[place]
    at = arguments.integer("select_scatter", "index", index)
    if not -size <= at < size:
        raise ArgumentError(mistake("select_scatter", "index", at, f"in [{-size}, {size - 1}]"))
    at %= size
    part = (*shape[:place], *shape[place + 1 :])
    path = (_slice(place, at, at + 1, 1), ("reshape", (("shape", part),)))
    return _written("select_scatter", input, src, part, path)


@function()
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of ``input`` with ``src`` in the place of ``input.diagonal(offset, dim1, dim2)``."""
    rank = len(arguments.tensor("diagonal_scatter", "input", input).shape)
    first = arguments.dimension("diagonal_scatter", dim1, rank, "dim1")
    second = arguments.dimension("diagonal_scatter", dim2, rank, "dim2")
    away = arguments.integer("diagonal_scatter", "offset", offset)
    part = tuple(FUNCTIONS["diagonal"].function(input, away, first, second).shape)
    path = (("diagonal", (("offset", away), ("dim1", first), ("dim2", second))),)
    return _written("diagonal_scatter", input, src, part, path)


@function(name="fill_diagonal", top=False, method=False, inplace=True)
def fill_diagonal(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """The tensor with a number on its main diagonal, over all its dimensions.

    A matrix may have any shape; a tensor of more dimensions has equal sizes. ``wrap`` continues the diagonal of a tall
    matrix below its end, after an empty row.
    """
    shape = tuple(arguments.tensor("fill_diagonal", "input", input).shape)
    if len(shape) < 2:
        raise ShapeError(
            mistake("fill_diagonal", "the tensor", f"{len(shape)}-dimensional", "at least 2-dimensional")
        )
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ShapeError(mistake("fill_diagonal", "the tensor's shape", shape, "dimensions of one size"))
    arguments.representable("fill_diagonal", "fill_value", fill_value, input.dtype)
    step, size = sum(contiguous_strides(shape)), math.prod(shape)
    last = size if wrap and len(shape) == 2 else min(size, step * (min(shape) - 1) + 1 if size else 0)
    flat = (("reshape", (("shape", (size,)),)), _slice(0, 0, last, step))
    count = len(range(0, last, step))
    full = bind(lookup("full"), fill_value, shape=(count,), dtype=input.dtype, device=str(input.device))
    return bind(lookup("update_view"), input, full, path=flat)


@function(top=False, inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """The tensor with elements of ``source`` written, or added, at places in its row-major order."""
    shape = tuple(arguments.tensor("put", "input", input).shape)
    places, values = arguments.tensor("put", "index", index), arguments.tensor("put", "source", source)
    arguments.integral("put", "index", places.dtype)
    if math.prod(places.shape) != math.prod(values.shape):
        raise ShapeError(
            mistake(
                "put",
                "source's shape",
                tuple(values.shape),
                f"as many elements as index, {tuple(places.shape)}",
            )
        )
    reshape = lookup("reshape")
    flat = bind(reshape, input, shape=(math.prod(shape),))
    at = bind(reshape, places, shape=(math.prod(places.shape),))
    new = bind(reshape, values, shape=(math.prod(values.shape),))
    return bind(reshape, index_put(flat, (at,), new, accumulate), shape=shape)
