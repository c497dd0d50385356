"""Values that one pass over a row stores in an output buffer for a later pass, instead of computing them twice.

Softmax folds ``exp(x - largest)`` and then stores a multiple of it. The fold stores each exponential at the place of
its result, and the last pass loads it from there. Rows may have any length, and no scratch memory is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from weft.expr import Expr, load, walk
from weft.expr.define import expand
from weft.kernels import Kernel, Part, Reduction, Store

COSTLY: Final = 24
"""Nodes of a value, functions expanded, from which a store and a load are faster than computing it again."""


@dataclass(frozen=True)
class Reused:
    """A value that pass ``group`` computes and stores where ``store`` will write its result."""

    value: Expr
    store: Store
    group: int

    @property
    def loaded(self) -> Expr:
        """The load by which later passes get the value."""
        return load(self.store.buffer, self.store.index, self.value.dtype)


def reused_values(kernel: Kernel, part: Part, groups: Sequence[Sequence[Reduction]]) -> list[Reused]:
    """Return a value for each inner store that can hold one: of the buffer's type, in a buffer without other uses."""
    inner = [store for store in part.stores if store.inner]
    if not inner:
        return []
    types = {buffer.name: buffer.dtype for buffer in kernel.buffers}
    used = [store.buffer for each in kernel.parts for store in each.stores]
    expressions = [root for each in kernel.parts for root in each.expressions]
    used += [node.data for node in walk(*expressions) if node.function == "load"]
    results = {reduction.result for reduction in part.reductions}
    found: list[Reused] = []
    taken: set[Expr] = set()
    for store in inner:
        fixed = all(node.function != "load" and node not in results for node in walk(store.index))
        if not fixed or used.count(store.buffer) != 1:
            continue
        for group, folds in enumerate(groups):
            later = [fold.value for other in groups[group + 1 :] for fold in other]
            again = set(walk(*later, *(each.value for each in inner)))
            shared = [node for node in walk(*(fold.value for fold in folds)) if node in again]
            good = [node for node in shared if node.dtype is types[store.buffer] and node not in taken]
            best = max(good, key=cost, default=None)
            if best is not None and cost(best) >= COSTLY:
                found.append(Reused(best, store, group))
                taken.update(walk(best))
                break
    return found


def cost(node: Expr) -> int:
    """Return the number of operations of a value, functions expanded."""
    return sum(1 for inner in walk(expand(node)) if inner.function not in ("const", "variable"))
