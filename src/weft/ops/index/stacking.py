"""Tensors with added dimensions (``atleast_2d``), and combined tensors (``column_stack``, ``block_diag``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft.errors import ArgumentTypeError, ShapeError, mistake
from weft.ops.index.indexing import cat, stack
from weft.ops.make.creation import to_dtype, zeros_of
from weft.ops.pointwise.expressions import promoted
from weft.ops.reduce.reduction import sum_dtype
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.spec import TensorType
from weft.ops.registry.table import lookup
from weft.ops.views.functions import diag, meshgrid, tensor_split
from weft.ops.views.movement import reshape


@function()
def ravel(input: Tensor) -> Tensor:
    """The elements in one dimension: a view where the tensor is contiguous, else a copy."""
    return reshape(input, math.prod(arguments.tensor("ravel", "input", input).shape))


def _of_rank(where: str, value: Any, rank: int) -> Any:
    """Return a view with dimensions added up to ``rank``: in front; for rank 3, as ``atleast_3d``."""
    if not is_tensor(value):
        raise ArgumentTypeError(
            mistake(where, "tensors", type(value).__name__, "a Tensor", "use weft.tensor(...)")
        )
    shape = tuple(value.shape)
    if len(shape) >= rank:
        return value
    if rank == 3:
        return reshape(value, *((1, *shape, 1) if len(shape) == 1 else (*shape, 1) if shape else (1, 1, 1)))
    return reshape(value, *(1,) * (rank - len(shape)), *shape)


def _at_least(where: str, tensors: tuple[Any, ...], rank: int) -> Any:
    """Return a tensor for a single tensor, and a tuple for several tensors or a sequence."""
    if len(tensors) == 1 and not isinstance(tensors[0], tuple | list):
        return _of_rank(where, tensors[0], rank)
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple(_of_rank(where, value, rank) for value in given)


@function(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """The tensor, or a tuple of the tensors, with 0-d tensors viewed as vectors of 1 element."""
    return _at_least("atleast_1d", tensors, 1)


@function(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """The tensor, or a tuple of the tensors, with dimensions of size 1 added in front up to 2 dimensions.

    >>> import weft as wf
    >>> wf.atleast_2d(wf.ones(3)).shape
    (1, 3)
    """
    return _at_least("atleast_2d", tensors, 2)


@function(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """The tensor, or a tuple of the tensors, with 3 dimensions or more: (n) as (1, n, 1), (n, m) as (n, m, 1)."""
    return _at_least("atleast_3d", tensors, 3)


def _given(where: str, tensors: Any) -> Sequence[Any]:
    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake(where, "tensors", repr(tensors), "a non-empty sequence of tensors"))
    return [arguments.tensor(where, f"tensors[{at}]", value) for at, value in enumerate(tensors)]


@function(method=False, out="cat")
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors joined along dimension 1; numbers and vectors are columns."""
    return cat(
        [
            value if len(value.shape) > 1 else reshape(value, math.prod(value.shape), 1)
            for value in _given("column_stack", tensors)
        ],
        1,
    )


@function(method=False, out="cat")
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors joined along dimension 2, after ``atleast_3d``."""
    return cat([_of_rank("dstack", value, 3) for value in _given("dstack", tensors)], 2)


@function(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices along its diagonal and zeros elsewhere; vectors are rows, types are promoted.

    >>> import weft as wf
    >>> wf.block_diag(wf.ones(1, 2), wf.tensor([3.0]))
    tensor([[1., 1., 0.],
            [0., 0., 3.]])
    """
    matrices = []
    for at, value in enumerate(tensors):
        shape = tuple(arguments.tensor("block_diag", f"tensors[{at}]", value).shape)
        if len(shape) > 2:
            raise ShapeError(
                mistake("block_diag", f"tensors[{at}]", f"{len(shape)}-dimensional", "at most 2-dimensional")
            )
        matrices.append(_of_rank("block_diag", value, 2))
    if not matrices:
        raise ArgumentTypeError("block_diag: no tensors were given, expected one or more")
    dtype = promoted([TensorType(tuple(value.shape), value.dtype) for value in matrices])
    width, left, rows = sum(value.shape[1] for value in matrices), 0, []
    for value in matrices:
        height, own = value.shape
        right = width - left - own
        sides = [
            zeros_of(TensorType((height, size), dtype), device=str(value.device)) for size in (left, right)
        ]
        rows.append(bind(lookup("cat"), sides[0], to_dtype(value, dtype), sides[1], dim=1))
        left += own
    return bind(lookup("cat"), *rows, dim=0)


@function(method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """The Cartesian product of vectors, a combination in each row: (n), (m) give (n * m, 2); a vector is itself."""
    given = [
        arguments.tensor("cartesian_prod", f"tensors[{at}]", value, 1) for at, value in enumerate(tensors)
    ]
    if not given:
        raise ArgumentTypeError("cartesian_prod: no tensors were given, expected one or more")
    if len(given) == 1:
        return given[0]
    return stack([ravel(grid) for grid in meshgrid(*given, indexing="ij")], 1)


@function()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The elements on a diagonal of a square matrix, zeros beside it."""
    return diag(ravel(input), offset)


@function(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of a vector's elements as the columns of a matrix (n, N), highest first unless ``increasing``."""
    arguments.tensor("vander", "x", x, 1)
    count = x.shape[0] if N is None else arguments.integer("vander", "N", N)
    if count < 0:
        raise ShapeError(mistake("vander", "N", count, "0 or more"))
    x = to_dtype(x, sum_dtype(x.dtype))
    ones = bind(lookup("full"), 1, shape=(x.shape[0], min(count, 1)), dtype=x.dtype, device=str(x.device))
    if count < 2:
        return ones
    spread = bind(lookup("expand"), reshape(x, x.shape[0], 1), shape=(x.shape[0], count - 1))
    powers = cat([ones, bind(lookup("cumprod"), spread, dim=1, reverse=False)], 1)
    return powers if increasing else bind(lookup("flip"), powers, dims=(1,))


def _split(name: str, input: Any, given: Any, dim: int, least: int) -> Any:
    """Return the pieces of ``tensor_split``; a number of pieces must divide the dimension."""
    shape = tuple(arguments.tensor(name, "input", input).shape)
    if len(shape) < least:
        raise ShapeError(
            mistake(name, "the input", f"{len(shape)}-dimensional", f"at least {least}-dimensional")
        )
    if isinstance(given, int) and not isinstance(given, bool) and given > 0 and shape[dim] % given:
        raise ShapeError(
            mistake(name, "split_size_or_sections", given, f"a divisor of dimension {dim}, {shape[dim]}")
        )
    return tensor_split(input, given, dim)


@function()
def hsplit(input: Tensor, split_size_or_sections: int | Sequence[int]) -> Any:
    """A tuple of views along dimension 1 (of a vector 0): a number of equal pieces, or pieces cut at indices."""
    rank = len(arguments.tensor("hsplit", "input", input).shape)
    return _split("hsplit", input, split_size_or_sections, 0 if rank == 1 else 1, 1)


@function()
def vsplit(input: Tensor, split_size_or_sections: int | Sequence[int]) -> Any:
    """A tuple of views along dimension 0: a number of equal pieces, or pieces cut at indices; 2 dimensions or more."""
    return _split("vsplit", input, split_size_or_sections, 0, 2)


@function()
def dsplit(input: Tensor, split_size_or_sections: int | Sequence[int]) -> Any:
    """A tuple of views along dimension 2: a number of equal pieces, or pieces cut at indices; 3 dimensions or more."""
    return _split("dsplit", input, split_size_or_sections, 2, 3)
