"""Workgroup counts: counts of points as expressions, and a linear count as two dimensions of a dispatch."""

from __future__ import annotations

from collections.abc import Iterable

from weft.expr import Expr, call, const, simplify
from weft.expr.node import INDEX
from weft.kernels import Axis

MOST = 65535
"""The limit of workgroups in one dimension of a dispatch."""


def points(axes: Iterable[Axis]) -> Expr:
    """Return the number of points of an index space."""
    total = const(1, INDEX)
    for axis in axes:
        total = simplify(total * axis.size)
    return total


def groups(count: Expr, each: int) -> Expr:
    """Return how many workgroups of ``each`` points ``count`` points need."""
    if each == 1:
        return count
    if count.function == "const":
        return const(-(-count.data // each), INDEX)
    return call("idiv", count + (each - 1), each)


def sum_counts(counts: Iterable[Expr]) -> Expr:
    """Return the sum of workgroup counts, constants added up; a balanced tree, so that many parts nest little."""
    known, terms = 0, []
    for count in counts:
        if count.function == "const":
            known += count.data
        else:
            terms.append(count)
    if known or not terms:
        terms.append(const(known, INDEX))
    while len(terms) > 1:
        pairs = [left + right for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def grid(total: Expr) -> tuple[str, str, str]:
    """Return ``total`` workgroups as x, y and z counts of a dispatch within the limit, with few idle workgroups.

    The shader's linear number is ``workgroup_id.y * workgroups.x + workgroup_id.x``; it may exceed the total.

    >>> grid(const(70000, INDEX))
    ('35000', '2', '1')
    """
    if total.function == "const":
        rows = total.data // MOST + 1
        return str(-(-total.data // rows)), str(rows), "1"
    rows_text = f"idiv({total!r}, {MOST}) + 1"
    return f"idiv({total!r} + idiv({total!r}, {MOST}), {rows_text})", rows_text, "1"
