"""Expressions as WGSL drivers should see them: the same values in forms that leave no choice, or take less work.

WGSL lets a driver fuse ``a * b + c`` or not, and drivers choose by what stands around it: NVIDIA's compiled one
formula differently in two kernels. Written as ``fma`` there is nothing to choose. Used by ``expr.wgsl`` for the
definitions of functions, and by ``codegen.wgsl`` for kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from weft.expr.node import Expr, call, const, walk

_MIDDLING = 2.0**-126, 2.0**126
"""Between these, in size, the reciprocal of a number is neither infinite nor denormal."""


@lru_cache(maxsize=4096)
def wgsl_form(root: Expr) -> Expr:
    """``root`` rewritten; what needs no other form is the same node.

    >>> from weft import float32
    >>> from weft.expr import parse
    >>> wgsl_form(parse("x * y - maximum(x, 0.0) / 3.0", {"x": float32, "y": float32}))
    fma(x, y, neg(quotient(where(le(x, 0.0), 0.0, x), 3.0)))
    """
    done: dict[Expr, Expr] = {}
    for node in walk(root):
        args = tuple(done[arg] for arg in node.args)
        rebuilt = node if args == node.args else Expr(node.function, args, node.dtype, node.data)
        form = _FORMS.get(node.function) if node.dtype.kind == "float" else None
        done[node] = form(rebuilt) if form else rebuilt
    return done[root]


def _factors(node: Expr) -> tuple[Expr, Expr] | None:
    """The factors of a product or of its negative."""
    product, negative = (node.args[0], True) if node.function == "neg" else (node, False)
    if product.function != "mul":
        return None
    x, y = product.args
    return (_negated(x), y) if negative else (x, y)


def _negated(node: Expr) -> Expr:
    if node.function == "const":
        return const(-node.data, node.dtype)
    return node.args[0] if node.function == "neg" else -node


def _add(node: Expr) -> Expr:
    a, b = node.args
    if factors := _factors(a):
        return call("fma", *factors, b)
    if factors := _factors(b):
        return call("fma", *factors, a)
    return node


def _sub(node: Expr) -> Expr:
    a, b = node.args
    if a is b:
        return node  # 0, not what rounding leaves
    if factors := _factors(a):
        return call("fma", *factors, _negated(b))
    if factors := _factors(b):
        return call("fma", _negated(factors[0]), factors[1], a)
    return node


def _div(node: Expr) -> Expr:
    x, y = node.args
    least, most = _MIDDLING
    return call("quotient", x, y) if y.function == "const" and least <= abs(y.data) <= most else node


def _extreme(comparison: str) -> Callable[[Expr], Expr]:
    """The larger or smaller of two of which one is a number: only the other may be NaN, and a comparison says so."""

    def form(node: Expr) -> Expr:
        x, limit = node.args
        if x.function == "const":
            x, limit = limit, x
        if limit.function != "const" or math.isnan(limit.data) or x.function == "const":
            return node
        return call("where", call(comparison, x, limit), limit, x)

    return form


_FORMS: dict[str, Callable[[Expr], Expr]] = {
    "add": _add, "sub": _sub, "div": _div, "maximum": _extreme("le"), "minimum": _extreme("ge"),
}  # fmt: skip
