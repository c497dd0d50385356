"""The costs of a merge: the size of expressions and how often they would be recomputed; and removal of dead stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.expr import Expr, walk
from weft.expr.define import is_short
from weft.expr.node import leaf
from weft.graph.rewriting.parts import folded, known_plain, points
from weft.kernels import Part


def without(part: Part, dead: set[str]) -> Part:
    """Return a part without stores to dead buffers, and without reductions whose results are then unused."""
    left = replace(part, stores=tuple(store for store in part.stores if store.buffer not in dead))
    if not part.reductions:
        left = left if _visits_all(left) or not part.reduce_axes else replace(left, reduce_axes=())
    elif not {fold.result for fold in part.reductions} <= set(left.nodes):
        left = _without_folds(left)
    return known_plain(left) if part.is_plain else left


def _without_folds(part: Part) -> Part:
    """Return a part without reductions whose results are unused."""
    used = [root for store in part.stores for root in (store.value, store.index)]
    used += [root for check in part.checks for root in (check.valid, check.value)]
    wanted = set(walk(*used))
    kept = []
    for fold in reversed(part.reductions):
        if fold.result in wanted:
            kept.append(fold)
            wanted |= set(walk(fold.value))
    axes = part.reduce_axes if kept or _visits_all(part) else ()
    return replace(part, reductions=tuple(reversed(kept)), reduce_axes=axes)


def _visits_all(part: Part) -> bool:
    """Return whether a part stores or checks at every point of the reduction axes."""
    return any(store.inner for store in part.stores) or any(check.inner for check in part.checks)


def is_cheap(part: Part, value: str, most: int) -> bool:
    """Return whether the expression stored as ``value`` has at most ``most`` nodes, with its functions inlined."""
    return is_short((store.value for store in part.stores if store.buffer == value), most)


def times(part: Part, value: str, elements: int) -> int:
    """Return how often each element of a value would be computed, were it computed where the part reads it."""
    nodes = part.loads.get(value)
    if not nodes:
        return 0
    count = 0
    inside = points(part) * folded(part)
    for fold in part.reductions:
        count += len(_reached(nodes, [fold.value])) * -(-inside // max(elements, 1))
    for inner in (True, False):
        values = [store.value for store in part.stores if store.inner == inner]
        count += len(_reached(nodes, values)) * -(-(inside if inner else points(part)) // max(elements, 1))
    return count


def _reached(nodes: Sequence[Expr], roots: Sequence[Expr]) -> set[Expr]:
    """Return the load nodes of a buffer that occur under some roots."""
    bit = leaf(nodes[0].data)
    return set(nodes).intersection(walk(*(root for root in roots if root.leaves & bit)))
