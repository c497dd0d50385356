"""``gradient``: the derivative of samples by central differences, one-sided at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, mistake
from weft.ops.index.indexing import cat
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.binders import add, div, mul, sub
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.table import lookup
from weft.ops.views.movement import narrow


def _difference(x: Any, dim: int, later: int, earlier: int, count: int) -> Any:
    """Return ``count`` elements from ``later`` on minus as many from ``earlier`` on."""
    return sub(narrow(x, dim, later, count), narrow(x, dim, earlier, count))


def _evenly_spaced(x: Any, dim: int, spacing: float, edge_order: int) -> Any:
    """Return the derivative of samples that are evenly spaced."""
    size = x.shape[dim]
    first, last = (_difference(x, dim, at + 1, at, 1) for at in (0, size - 2))
    if edge_order == 2:
        first, last = (
            div(sub(mul(near, 3), far), 2 * spacing)
            for near, far in (
                (first, _difference(x, dim, 2, 1, 1)),
                (last, _difference(x, dim, size - 2, size - 3, 1)),
            )
        )
    else:
        first, last = div(first, spacing), div(last, spacing)
    if size == 2:
        return cat([first, last], dim)
    inner = div(_difference(x, dim, 2, 0, size - 2), 2 * spacing)
    return cat([first, inner, last], dim)


def _at_points(x: Any, dim: int, points: Any, edge_order: int) -> Any:
    """Return the derivative of samples at the points of a vector.

    Between neighbours are the slopes s and the distances h. The derivative at an inner point is (h[1] s[0] + h[0] s[1])
    / (h[0] + h[1]). At the first point, to second order, it is ((2 h[0] + h[1]) s[0] - h[0] s[1]) / (h[0] + h[1]).
    """
    size = x.shape[dim]
    shape = tuple(size - 1 if at == dim else 1 for at in range(len(x.shape)))
    widths = bind(lookup("reshape"), _difference(points, 0, 1, 0, size - 1), shape=shape)
    slopes = div(_difference(x, dim, 1, 0, size - 1), widths)

    def parts(at: int, count: int) -> tuple[Any, Any]:
        return narrow(widths, dim, at, count), narrow(slopes, dim, at, count)

    def end(near: tuple[Any, Any], far: tuple[Any, Any]) -> Any:
        if edge_order == 1:
            return near[1]
        span = add(near[0], far[0])
        weighted = sub(mul(add(span, near[0]), near[1]), mul(near[0], far[1]))
        return div(weighted, span)

    if size == 2:
        return cat([slopes, slopes], dim)
    (before, falling), (after, rising) = parts(0, size - 2), parts(1, size - 2)
    weighted = add(mul(after, falling), mul(before, rising))
    inner = div(weighted, add(before, after))
    ends = end(parts(0, 1), parts(1, 1)), end(parts(size - 2, 1), parts(size - 3, 1))
    return cat([ends[0], inner, ends[1]], dim)


def _spacings(spacing: Any, dims: Sequence[int]) -> list[Any]:
    """Return the spacing of each dimension: a number, or a vector of points."""
    several = isinstance(spacing, list | tuple)
    given = list(spacing) if several else [spacing] * len(dims)
    if len(given) != len(dims):
        raise ArgumentError(
            mistake("gradient", "spacing", f"{len(given)} parts", f"one for each of {len(dims)} dimensions")
        )
    spacings = []
    for value in given:
        number = value.item() if is_tensor(value) and not value.shape else value
        if isinstance(number, bool) or not (isinstance(number, int | float) or is_tensor(number)):
            raise ArgumentTypeError(
                mistake(
                    "gradient", "spacing", type(value).__name__, "a number, or a list of numbers or vectors"
                )
            )
        spacings.append(number)
    return spacings


@function(method=False, wide=True)
def gradient(input: Tensor, *, spacing: Any = 1, dim: Dims = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Return the derivatives of samples along each dimension, or along ``dim``, as ``torch.gradient``.

    Each derivative has the input's shape: inner points by central differences of second order, ends by one-sided
    differences of ``edge_order`` 1 or 2. ``spacing`` is the distance of the samples, or a list with a distance or a
    vector of points for each dimension.

    >>> import weft as wf
    >>> wf.gradient(wf.tensor([0.0, 1.0, 4.0, 9.0]))
    (tensor([1., 2., 4., 5.]),)
    """
    x = arguments.tensor("gradient", "input", input)
    if x.dtype in (dtypes.uint8, dtypes.bool_):
        raise DTypeError(
            mistake("gradient", "input's dtype", x.dtype.name, "floating point or signed integers")
        )
    order = arguments.integer("gradient", "edge_order", edge_order)
    if order not in (1, 2):
        raise ArgumentError(mistake("gradient", "edge_order", edge_order, "1 or 2"))
    rank = len(x.shape)
    given = range(rank) if dim is None else dim if isinstance(dim, Sequence) else (dim,)
    dims = [arguments.dimension("gradient", axis, rank) for axis in given]
    if len(set(dims)) != len(dims):
        raise ShapeError(mistake("gradient", "dim", dim, "distinct dimensions"))
    if any(not rank or x.shape[place] <= order for place in dims):
        raise ShapeError(
            mistake(
                "gradient",
                "input",
                f"of shape {tuple(x.shape)}",
                f"at least {order + 1} samples along each dim",
            )
        )
    results = []
    for place, step in zip(dims, _spacings(spacing, dims), strict=True):
        if not is_tensor(step):
            results.append(_evenly_spaced(x, place, float(step), order))
            continue
        if tuple(step.shape) != (x.shape[place],):
            raise ShapeError(
                mistake("gradient", "spacing", f"points of shape {tuple(step.shape)}", f"({x.shape[place]},)")
            )
        results.append(_at_points(x, place, step, order))
    return tuple(results)
