"""How a part is vectorised: the axis of its lanes, and whether memory or arithmetic bounds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from weft.codegen.llvm.memory import stride
from weft.codegen.llvm.predicate import predicated
from weft.expr import Expr, walk
from weft.expr.define import is_short
from weft.kernels import Axis, Part, Reduction

LIGHT: Final = 16
"""Nodes of an expression, indices included, up to which vectors of ``WIDE`` lanes fold it."""

STREAMED: Final = 32
"""Nodes of the stored values, functions expanded, up to which a loop is bound by memory."""


def lanes_of(part: Part) -> tuple[Axis | None, Axis | None, bool]:
    """Return the innermost reduction axis or the last axis, as the axis of the lanes, and whether loads must gather."""
    if any(check.inner for check in part.checks):
        return None, None, False
    last = part.axes[-1] if part.axes and not part.checks else None
    masked = predicated(part, points=True)
    if not part.reductions:
        # LLVM does better by itself, except with padding: it sees gathers where there are masked rows
        indices = _loads(store.value for store in masked.stores)
        padded = last is not None and masked != part and _contiguous(indices, last)
        return None, last if padded else None, False
    loads = _loads(reduction.value for reduction in masked.reductions)
    if part.reduce_axes and _contiguous(loads, part.reduce_axes[-1]):
        return part.reduce_axes[-1], None, False
    return None, last, last is not None and not _contiguous(loads, last)


def is_light(part: Part) -> bool:
    """Return whether a part is bound by memory, not by arithmetic."""
    values = [*(store.value for store in part.stores), *(fold.value for fold in part.reductions)]
    return is_short(values, STREAMED)


def folds_wide(folds: Sequence[Reduction]) -> bool:
    """Return whether four vectors of the folds' values fit in a processor's registers."""
    extremes = any(fold.combine in ("argmax", "argmin") for fold in folds)
    return not extremes and len(folds) == 1 and len(list(walk(folds[0].value))) <= LIGHT


def _loads(values: Iterable[Expr]) -> list[Expr]:
    """Return the indices of all loads."""
    return [node.args[0] for value in values for node in walk(value) if node.function == "load"]


def _contiguous(indices: Sequence[Expr], axis: Axis) -> bool:
    """Return whether every index has stride 0 or 1 along an axis, and some index stride 1."""
    moves = [stride(index, axis.variable) for index in indices]
    return 1 in moves and None not in moves
