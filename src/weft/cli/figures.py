"""Statistics of arrays, computed in pieces so that arrays may be larger than memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

PIECE = 1 << 20
"""Elements of a piece: some megabytes of float64."""
HEADINGS = ("min", "max", "mean", "std", "NaN")


def pieces(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Iterate over arrays of the same size in flat pieces of ``PIECE`` elements."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, len(flat[0]), PIECE):
        yield tuple(array[start : start + PIECE] for array in flat)


def numbers(array: Any) -> Any:
    """Return integers unchanged, booleans as 0 and 1, other numbers as float64; None for types without an order."""
    if array.dtype.kind == "b":
        return array.view(numpy.uint8)
    if array.dtype.kind in "iu" and array.dtype.names is None:
        return array
    if array.dtype.kind == "f" or array.dtype.isbuiltin == 2:  # ml_dtypes: bfloat16 and the float8s
        return array.astype(numpy.float64)
    return None


def figures(array: Any) -> tuple[str, ...]:
    """Return the least, the largest, the mean and the population standard deviation without NaNs, and the NaN count.

    >>> figures(numpy.array([1, 2, 3, numpy.nan]))
    ('1', '3', '2', '0.816497', '1')
    """
    count = nans = 0
    least: Any = math.inf
    largest: Any = -math.inf
    mean = squares = 0.0  # squares: the sum of squared distances from the mean
    for (piece,) in pieces(array):
        values = numbers(piece)
        if values is None:
            return ()
        if values.dtype.kind == "f":
            good = values[~numpy.isnan(values)]
            nans += len(values) - len(good)
            values = good
        if not len(values):
            continue
        least, largest = min(least, values.min().item()), max(largest, values.max().item())
        with numpy.errstate(
            invalid="ignore", over="ignore"
        ):  # the mean of infinite values is infinite or NaN
            wide = values.astype(numpy.float64)
            piece_mean = float(wide.mean())
            piece_squares = float(((wide - piece_mean) ** 2).sum())
            step = piece_mean - mean
            total = count + len(wide)
            # Chan, Golub, LeVeque (1983): combines the means and squares of two parts
            squares += piece_squares + step * step * count * len(wide) / total
            mean += step * len(wide) / total
        count = total
    if not count:
        return ("", "", "", "", f"{nans:,}") if nans else ()
    return (_text(least), _text(largest), _text(mean), _text(math.sqrt(squares / count)), f"{nans:,}")


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def differing(old: Any, new: Any) -> tuple[int, float]:
    """Return how many elements of two arrays of the same shape differ, and the largest absolute difference.

    The difference is NaN if it is unknown. NaN equals NaN, -0 equals 0. Arrays of different types are compared as
    numbers.

    >>> differing(numpy.array([1.0, 2.0, numpy.nan]), numpy.array([1.0, 2.5, numpy.nan]))
    (1, 0.5)
    """
    count, largest = 0, math.nan
    for first, second in pieces(old, new):
        a, b = numbers(first), numbers(second)
        if a is None or b is None:
            a, b = first, second
        unequal = a != b
        if a.dtype.kind in "fc" and b.dtype.kind in "fc":
            unequal &= ~(numpy.isnan(a) & numpy.isnan(b))
        if unequal.any():
            count += int(unequal.sum())
            largest = max(largest, _distance(a[unequal], b[unequal]), key=lambda size: (size == size, size))
    return count, largest if count else 0.0


def _distance(a: Any, b: Any) -> float:
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":  # exact, which float64 is not for large integers
        return float(numpy.abs(a.astype(object) - b.astype(object)).max())
    if a.dtype.kind not in "iufc" or b.dtype.kind not in "iufc":
        return math.nan
    with numpy.errstate(invalid="ignore", over="ignore"):
        distances = numpy.abs(a - b)
    distances = distances[~numpy.isnan(distances)]
    return float(distances.max()) if len(distances) else math.nan
