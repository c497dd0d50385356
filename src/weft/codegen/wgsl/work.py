"""How many workgroups: counts of points as expressions, and a line of workgroups folded into two dimensions."""

from __future__ import annotations

from collections.abc import Iterable

from weft.expr import Expr, call, const, simplify
from weft.expr.node import INDEX
from weft.kernels import Axis

MOST = 65535
"""Workgroups that WebGPU starts in one dimension, at most."""


def points(axes: Iterable[Axis]) -> Expr:
    """The number of points of an index space."""
    total = const(1, INDEX)
    for axis in axes:
        total = simplify(total * axis.size)
    return total


def groups(count: Expr, each: int) -> Expr:
    """How many workgroups of ``each`` points hold ``count`` of them."""
    if each == 1:
        return count
    if count.function == "const":
        return const(-(-count.data // each), INDEX)
    return call("idiv", count + (each - 1), each)


def together(counts: Iterable[Expr]) -> Expr:
    """The sum of workgroup counts, constants in one; a balanced tree, so that many parts are not nested deep."""
    known, terms = 0, []
    for count in counts:
        if count.function == "const":
            known += count.data
        else:
            terms.append(count)
    if known or not terms:
        terms.append(const(known, INDEX))
    while len(terms) > 1:
        pairs = [one + other for one, other in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def grid(total: Expr) -> tuple[str, str, str]:
    """``total`` workgroups as the x, y and z counts of a dispatch, no dimension over the limit, few of them idle.

    The shader's linear number is ``workgroup_id.y * workgroups.x + workgroup_id.x``; it may exceed the total.

    >>> grid(const(70000, INDEX))
    ('35000', '2', '1')
    """
    if total.function == "const":
        rows = total.data // MOST + 1
        return str(-(-total.data // rows)), str(rows), "1"
    rows_text = f"idiv({total!r}, {MOST}) + 1"
    return f"idiv({total!r} + idiv({total!r}, {MOST}), {rows_text})", rows_text, "1"
