"""View functions: ``reshape``, ``permute``, ``expand``, ``narrow``, ``select`` and basic indexing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from weft.errors import ArgumentTypeError, IndexOutOfRangeError, ShapeError, mistake
from weft.ops.make.creation import COPY
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import Geometry
from weft.ops.registry.interpreters import bind
from weft.ops.views.ops import EXPAND, PERMUTE, RESHAPE, SLICE


@function()
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself where its elements lie in row-major order, else a copy that does."""
    arguments.tensor("contiguous", "input", input)
    return input if input.is_contiguous() else bind(COPY, input)


@function()
def clone(input: Tensor) -> Tensor:
    """A copy that shares no memory; gradients flow through it."""
    return bind(COPY, arguments.tensor("clone", "input", input))


@function()
def reshape(input: Tensor, *shape: int) -> Tensor:
    """The same elements under another shape: a view where strides allow, else a copy.

    One size may be -1; it follows from the others. ``ShapeError`` where the number of elements differs.

    >>> import weft as wf
    >>> wf.reshape(wf.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    arguments.tensor("reshape", "input", input)
    given = _flat("reshape", shape)
    full = arguments.infer_size("reshape", given, math.prod(input.shape), input.shape)
    return input if full == tuple(input.shape) else bind(RESHAPE, input, shape=full)


@function(top=False)
def view(input: Tensor, *shape: int) -> Tensor:
    """The same elements under another shape, never a copy; ``ShapeError`` where strides cannot express it."""
    arguments.tensor("view", "input", input)
    given = _flat("view", shape)
    full = arguments.infer_size("view", given, math.prod(input.shape), input.shape)
    if not _is_view(tuple(input.shape), tuple(input.stride()), full):
        raise ShapeError(
            mistake("view", "shape", full, f"one that strides {tuple(input.stride())} of shape {tuple(input.shape)} "
                    "can express", "use reshape, which copies")
        )  # fmt: skip
    return bind(RESHAPE, input, shape=full)


@lru_cache(maxsize=4096)
def _is_view(shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether strides can express the shape ``wanted`` without a copy."""
    return Geometry(shape, strides).reshape(wanted) is not None


def _flat(where: str, shape: Sequence[Any]) -> tuple[int, ...]:
    flat = shape
    if len(shape) == 1 and type(shape[0]) is not int and isinstance(shape[0], Sequence):
        flat = shape[0]
    return tuple([size if type(size) is int else arguments.integer(where, "size", size) for size in flat])


@function()
def permute(input: Tensor, *dims: int) -> Tensor:
    """A view with the dimensions in the order ``dims``.

    >>> import weft as wf
    >>> wf.permute(wf.ones(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    arguments.tensor("permute", "input", input)
    given, rank = _flat("permute", dims), len(input.shape)
    order = tuple(arguments.dimension("permute", d, rank, "dims") for d in given)
    if sorted(order) != list(range(rank)):
        raise ShapeError(mistake("permute", "dims", given, f"each of the {rank} dimensions once"))
    return bind(PERMUTE, input, order=order)


@function()
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with dimensions ``dim0`` and ``dim1`` exchanged.

    >>> import weft as wf
    >>> wf.transpose(wf.ones(2, 3), 0, 1).shape
    (3, 2)
    """
    rank = len(arguments.tensor("transpose", "input", input).shape)
    first, second = (
        arguments.dimension("transpose", d, rank, n) for d, n in ((dim0, "dim0"), (dim1, "dim1"))
    )
    order = list(range(rank))
    if rank:
        order[first], order[second] = order[second], order[first]
    return bind(PERMUTE, input, order=tuple(order))


@function()
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or 0-d tensor as it is."""
    rank = len(arguments.tensor("t", "input", input).shape)
    if rank > 2:
        raise ShapeError(
            mistake("t", "input", f"{rank}-dimensional", "at most 2-dimensional", "use transpose or permute")
        )
    return transpose(input, 0, 1) if rank == 2 else input


@function(top=False)
def expand(input: Tensor, *sizes: int) -> Tensor:
    """A view with dimensions of size 1 repeated to ``sizes``; -1 keeps a size, new dimensions come in front.

    >>> import weft as wf
    >>> wf.ones(3, 1).expand(2, -1, 4).shape
    (2, 3, 4)
    """
    own = tuple(arguments.tensor("expand", "input", input).shape)
    given = _flat("expand", sizes)
    missing = len(given) - len(own)
    shape = tuple(own[d - missing] if size == -1 and d >= missing else size for d, size in enumerate(given))
    fits = missing >= 0 and all(
        size >= 0 and (d < missing or own[d - missing] in (1, size)) for d, size in enumerate(shape)
    )
    if not fits:
        raise ShapeError(mistake("expand", "sizes", given, f"sizes that {own} repeats to"))
    return bind(EXPAND, input, shape=shape)


@function()
def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """A view expanded to ``shape``; see ``Tensor.expand``."""
    return expand(arguments.tensor("broadcast_to", "input", input), *shape)


@function()
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """A view without the dimensions of size 1: all of them, or those of ``dim``; other dimensions of ``dim`` stay.

    >>> import weft as wf
    >>> x = wf.ones(1, 2, 1)
    >>> wf.squeeze(x).shape, wf.squeeze(x, 0).shape, wf.squeeze(x, 1).shape
    ((2,), (2, 1), (1, 2, 1))
    """
    shape = tuple(arguments.tensor("squeeze", "input", input).shape)
    dims = range(len(shape)) if dim is None else arguments.dimensions("squeeze", dim, len(shape))
    if isinstance(dim, Sequence) and not dim:
        dims = ()
    return bind(RESHAPE, input, shape=tuple(n for d, n in enumerate(shape) if not (d in dims and n == 1)))


@function()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dimension of size 1 at ``dim``.

    >>> import weft as wf
    >>> wf.unsqueeze(wf.ones(3), 0).shape, wf.unsqueeze(wf.ones(3), -1).shape
    ((1, 3), (3, 1))
    """
    shape = list(arguments.tensor("unsqueeze", "input", input).shape)
    shape.insert(arguments.dimension("unsqueeze", dim, len(shape) + 1), 1)
    return bind(RESHAPE, input, shape=tuple(shape))


@function()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """``input`` with dimensions ``start_dim`` to ``end_dim`` merged into one; a view where strides allow."""
    shape = tuple(arguments.tensor("flatten", "input", input).shape)
    if not shape:
        return reshape(input, 1)
    first = arguments.dimension("flatten", start_dim, len(shape), "start_dim")
    last = arguments.dimension("flatten", end_dim, len(shape), "end_dim")
    if first > last:
        raise ShapeError(mistake("flatten", "start_dim", start_dim, f"at most end_dim ({end_dim})"))
    return reshape(input, *shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


@function()
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A view of ``length`` elements from ``start`` along a dimension."""
    shape = arguments.tensor("narrow", "input", input).shape
    d = arguments.dimension("narrow", dim, len(shape))
    size = shape[d]
    if not -size <= start <= size or length < 0 or (start % size if start < 0 else start) + length > size:
        raise IndexOutOfRangeError(
            mistake(
                "narrow", f"start {start} with length {length}", "out of range", f"within the size {size}"
            )
        )
    first = start + size if start < 0 else start
    return bind(SLICE, input, dim=d, start=first, stop=first + length, step=1)


@function(top=False)
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of the slice at an index along a dimension, without that dimension."""
    shape = arguments.tensor("select", "input", input).shape
    if not shape:
        raise IndexOutOfRangeError(
            "select: a 0-d tensor has no dimension to index; use .item() for its value"
        )
    d = arguments.dimension("select", dim, len(shape))
    place = arguments.integer("select", "index", index)
    if not -shape[d] <= place < shape[d]:
        raise IndexOutOfRangeError(
            f"index {place} is out of range for dimension {d} with size {shape[d]}, "
            f"expected -{shape[d]} to {shape[d] - 1}"
        )
    place %= shape[d]
    single = bind(SLICE, input, dim=d, start=place, stop=place + 1, step=1)
    return bind(RESHAPE, single, shape=tuple(shape[:d]) + tuple(shape[d + 1 :]))


def basic_index(input: Tensor, index: Any) -> Tensor:
    """Return the view ``input[index]`` for ints, slices, ``None`` and ``...``, as PyTorch."""
    items = index if isinstance(index, tuple) else (index,)
    used = sum(item is not None and item is not Ellipsis for item in items)
    rank = len(input.shape)
    if used > rank:
        raise IndexOutOfRangeError(f"too many indices: {used} given for a tensor of {rank} dimensions")
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexOutOfRangeError("an index may hold one ... only")
    if not any_ellipsis(items):
        items = (*items, Ellipsis)
    result, dim = input, 0
    for item in items:
        if item is None:
            result = unsqueeze(result, dim)
            dim += 1
        elif item is Ellipsis:
            dim += rank - used
        elif isinstance(item, slice):
            result = sliced(result, dim, item)
            dim += 1
        else:
            result = select(result, dim, _index_number(item))
    return result


def any_ellipsis(items: Sequence[Any]) -> bool:
    """Return whether ``...`` is among the items; ``in`` would compare tensors with it."""
    return any(item is Ellipsis for item in items)


def _index_number(item: Any) -> int:
    several = getattr(item, "shape", ()) != ()
    if isinstance(item, bool) or several or not hasattr(item, "__index__"):
        raise ArgumentTypeError(
            mistake("index", "item", f"a tensor of shape {tuple(item.shape)}" if hasattr(item, "shape") else repr(item),
                    "an int, a slice, None or ...", "use gather or embedding for indices in a tensor")
        )  # fmt: skip
    return int(item.__index__())


def sliced(input: Tensor, dim: int, item: slice) -> Tensor:
    """Return the view of a slice along a dimension; ``ShapeError`` for a step below 1."""
    if item.step is not None and arguments.integer("index", "step", item.step) <= 0:
        raise ShapeError(mistake("index", "step", item.step, "a positive step", "as in PyTorch, use flip"))
    size = input.shape[dim]
    start, stop, step = item.indices(size)
    stop = max(start, stop)
    if (start, stop, step) == (0, size, 1):
        return input
    return bind(SLICE, input, dim=dim, start=start, stop=stop, step=step)
