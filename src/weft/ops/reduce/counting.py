"""``histc``, ``mode``, ``combinations``, and ``pdist``, the distances of all pairs of rows."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.reduce.norms import vector_norm_of
from weft.ops.reduce.sorting import Sorted
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup

MOST_BINS = 2**26


def _positions(count: int, like: Any) -> Any:
    return bind(lookup("arange"), 0, 1, count=count, dtype=dtypes.int64, device=str(like.device))


def _column(value: Any) -> Any:
    return bind(lookup("reshape"), value, shape=(*value.shape, 1))


@function(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """The histogram of the elements over ``bins`` bins of equal width in [min, max]; the last bin includes its end.

    Where ``min`` equals ``max`` the limits are the smallest and the largest element; where these are equal too, the
    limits are 1 below and 1 above. Elements outside of the limits, and NaN, are not counted.

    >>> import weft as wf
    >>> wf.histc(wf.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    x = arguments.tensor("histc", "input", input)
    arguments.floating("histc", "input", x.dtype)
    count = arguments.integer("histc", "bins", bins)
    if not 1 <= count <= MOST_BINS:
        raise ArgumentError(mistake("histc", "bins", bins, f"from 1 to {MOST_BINS}"))
    if not (math.isfinite(min) and math.isfinite(max) and min <= max):
        raise ArgumentError(mistake("histc", "min and max", f"{min} and {max}", "finite numbers in order"))
    flat = bind(lookup("reshape"), to_dtype(x, x.dtype.compute), shape=(math.prod(x.shape),))
    where, sub, zeros = lookup("where"), lookup("sub"), bind(
        lookup("full"), 0, shape=(count,), dtype=flat.dtype, device=str(x.device)
    )  # fmt: skip
    if not flat.shape[0]:
        return to_dtype(zeros, x.dtype)
    low, high = float(min), float(max)
    if min == max:
        low, high = (bind(lookup(op), flat, dims=(0,), keepdim=False) for op in ("amin", "amax"))
        same = bind(lookup("eq"), low, high)
        low, high = (
            bind(where, same, bind(sub, low, 1.0), low),
            bind(where, same, bind(lookup("add"), high, 1.0), high),
        )
        width = bind(sub, high, low)
    else:
        width = high - low
    share = bind(lookup("div"), bind(lookup("mul"), bind(sub, flat, low), float(count)), width)
    within = bind(lookup("logical_and"), bind(lookup("ge"), flat, low), bind(lookup("le"), flat, high))
    bounded = bind(lookup("minimum"), bind(where, within, share, 0.0), float(count - 1))
    place = to_dtype(bounded, dtypes.int64)
    found = FUNCTIONS["scatter_add"].function(zeros, 0, place, to_dtype(within, flat.dtype))
    return to_dtype(found, x.dtype)


@function(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent element along ``dim``, and its last index: ``(values, indices)``; of several, the smallest.

    All pairs of elements are compared: time and memory are quadratic in the size of the dimension.
    """
    x = arguments.tensor("mode", "input", input)
    place = arguments.dimension("mode", dim, len(x.shape))
    if not x.shape:
        return Sorted(bind(lookup("copy"), x), _scalar_zero(x))
    size = x.shape[place]
    if not size:
        raise ShapeError(
            mistake("mode", "input's shape", tuple(x.shape), f"a dimension {place} that is not empty")
        )
    rows = FUNCTIONS["movedim"].function(x, place, -1)
    values = FUNCTIONS["sort"].function(rows, -1)[0]
    equal = bind(
        lookup("eq"), _column(values), bind(lookup("reshape"), values, shape=(*values.shape[:-1], 1, size))
    )
    counts = bind(lookup("sum"), to_dtype(equal, dtypes.int32), dims=(len(values.shape),), keepdim=False)
    first = FUNCTIONS["argmax"].function(counts, -1, True)
    found = FUNCTIONS["gather"].function(values, -1, first)
    here = bind(lookup("mul"), to_dtype(bind(lookup("eq"), rows, found), dtypes.int64), _positions(size, x))
    last = bind(lookup("amax"), here, dims=(len(rows.shape) - 1,), keepdim=True)
    made = (FUNCTIONS["gather"].function(rows, -1, last), last)
    if keepdim:
        return Sorted(*(FUNCTIONS["movedim"].function(part, -1, place) for part in made))
    shape = tuple(rows.shape[:-1])
    return Sorted(*(bind(lookup("reshape"), part, shape=shape) for part in made))


def _scalar_zero(like: Any) -> Any:
    return bind(lookup("full"), 0, shape=(), dtype=dtypes.int64, device=str(like.device))


MOST_CHOSEN = 8
"""The largest ``r`` of ``combinations``, which are found among all ``n ** r`` tuples."""


@function(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of ``r`` elements of a vector, in their order: (n) gives (m, r).

    >>> import weft as wf
    >>> wf.combinations(wf.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    x = arguments.tensor("combinations", "input", input, 1)
    count = arguments.integer("combinations", "r", r)
    if not 0 <= count <= MOST_CHOSEN:
        raise ArgumentError(mistake("combinations", "r", r, f"from 0 to {MOST_CHOSEN}"))
    size = x.shape[0]
    if count == 0 or not size:
        return bind(
            lookup("full"), 0, shape=(0, count) if count else (0,), dtype=x.dtype, device=str(x.device)
        )
    order, kept = lookup("le" if with_replacement else "lt"), None
    places = _positions(size, x)
    for at in range(count - 1):
        shapes = [tuple(size if axis == d else 1 for axis in range(count)) for d in (at, at + 1)]
        pair = bind(order, *(bind(lookup("reshape"), places, shape=shape) for shape in shapes))
        kept = pair if kept is None else bind(lookup("logical_and"), kept, pair)
    if kept is None:
        return bind(lookup("copy"), _column(x))
    kept = bind(lookup("expand"), kept, shape=(size,) * count)
    found = FUNCTIONS["nonzero"].function(kept)
    flat = bind(lookup("reshape"), found, shape=(math.prod(found.shape),))
    chosen = FUNCTIONS["index_select"].function(x, 0, flat)
    return bind(lookup("reshape"), chosen, shape=tuple(found.shape))


@function(functional=True, method=False, autocast="float32", wide=True)
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows: (n, m) gives (n (n - 1) / 2), as ``torch.pdist``."""
    x = arguments.tensor("pdist", "input", input, 2)
    arguments.floating("pdist", "input", x.dtype)
    if isinstance(p, bool) or not p >= 0:
        raise ArgumentError(mistake("pdist", "p", p, "0 or more, or inf"))
    pairs = combinations(_positions(x.shape[0], x))
    first, second = (
        FUNCTIONS["index_select"].function(x, 0, FUNCTIONS["select"].function(pairs, 1, at)) for at in (0, 1)
    )
    return vector_norm_of(bind(lookup("sub"), first, second), float(p), (1,))
