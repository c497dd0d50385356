"""Affine indices: sums of terms with constant factors, and their division with remainder.

An index of a kernel is ``constant + sum of factor * term``; a term is an axis, whose range is known, or any other
expression. ``divide`` splits the sum by a stride into a quotient and a remainder, provided the remainder is known to
lie in ``[0, stride)``. Where one axis crosses the stride, the result is a ``Cut``: that axis must first be split in
two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from weft.expr import Expr, const
from weft.expr.node import INDEX

Sizes = Mapping[Expr, int]
"""The size of each axis, which counts from 0."""


@dataclass(frozen=True)
class Affine:
    """``constant + sum(factor * term)``; no factor is 0."""

    terms: tuple[tuple[Expr, int], ...]
    constant: int

    def factor(self, term: Expr) -> int:
        """Return the factor of a term; 0 where the term does not occur."""
        return next((factor for known, factor in self.terms if known is term), 0)

    def expr(self) -> Expr:
        """Return the sum as an expression: the terms in order, then the constant."""
        total: Expr | None = None
        for term, factor in self.terms:
            part = term if factor == 1 else term * factor
            total = part if total is None else total + part
        if total is None:
            return const(self.constant, INDEX)
        return total + self.constant if self.constant else total


@dataclass(frozen=True)
class Cut:
    """An axis to split, with ``inner`` values for the inner axis, before an index can be divided."""

    axis: Expr
    inner: int


@lru_cache(maxsize=1 << 15)
def affine(root: Expr) -> Affine:
    """Return an index as an affine sum; products of two terms, quotients and loads are terms themselves."""
    done: dict[Expr, Affine] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        left = [arg for arg in node.args if arg not in done] if node.function in _SUMS else []
        if left:
            stack += left
            continue
        stack.pop()
        done[node] = _combined(node, done)
    return done[root]


_SUMS = ("add", "sub", "mul", "neg")
"""Functions that are expanded into sums of terms."""


def _combined(node: Expr, done: Mapping[Expr, Affine]) -> Affine:
    if node.function == "const":
        return Affine((), int(node.data))
    if node.dtype is INDEX and node.function in ("add", "sub"):
        a, b = (done[arg] for arg in node.args)
        return total(a, b, 1 if node.function == "add" else -1)
    if node.dtype is INDEX and node.function == "mul":
        a, b = (done[arg] for arg in node.args)
        if not a.terms:
            a, b = b, a
        if not b.terms:
            return scaled(a, b.constant)
    if node.dtype is INDEX and node.function == "neg":
        return scaled(done[node.args[0]], -1)
    return Affine(((node, 1),), 0)


def total(a: Affine, b: Affine, sign: int = 1) -> Affine:
    """Return ``a + sign * b``."""
    factors = dict(a.terms)
    for term, factor in b.terms:
        factors[term] = factors.get(term, 0) + sign * factor
    return Affine(tuple((term, f) for term, f in factors.items() if f), a.constant + sign * b.constant)


def scaled(a: Affine, factor: int) -> Affine:
    """Return ``factor * a``."""
    if factor == 0:
        return Affine((), 0)
    return Affine(tuple((term, old * factor) for term, old in a.terms), a.constant * factor)


def bounds(a: Affine, sizes: Sizes) -> tuple[int, int] | None:
    """Return the least and the largest value; ``None`` where the range of a term is unknown."""
    low = high = a.constant
    for term, factor in a.terms:
        size = sizes.get(term)
        if size is None:
            return None
        reach = factor * (size - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high


def divide(a: Affine, stride: int, sizes: Sizes) -> tuple[Affine, Affine] | Cut | None:
    """Return quotient and remainder by ``stride``; or a ``Cut`` to do first; or ``None`` where neither is possible."""
    whole = [(term, factor // stride) for term, factor in a.terms if factor % stride == 0]
    rest = [(term, factor) for term, factor in a.terms if factor % stride]
    left = Affine(tuple(rest), a.constant % stride)
    found = bounds(left, sizes)
    if found is not None and found[0] >= 0 and found[1] < stride:
        return Affine(tuple(whole), a.constant // stride), left
    crossing = [
        (term, factor) for term, factor in rest if term in sizes and factor > 0 and stride % factor == 0
    ]
    for term, factor in sorted(crossing, key=lambda pair: -pair[1]):
        inner = stride // factor
        if factor * (sizes[term] - 1) >= stride and sizes[term] % inner == 0:
            return Cut(term, inner)
    return None


def digits(a: Affine, strides: tuple[int, ...], sizes: Sizes) -> list[Affine] | Cut | None:
    """Return the position of the element at index ``a`` in each dimension, for descending strides."""
    found: list[Affine] = []
    for at, stride in enumerate(strides):
        if stride == 1 and at == len(strides) - 1:
            found.append(a)
            break
        split = divide(a, stride, sizes)
        if split is None or isinstance(split, Cut):
            return split
        quotient, a = split
        found.append(quotient)
    return found
