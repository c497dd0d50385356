"""Values that wait in an output from one pass over a row to the next, where computing them again would cost more.

Softmax folds ``exp(x - largest)`` and then stores a multiple of it. The fold leaves each exponential where the result
will be, and the store, which comes last, takes it from there: rows of any length, and no memory of the kernel's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from weft.expr import Expr, load, walk
from weft.expr.define import expand
from weft.kernels import Kernel, Part, Reduction, Store

DEAR: Final = 24
"""Nodes of a value, functions written out, from which a store and a load take less time than computing it again."""


@dataclass(frozen=True)
class Held:
    """A value that pass number ``group`` computes and leaves where ``store`` will write."""

    value: Expr
    store: Store
    group: int

    @property
    def kept(self) -> Expr:
        """The value as later passes find it."""
        return load(self.store.buffer, self.store.index, self.value.dtype)


def held(kernel: Kernel, part: Part, groups: Sequence[Sequence[Reduction]]) -> list[Held]:
    """What each inner store can keep: a value of the buffer's own type, in a buffer that nothing else uses."""
    inner = [store for store in part.stores if store.inner]
    if not inner:
        return []
    types = {buffer.name: buffer.dtype for buffer in kernel.buffers}
    used = [store.buffer for each in kernel.parts for store in each.stores]
    expressions = [root for each in kernel.parts for root in each.expressions]
    used += [node.data for node in walk(*expressions) if node.function == "load"]
    results = {reduction.result for reduction in part.reductions}
    found: list[Held] = []
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
            if best is not None and cost(best) >= DEAR:
                found.append(Held(best, store, group))
                taken.update(walk(best))
                break
    return found


def cost(node: Expr) -> int:
    """Operations that computing a value takes, functions written out."""
    return sum(1 for each in walk(expand(node)) if each.function not in ("const", "variable"))
