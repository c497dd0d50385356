"""What folds are on every target: which share a pass, what an empty one holds, where rounding shows, positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr, const, variables
from weft.expr.node import INDEX
from weft.kernels import Axis, Reduction


def passes(reductions: Sequence[Reduction]) -> list[list[Reduction]]:
    """Group reductions so that none needs the result of another in its group: each group is one pass.

    A reduction is in the first pass in which all results that it needs are known.
    """
    groups: list[list[Reduction]] = []
    number: dict[Expr, int] = {}
    for reduction in reductions:
        needed = [number[name] for name in variables(reduction.value) if name in number]
        place = number[reduction.result] = max(needed, default=-1) + 1
        if place == len(groups):
            groups.append([])
        groups[place].append(reduction)
    return groups


def rounds(reduction: Reduction) -> bool:
    """Return whether the order of a fold shows in its result, so that long folds are done in blocks."""
    return reduction.combine in ("sum", "prod") and reduction.value.dtype.kind == "float"


def identity(combine: str, dtype: DType) -> bool | int | float:
    """Return the value of a fold over nothing; raise ``KernelError`` for a type that the fold does not take."""
    logical = combine in ("any", "all")
    if logical != (dtype.kind == "bool"):
        expected = "bool; compare with 0" if logical else "a number; cast it"
        raise KernelError(f"reduction {combine}: value is {dtype.name}, expected {expected}")
    if logical:
        return combine == "all"
    if combine in ("sum", "prod"):
        return 1 if combine == "prod" else 0
    lowest = combine in ("max", "argmax", "largest")
    if dtype.kind == "float":
        return -math.inf if lowest else math.inf
    signed = dtype.kind == "int"
    if lowest:
        return -(1 << (dtype.bits - 1)) if signed else 0
    return (1 << (dtype.bits - signed)) - 1


def position(axes: Sequence[Axis]) -> Expr:
    """Return the row-major position of a point of reduction axes, which argmax and argmin give."""
    if not axes:
        return const(0, INDEX)
    first, *others = axes
    place = first.variable
    for axis in others:
        place = place * axis.size + axis.variable
    return place
