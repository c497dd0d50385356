"""The number of floating point operations of a dispatch, for reports.

Each function of an expression counts as one operation, ``exp`` as well as ``+``; loads, casts, selects and indices
count as none. The operations of a library kernel follow from its arguments, by a row of ``LIBRARY``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from weft.expr import Expr
from weft.graph.rewriting.parts import folded, points
from weft.kernels import Kernel, Library, Part
from weft.kernels.library.quantized import GROUP
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


def _quantized(given: Sequence[int]) -> int:
    count, rows, groups = given[:3]
    return 2 * count * rows * groups * GROUP


def _scan(given: Sequence[int]) -> int:
    return math.prod(given[:3])


def _attention(given: Sequence[int], options: Mapping[str, int | str | bool]) -> int:
    """Count the products of queries by keys, weights by values, and of their gradients; causal attention has half."""
    batch, heads, _, rows, keys = given[:5]
    inner, outer = ATTENTION[str(options["form"])]
    pairs = batch * heads * rows * keys // (2 if options["causal"] else 1)
    size, value_size = (options[name] for name in SIZES) if SIZES[0] in options else given[-5:-3]
    return 2 * pairs * (inner * int(size) + outer * int(value_size))


SIZES = ("size", "value_size")
"""Sizes of heads: options of the GPU template; for the CPU they are among the last arguments."""
ATTENTION = {"forward": (1, 1), "query": (2, 1), "key": (2, 2), "backward": (3, 2)}
"""For each form, the number of products over the head size of queries and keys, and over that of values."""

LIBRARY: dict[str, Callable[[Sequence[int]], int]] = {
    "matmul": _product, "matvec": _matvec, "conv2d": _convolution, "scan": _scan,
    "quantized_linear": _quantized, "quantize_rows": _nothing,
    **dict.fromkeys(("last_place", "ordered_fold", "radix", "segment_fold", "sort", "topk", "winograd"), _nothing),
    "cached_attention": _nothing,
}  # fmt: skip
"""The operations of each library kernel except ``attention``, by its arguments.

Sorts and scatters count none, nor does a kernel whose lengths are read at run time."""


def operations(kernel: Kernel | Library | KernelSpec, arguments: Sequence[int | float]) -> int:
    """Return the floating point operations of a dispatch; 0 for a user's kernel, whose work is unknown."""
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
    """Return the number of distinct floating point functions, without those in indices of loads."""
    found: set[Expr] = set()
    left = list(roots)
    while left:
        node = left.pop()
        if node in found or node.function == "load":
            continue
        found.add(node)
        left += node.args
    return sum(node.dtype.kind == "float" and node.function not in FREE for node in found)
