"""Figures on arrays of any size, taken a piece at a time, so that files larger than memory are no matter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

PIECE = 1 << 20
"""Elements that are looked at together: some megabytes of float64."""
HEADINGS = ("min", "max", "mean", "std", "NaN")


def pieces(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Arrays of one size as flat pieces of so many elements."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, len(flat[0]), PIECE):
        yield tuple(one[start : start + PIECE] for one in flat)


def numbers(array: Any) -> Any:
    """Integers as they are, booleans as 0 and 1, other numbers as float64; None for what has no order."""
    if array.dtype.kind == "b":
        return array.view(numpy.uint8)
    if array.dtype.kind in "iu" and array.dtype.names is None:
        return array
    if array.dtype.kind == "f" or array.dtype.isbuiltin == 2:  # ml_dtypes: bfloat16 and the float8s
        return array.astype(numpy.float64)
    return None


def figures(array: Any) -> tuple[str, ...]:
    """Least, largest, mean and standard deviation (of the whole, not of a sample) of what is no NaN, and the NaNs.

    >>> figures(numpy.array([1, 2, 3, numpy.nan]))
    ('1', '3', '2', '0.816497', '1')
    """
    count = nans = 0
    least: Any = math.inf
    largest: Any = -math.inf
    mean = squares = 0.0  # squares: of the distances from the mean
    for (piece,) in pieces(array):
        found = numbers(piece)
        if found is None:
            return ()
        if found.dtype.kind == "f":
            good = found[~numpy.isnan(found)]
            nans += len(found) - len(good)
            found = good
        if not len(found):
            continue
        least, largest = min(least, found.min().item()), max(largest, found.max().item())
        with numpy.errstate(invalid="ignore", over="ignore"):  # infinite values have an infinite mean or none
            wide = found.astype(numpy.float64)
            own = float(wide.mean())
            apart = float(((wide - own) ** 2).sum())
            step = own - mean
            total = count + len(wide)
            # Chan, Golub, LeVeque (1983): two parts' means and squares make those of the whole
            squares += apart + step * step * count * len(wide) / total
            mean += step * len(wide) / total
        count = total
    if not count:
        return ("", "", "", "", f"{nans:,}") if nans else ()
    return (_text(least), _text(largest), _text(mean), _text(math.sqrt(squares / count)), f"{nans:,}")


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def differing(one: Any, other: Any) -> tuple[int, float]:
    """How many elements of two arrays of one shape differ, and the largest absolute difference (NaN where unknown).

    NaN equals NaN, -0 equals 0. Elements of two types are compared as numbers.

    >>> differing(numpy.array([1.0, 2.0, numpy.nan]), numpy.array([1.0, 2.5, numpy.nan]))
    (1, 0.5)
    """
    count, largest = 0, math.nan
    for first, second in pieces(one, other):
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
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":  # exact, where float64 is not
        return float(numpy.abs(a.astype(object) - b.astype(object)).max())
    if a.dtype.kind not in "iufc" or b.dtype.kind not in "iufc":
        return math.nan
    with numpy.errstate(invalid="ignore", over="ignore"):
        apart = numpy.abs(a - b)
    apart = apart[~numpy.isnan(apart)]
    return float(apart.max()) if len(apart) else math.nan
