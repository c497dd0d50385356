"""How many floating point operations a kernel's dispatch does, for reports: a product of two numbers counts one.

Each function of an expression counts one as well, ``exp`` as ``+``; loads, casts, choices and indices count nothing.
What a library kernel does follows from its parameters, a row of ``LIBRARY`` each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from weft.expr import Expr
from weft.graph.rewriting.parts import folded, points
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


def _nothing(given: Sequence[int]) -> int:
    return 0


def _scan(given: Sequence[int]) -> int:
    return math.prod(given[:3])


def _attention(given: Sequence[int], options: Mapping[str, int | str | bool]) -> int:
    """Products of queries by keys, weights by values and what their gradients take; a triangle is half of them."""
    batch, heads, _, rows, keys = given[:5]
    inner, outer = ATTENTION[str(options["form"])]
    pairs = batch * heads * rows * keys // (2 if options["causal"] else 1)
    size, value_size = (options[name] for name in SIZES) if SIZES[0] in options else given[-5:-3]
    return 2 * pairs * (inner * int(size) + outer * int(value_size))


SIZES = ("size", "value_size")
"""Of heads: choices of a GPU's template, and of the CPU's the first of its own parameters, which come last."""
ATTENTION = {"forward": (1, 1), "query": (2, 1), "key": (2, 2), "backward": (3, 2)}
"""Of each form the products along a head's elements of queries and keys, and along those of values."""

LIBRARY: dict[str, Callable[[Sequence[int]], int]] = {
    "matmul": _product, "matvec": _matvec, "conv2d": _convolution, "scan": _scan,
    **dict.fromkeys(("last_place", "ordered_fold", "radix", "segment_fold", "sort", "topk", "winograd"), _nothing),
}  # fmt: skip
"""Operations of each library kernel but ``attention``, by its arguments; sorts and writes by index count none."""


def operations(kernel: Kernel | Library | KernelSpec, arguments: Sequence[int | float]) -> int:
    """Floating point operations of one dispatch; 0 for a kernel of the user's, of which nothing is known."""
    if isinstance(kernel, Kernel):
        return sum(_part(part) for part in kernel.parts)
    if isinstance(kernel, KernelSpec):
        return 0
    given = [int(argument) for argument in arguments]
    is_attention = kernel.name == "attention"
    count = _attention(given, dict(kernel.options)) if is_attention else LIBRARY[kernel.name](given)
    return count + (0 if kernel.epilogue is None else _part(kernel.epilogue.part))


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
