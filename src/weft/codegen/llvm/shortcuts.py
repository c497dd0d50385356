"""Parts with and without the rare cases of their functions: ``sin`` of huge angles, ``pow`` of special values.

A function's shortcut is a condition and a shorter value where it holds. A loop asks the condition of a block of
elements and then runs through the block: by the shortcuts alone where it holds for all of them, else by both forms and
a choice. An element's value is the same either way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from weft import dtypes
from weft.expr import FUNCTIONS, Expr, substitute, transform, variable
from weft.expr.define import is_short, shortcut
from weft.kernels import Part

BLOCK: Final = 2048
"""Elements of which the conditions are asked together: few enough to stay in the first cache."""

CHEAP: Final = 64
"""Nodes of the conditions, functions written out, up to which asking first is worth it."""


def usual(part: Part) -> tuple[Expr, Part] | None:
    """The condition under which shortcuts are enough at a point, and the part with them alone; ``None`` without any."""
    stores, conditions = [], {}
    for store in part.stores:
        value, found = _shortened(store.value)
        stores.append(replace(store, value=value))
        conditions.update(dict.fromkeys(found))
    if not conditions:
        return None
    first, *rest = conditions
    together = first
    for condition in rest:
        together = Expr("and", (together, condition), dtypes.bool_)
    cheap = is_short([together], CHEAP, wide=True)
    return (together, replace(part, stores=tuple(stores))) if cheap else None


def _shortened(root: Expr) -> tuple[Expr, list[Expr]]:
    """An expression by shortcuts alone, and their conditions."""
    conditions: list[Expr] = []

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        function = FUNCTIONS.get(node.function)
        if function is None or function.shortcut is None or node.dtype is not dtypes.float32:
            return node.rebuild(args)
        given = {variable(name, arg.dtype): arg for name, arg in zip(function.parameters, args, strict=True)}
        condition, value = (substitute(part, given) for part in shortcut(function.name))
        conditions.append(condition)
        return value

    return transform(root, change), conditions
