"""Quantiles by sorting, ``msort``, and covariances."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.linear import matmul, swap_last
from weft.ops.reduce.sorting import SORT
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.table import lookup
from weft.ops.views.functions import diagonal, movedim
from weft.ops.views.movement import expand, reshape

ROUNDED = {"lower": "floor", "higher": "ceil", "nearest": "round"}
"""Interpolations that take a single element, with the function that rounds its rank."""


@function(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements along dimension 0 in ascending order."""
    x = arguments.tensor("msort", "input", input)
    return bind(SORT, x, dim=0, descending=False)[0]


def _points(name: str, x: Any, q: Any) -> Any:
    """Return the requested quantiles as a vector of the input's type."""
    if not is_tensor(q):
        if not 0 <= q <= 1:
            raise ArgumentError(mistake(name, "q", q, "in [0, 1]"))
        return bind(lookup("full"), float(q), shape=(1,), dtype=x.dtype, device=str(x.device))
    if len(q.shape) > 1:
        raise ShapeError(mistake(name, "q", f"{len(q.shape)}-dimensional", "a number, 0- or 1-dimensional"))
    if q.dtype is not x.dtype:
        raise DTypeError(mistake(name, "q's dtype", q.dtype.name, f"{x.dtype.name}, as the input's"))
    return q if q.shape else reshape(q, 1)


def _at_ranks(rows: Any, ranks: Any, interpolation: str) -> Any:
    """Return the elements of sorted rows (…, n) at ranks (…, q), interpolated where a rank is not an integer."""

    def taken(places: Any) -> Any:
        return bind(lookup("gather"), rows, to_dtype(places, dtypes.int64), dim=len(rows.shape) - 1)

    if interpolation in ROUNDED:
        return taken(bind(lookup(ROUNDED[interpolation]), ranks))
    below = bind(lookup("floor"), ranks)
    weight = 0.5 if interpolation == "midpoint" else bind(lookup("sub"), ranks, below)
    return bind(lookup("lerp"), taken(below), taken(bind(lookup("ceil"), ranks)), weight)


def _quantile(
    name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Any:
    x = arguments.tensor(name, "input", input)
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(mistake(name, "input's dtype", x.dtype.name, "float32 or float64"))
    if interpolation not in ("linear", "midpoint", *ROUNDED):
        expected = "'linear', 'lower', 'higher', 'midpoint' or 'nearest'"
        raise ArgumentError(mistake(name, "interpolation", repr(interpolation), expected))
    points, rank = _points(name, x, q), len(x.shape)
    place = None if dim is None else arguments.dimension(name, dim, rank)
    moved = reshape(x, math.prod(x.shape)) if place is None or not rank else movedim(x, place, -1)
    *lead, size = moved.shape
    if size == 0:
        raise ShapeError(
            mistake(name, "input", f"of shape {tuple(x.shape)}", "at least one element along dim")
        )
    last = len(lead)
    rows, _ = bind(SORT, moved, dim=last, descending=False)
    missing = bind(lookup("isnan"), rows)
    if skip:
        valid = bind(lookup("sum"), bind(lookup("bitwise_not"), missing), dims=(last,), keepdim=True)
        most = bind(lookup("clamp_min"), bind(lookup("sub"), to_dtype(valid, x.dtype), 1.0), 0.0)
        ranks = bind(lookup("mul"), most, points)
    else:  # a row with NaN gives its last element, which is NaN
        broken = bind(lookup("any"), missing, dims=(last,), keepdim=True)
        ranks = bind(lookup("where"), broken, float(size - 1), bind(lookup("mul"), points, float(size - 1)))
    ranks = expand(ranks, *lead, points.shape[0])
    quantiles = movedim(_at_ranks(rows, ranks, interpolation), -1, 0)
    kept = tuple(1 if place is None or at == place else n for at, n in enumerate(x.shape))
    shape = kept if keepdim else tuple(lead)
    several = is_tensor(q) and len(q.shape) == 1
    return reshape(quantiles, *((points.shape[0],) if several else ()), *shape)


@function(out=True)
def quantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the quantiles ``q``, in [0, 1], along ``dim`` or of all elements, as ``torch.quantile``.

    A vector ``q`` becomes the result's first dimension. ``interpolation`` between two elements is ``"linear"``,
    ``"lower"``, ``"higher"``, ``"midpoint"`` or ``"nearest"``. A row with NaN gives NaN. Types: float32 and float64.

    >>> import weft as wf
    >>> wf.quantile(wf.tensor([0.0, 1.0, 4.0]), 0.75)
    tensor(2.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@function(out=True)
def nanquantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return ``quantile`` of the elements that are not NaN; NaN for rows of NaN alone."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _weights(x: Any, name: str, value: Any, count: int) -> Any:
    """Return a weight for each column in the input's type, or ``None``."""
    if value is None:
        return None
    given = arguments.tensor("cov", name, value)
    if tuple(given.shape) != (count,):
        raise ShapeError(
            mistake("cov", f"{name}' shape", tuple(given.shape), f"({count},), one for each column")
        )
    return to_dtype(given, x.dtype)


@function(wide=True)
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Return the covariances of the rows of a matrix, as ``torch.cov``: (n, m) gives (n, n), a vector its variance.

    ``fweights`` are the columns' frequencies, ``aweights`` their weights. The sums are divided by the total weight
    less ``correction``.
    """
    x = arguments.tensor("cov", "input", input)
    rank = len(x.shape)
    if rank > 2:
        raise ShapeError(mistake("cov", "input", f"{rank}-dimensional", "at most 2-dimensional"))
    x = x if x.dtype.kind == "float" else to_dtype(x, dtypes.default_float())
    rows = x if rank == 2 else reshape(x, 1, math.prod(x.shape))
    count = rows.shape[1]
    frequencies = _weights(x, "fweights", fweights, count)
    importance = _weights(x, "aweights", aweights, count)
    mul, div, sub, total = lookup("mul"), lookup("div"), lookup("sub"), lookup("sum")
    whole: dict[str, Any] = {"dims": (0,), "keepdim": False}
    weights = frequencies if importance is None else importance
    if frequencies is not None and importance is not None:
        weights = bind(mul, frequencies, importance)
    if weights is None:
        mean = bind(lookup("mean"), rows, dims=(1,), keepdim=True)
        divisor: Any = float(max(count - correction, 0))
    else:
        sums = bind(total, weights, **whole)
        mean = bind(div, bind(total, bind(mul, rows, weights), dims=(1,), keepdim=True), sums)
        lost: Any = float(correction)
        if importance is not None:
            lost = bind(mul, bind(div, bind(total, bind(mul, weights, importance), **whole), sums), lost)
        divisor = bind(lookup("clamp_min"), bind(sub, sums, lost), 0.0)
    centered = bind(sub, rows, mean)
    weighted = centered if weights is None else bind(mul, centered, weights)
    covariances = bind(div, matmul(weighted, swap_last(centered)), divisor)
    return covariances if rank == 2 else reshape(covariances)


@function(wide=True)
def corrcoef(input: Tensor) -> Tensor:
    """Return the correlation coefficients of the rows of a matrix: (n, m) gives (n, n), in [-1, 1].

    >>> import weft as wf
    >>> wf.corrcoef(wf.tensor([[1.0, 2.0], [4.0, 3.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    covariances = cov(input)
    if not covariances.shape:
        return bind(lookup("div"), covariances, covariances)
    deviations = bind(lookup("sqrt"), diagonal(covariances))
    by_row = bind(lookup("div"), covariances, reshape(deviations, deviations.shape[0], 1))
    return bind(lookup("clamp"), bind(lookup("div"), by_row, deviations), -1.0, 1.0)
