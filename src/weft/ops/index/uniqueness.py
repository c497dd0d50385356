"""Distinct elements and membership: ``unique``, ``unique_consecutive``, ``isin``, by sorting."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from weft import dtypes
from weft.errors import ArgumentTypeError, mistake
from weft.ops.index.nonzero import nonzero
from weft.ops.index.rows import index_select
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.expressions import promoted
from weft.ops.reduce.searching import searchsorted
from weft.ops.reduce.sorting import SORT, UNSORT
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.spec import TensorType
from weft.ops.registry.table import lookup
from weft.ops.views.functions import movedim
from weft.ops.views.movement import narrow, reshape
from weft.ops.views.ops import positions


class Groups(NamedTuple):
    """Runs of equal elements: the start of each run, the run of each element, and the length of each run."""

    starts: Any
    ranks: Any
    counts: Any


def _grouped(rows: Any) -> Groups:
    """Return the runs of equal rows of a matrix (n, m), or of equal elements of a vector."""
    count = rows.shape[0]
    if count == 0:
        return Groups(*(positions(rows, (0,)) for _ in range(3)))
    differs = bind(lookup("ne"), narrow(rows, 0, 1, count - 1), narrow(rows, 0, 0, count - 1))
    if len(rows.shape) > 1:
        differs = bind(lookup("any"), differs, dims=(1,), keepdim=False)
    first = bind(lookup("full"), True, shape=(1,), dtype=dtypes.bool_, device=str(rows.device))
    begins = bind(lookup("cat"), first, differs, dim=0)
    ranks = bind(lookup("cumsum"), to_dtype(begins, dtypes.int64), dim=0, reverse=False)
    starts = reshape(nonzero(begins), -1)
    end = bind(lookup("full"), count, shape=(1,), dtype=dtypes.int64, device=str(rows.device))
    ends = bind(lookup("cat"), narrow(starts, 0, 1, starts.shape[0] - 1), end, dim=0)
    return Groups(starts, bind(lookup("sub"), ranks, 1), bind(lookup("sub"), ends, starts))


def _row_order(rows: Any) -> Any:
    """Return the lexicographic order of a matrix's rows, by a stable sort of each column from the last to the first."""
    order = positions(rows, (rows.shape[0],))
    for column in range(rows.shape[1] - 1, -1, -1):
        keys = index_select(reshape(narrow(rows, 1, column, 1), rows.shape[0]), 0, order)
        _, moved = bind(SORT, keys, dim=0, descending=False)
        order = index_select(order, 0, moved)
    return order


def _distinct(name: str, input: Any, dim: int | None, sort: bool, inverse: bool, counts: bool) -> Any:
    x = arguments.tensor(name, "input", input)
    if dim is None:
        rows, order = reshape(x, math.prod(x.shape)), None
        if sort:
            rows, order = bind(SORT, rows, dim=0, descending=False)
        groups = _grouped(rows)
        values = index_select(rows, 0, groups.starts)
    else:
        place = arguments.dimension(name, dim, len(x.shape))
        source = x if x.shape else reshape(x, 1)
        count = source.shape[place]
        rows = reshape(movedim(source, place, 0), count, math.prod(source.shape) // max(count, 1))
        order = _row_order(rows) if sort else None
        groups = _grouped(rows if order is None else index_select(rows, 0, order))
        values = index_select(
            source, place, groups.starts if order is None else index_select(order, 0, groups.starts)
        )
    found = [values]
    if inverse:
        own = groups.ranks if order is None else bind(UNSORT, groups.ranks, order, dim=0)
        found.append(reshape(own, *x.shape) if dim is None else own)
    if counts:
        found.append(groups.counts)
    return found[0] if len(found) == 1 else tuple(found)


@function()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order, or the distinct slices along ``dim``; always sorted.

    ``return_inverse`` adds the index of each element among the distinct elements, ``return_counts`` the count of each
    distinct element. Their number is read from the device. NaN is not equal to NaN.

    >>> import weft as wf
    >>> wf.unique(wf.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _distinct("unique", input, dim, True, return_inverse, return_counts)


@function()
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or the slices along ``dim``, that differ from their predecessor; arguments as of ``unique``."""
    return _distinct("unique_consecutive", input, dim, False, return_inverse, return_counts)


@function(method=False, out=True)
def isin(
    elements: Tensor | float,
    test_elements: Tensor | float,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """Whether each of ``elements`` is among ``test_elements``, or is not with ``invert``; either may be a number."""
    given: list[Any] = [elements, test_elements]
    tensors: list[Any] = [value for value in given if is_tensor(value)]
    if not tensors:
        raise ArgumentTypeError(
            mistake("isin", "elements and test_elements", "numbers", "at least one tensor")
        )
    types = [
        TensorType(tuple(value.shape), value.dtype)
        if is_tensor(value)
        else TensorType((), dtypes.of_scalar(value), True)
        for value in given
    ]
    dtype, device = promoted(types), str(tensors[0].device)
    own, others = (
        to_dtype(value, dtype)
        if is_tensor(value)
        else bind(lookup("full"), value, shape=(), dtype=dtype, device=device)
        for value in given
    )
    size = math.prod(others.shape)
    if size == 0:
        return bind(lookup("full"), invert, shape=tuple(own.shape), dtype=dtypes.bool_, device=device)
    rows, _ = bind(SORT, reshape(others, size), dim=0, descending=False)
    places = bind(lookup("minimum"), searchsorted(rows, own), size - 1)
    found = reshape(index_select(rows, 0, reshape(places, math.prod(own.shape))), *own.shape)
    return bind(lookup("ne" if invert else "eq"), own, found)
