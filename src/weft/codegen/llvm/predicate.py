"""Loads that only some lanes need: ``where(valid, b[where(valid, i, 0)], other)`` becomes a masked load of ``b[i]``.

Padding is written that way, so that every load stays in bounds. In lanes the safe index would turn one masked load
into a gather. Load nodes with a second argument, their predicate, exist only between this module and ``memory``.
"""

from __future__ import annotations

from dataclasses import replace

from weft.expr import Expr, transform
from weft.kernels import Part


def predicated(part: Part, points: bool) -> Part:
    """Return the part with predicates for what runs in lanes: folds, inner stores and, with ``points``, all stores."""
    return replace(
        part,
        reductions=tuple(replace(each, value=_masked(each.value)) for each in part.reductions),
        stores=tuple(
            replace(store, value=_masked(store.value)) if store.inner or points else store
            for store in part.stores
        ),
    )


def _masked(root: Expr) -> Expr:
    return transform(root, _predicated_load)


def _predicated_load(node: Expr, args: tuple[Expr, ...]) -> Expr:
    if node.function == "where" and _same_choice(node):
        condition, load, other = args
        (choice,) = load.args
        args = (condition, load.rebuild((choice.args[1], condition)), other)
    return node.rebuild(args)


def _same_choice(node: Expr) -> bool:
    """Return whether a ``where`` keeps a load under the same condition as the load's index keeps its true value."""
    condition, load, _ = node.args
    if load.function != "load":
        return False
    index = load.args[0]
    return index.function == "where" and index.args[0] is condition
