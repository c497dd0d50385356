"""Parts without the rare cases of their functions, such as ``sin`` of huge angles or ``pow`` of special values.

A function's shortcut is a condition and a shorter value where the condition holds. A loop evaluates the condition over
a block of elements. Where it holds for all, the block is computed by shortcuts alone, else by the full functions. An
element's value is the same either way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from weft import dtypes
from weft.expr import FUNCTIONS, Expr, substitute, transform, variable
from weft.expr.define import is_short, shortcut
from weft.kernels import Part

BLOCK: Final = 2048
"""Elements whose conditions are evaluated together: few enough to stay in the L1 cache."""

CHEAP: Final = 64
"""Nodes of the conditions, functions expanded, up to which evaluating them first pays off."""


def by_shortcuts(part: Part) -> tuple[Expr, Part] | None:
    """Return the condition under which shortcuts suffice and the part made of them, or ``None`` without shortcuts."""
    stores, conditions = [], {}
    for store in part.stores:
        value, found = _shortened(store.value)
        stores.append(replace(store, value=value))
        conditions.update(dict.fromkeys(found))
    if not conditions:
        return None
    first, *rest = conditions
    conjunction = first
    for condition in rest:
        conjunction = Expr("and", (conjunction, condition), dtypes.bool_)
    cheap = is_short([conjunction], CHEAP, wide=True)
    return (conjunction, replace(part, stores=tuple(stores))) if cheap else None


def _shortened(root: Expr) -> tuple[Expr, list[Expr]]:
    """Return an expression made of shortcuts, and their conditions."""
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
