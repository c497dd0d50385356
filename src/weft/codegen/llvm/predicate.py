"""Loads that only some lanes want: ``where(valid, b[where(valid, i, 0)], other)`` becomes a masked load of ``b[i]``.

Padding is written that way, so that every load stays in bounds. In lanes the safe index would make a gather of what
is one masked access. A load node with a second argument, its predicate, exists only between here and ``memory``.
"""

from __future__ import annotations

from dataclasses import replace

from weft.expr import Expr, transform
from weft.kernels import Part


def predicated(part: Part, points: bool) -> Part:
    """The part for lanes, with predicates in all that runs in them: folds and inner stores, and ``points`` too."""
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
    """Whether a ``where`` keeps a load exactly where the load's index is the one that is meant."""
    condition, load, _ = node.args
    if load.function != "load":
        return False
    index = load.args[0]
    return index.function == "where" and index.args[0] is condition
