"""How many floating point operations a kernel's dispatch does, for reports: a product of two numbers counts one.

Each function of an expression counts one as well, ``exp`` as ``+``; loads, casts, choices and indices count nothing.
What a library kernel does follows from its parameters, a row of ``LIBRARY`` each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from weft.expr import Expr
from weft.graph.parts import folded, points
from weft.kernels import Kernel, Library, Part
from weft.target import KernelSpec

FREE = frozenset(("load", "const", "variable", "cast", "where"))


def _product(given: Sequence[int]) -> int:
    return 2 * math.prod(given[:5])


def _matvec(given: Sequence[int]) -> int:
    return 2 * math.prod(given[:4])


def _convolution(given: Sequence[int]) -> int:
    n, c, _, _, o, kh, kw, oh, ow = given[:9]
    groups = given[15]
    return 2 * n * o * oh * ow * (c // max(1, groups)) * kh * kw


def _scan(given: Sequence[int]) -> int:
    return math.prod(given[:3])


LIBRARY: dict[str, Callable[[Sequence[int]], int]] = {
    "matmul": _product, "matvec": _matvec, "conv2d": _convolution, "scan": _scan,
}  # fmt: skip
"""Operations of a library kernel, by its arguments; what is not here sorts or moves, and counts nothing."""


def operations(kernel: Kernel | Library | KernelSpec, arguments: Sequence[int | float]) -> int:
    """Floating point operations of one dispatch; 0 for a kernel of the user's, of which nothing is known."""
    if isinstance(kernel, Kernel):
        return sum(_part(part) for part in kernel.parts)
    if isinstance(kernel, KernelSpec):
        return 0
    rule = LIBRARY.get(kernel.name)
    own = 0 if rule is None else rule([int(one) for one in arguments])
    return own + (0 if kernel.epilogue is None else _part(kernel.epilogue.part))


def _part(part: Part) -> int:
    outside = [store.value for store in part.stores if not store.inner]
    inside = [store.value for store in part.stores if store.inner] + [fold.value for fold in part.reductions]
    folds = sum(fold.value.dtype.kind == "float" for fold in part.reductions)
    return points(part) * (_count(outside) + folded(part) * (_count(inside) + folds))


def _count(roots: Sequence[Expr]) -> int:
    """Functions of the floating point values, each once; what chooses an element to load is left out."""
    found: set[Expr] = set()
    left = list(roots)
    while left:
        node = left.pop()
        if node in found or node.function == "load":
            continue
        found.add(node)
        left += node.args
    return sum(node.dtype.kind == "float" and node.function not in FREE for node in found)
