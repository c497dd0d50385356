"""What a merge costs: the size of expressions, how often they would be computed, and what nobody needs."""

from __future__ import annotations

from dataclasses import replace

from weft.expr import Expr, walk
from weft.expr.define import expand
from weft.graph.parts import folded, points
from weft.kernels import Part


def without(part: Part, dead: set[str]) -> Part:
    """A part without stores to some buffers, and without folds whose results nobody uses then."""
    stores = tuple(store for store in part.stores if store.buffer not in dead)
    used = [one for store in stores for one in (store.value, store.index)]
    used += [one for check in part.checks for one in (check.valid, check.value)]
    wanted = set(walk(*used))
    kept = []
    for fold in reversed(part.reductions):
        if fold.result in wanted:
            kept.append(fold)
            wanted |= set(walk(fold.value))
    inner = any(store.inner for store in stores) or any(check.inner for check in part.checks)
    axes = part.reduce_axes if kept or inner else ()
    return replace(part, stores=stores, reductions=tuple(reversed(kept)), reduce_axes=axes)


def cost(part: Part, value: str) -> int:
    """Nodes of the expression that is stored as ``value``, functions written out."""
    return sum(len(list(walk(expand(store.value)))) for store in part.stores if store.buffer == value)


def times(part: Part, value: str, elements: int) -> int:
    """How often each element would be computed if it were computed where it is read."""
    count = 0
    inside = points(part) * folded(part)
    folds = [fold.value for fold in part.reductions]
    for root in folds:
        count += _reads(root, value) * -(-inside // max(elements, 1))
    for inner in (True, False):
        values = [one for store in part.stores if store.inner == inner for one in (store.value,)]
        found = {
            node for root in values for node in walk(root) if node.function == "load" and node.data == value
        }
        count += len(found) * -(-(inside if inner else points(part)) // max(elements, 1))
    return count


def _reads(root: Expr, value: str) -> int:
    return sum(node.function == "load" and node.data == value for node in walk(root))
