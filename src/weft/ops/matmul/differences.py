"""Differences of neighbours and integrals of samples: ``diff``, ``trapezoid``, ``cumulative_trapezoid``."""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.index.indexing import cat
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import alias, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import narrow


def _neighbours(op: str, value: Any, dim: int) -> Any:
    """Apply ``op`` to each element and its predecessor along a dimension."""
    count = value.shape[dim] - 1
    return bind(lookup(op), narrow(value, dim, 1, count), narrow(value, dim, 0, count))


@function(out=True)
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Return the differences of neighbours along ``dim``, taken ``n`` times, as ``torch.diff``.

    A size n along ``dim`` becomes ``size - n``. For bool the result says whether neighbours differ. ``prepend`` and
    ``append`` are concatenated with the input first.

    >>> import weft as wf
    >>> wf.diff(wf.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    x = arguments.tensor("diff", "input", input)
    if not x.shape:
        raise ShapeError("diff: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("diff", dim, len(x.shape))
    times = arguments.integer("diff", "n", n)
    if times < 0:
        raise ArgumentError(mistake("diff", "n", times, "0 or more"))
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = cat(parts, place)
    elif times == 0:
        return bind(lookup("copy"), x)
    if times >= x.shape[place]:
        return bind(lookup("copy"), narrow(x, place, 0, 0))
    for _ in range(times):
        x = _neighbours("logical_xor" if x.dtype is dtypes.bool_ else "sub", x, place)
    return x


def _areas(name: str, y: Any, x: Any, dx: float | None, dim: int) -> tuple[Any, int]:
    """Return the area under each pair of neighbours, and the dimension as a non-negative number."""
    values = arguments.tensor(name, "y", y)
    if x is not None and dx is not None:
        raise ArgumentError(mistake(name, "x and dx", "both", "one of them"))
    place = arguments.dimension(name, dim, len(values.shape))
    if not values.shape:
        raise ShapeError(f"{name}: y is 0-dimensional, expected at least 1 dimension")
    if values.shape[place] == 0:
        values = narrow(values, place, 0, 0)
        return bind(lookup("div"), values, 2.0), place
    sums = _neighbours("add", values, place)
    if x is None:
        return bind(lookup("mul"), sums, (1.0 if dx is None else dx) / 2.0), place
    points = arguments.tensor(name, "x", x)
    if len(points.shape) == 1:  # the points are shared by all rows
        widths = _neighbours("sub", points, 0)
        shape = [1] * len(values.shape)
        shape[place] = widths.shape[0]
        widths = bind(lookup("reshape"), widths, shape=tuple(shape))
    else:
        widths = _neighbours("sub", points, arguments.dimension(name, dim, len(points.shape)))
    return bind(lookup("div"), bind(lookup("mul"), sums, widths), 2.0), place


@function(method=False, wide=True)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Return the integral along ``dim`` by the trapezoidal rule, as ``torch.trapezoid``.

    The samples ``y`` lie at points ``x``, or at distances ``dx``, 1 by default; the result lacks the dimension ``dim``.

    >>> import weft as wf
    >>> wf.trapezoid(wf.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    areas, place = _areas("trapezoid", y, x, dx, dim)
    return bind(lookup("sum"), areas, dims=(place,), keepdim=False)


alias("trapz", "trapezoid")


@function(method=False, wide=True)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1
) -> Tensor:
    """Return the integral up to each point along ``dim`` by the trapezoidal rule: one element fewer than ``y``.

    >>> import weft as wf
    >>> wf.cumulative_trapezoid(wf.tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    areas, place = _areas("cumulative_trapezoid", y, x, dx, dim)
    return bind(lookup("cumsum"), areas, dim=place, reverse=False)
