"""WGSL forms of expressions: rewrites for determinism across kernels, and for speed.

WGSL lets a driver contract ``a * b + c``, and the choice depends on the surrounding code: NVIDIA's driver compiled the
same formula differently in two kernels. An explicit ``fma`` leaves no choice. Used by ``expr.wgsl`` for the definitions
of functions, and by ``codegen.wgsl`` for kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from weft.expr.node import Expr, call, const
from weft.expr.rewrite import transform

_MODERATE = 2.0**-126, 2.0**126
"""The range of magnitudes whose reciprocals are neither infinite nor denormal."""


@lru_cache(maxsize=4096)
def wgsl_form(root: Expr) -> Expr:
    """Return the WGSL form of ``root``; nodes that need no other form stay the same.

    >>> from weft import float32
    >>> from weft.expr import parse
    >>> wgsl_form(parse("x * y - maximum(x, 0.0) / 3.0", {"x": float32, "y": float32}))
    fma(x, y, neg(quotient(where(le(x, 0.0), 0.0, x), 3.0)))
    """
    return transform(root, _form)


def _form(node: Expr, args: tuple[Expr, ...]) -> Expr:
    rebuilt = node.rebuild(args)
    form = _FORMS.get(node.function) if node.dtype.kind == "float" else None
    return form(rebuilt) if form else rebuilt


def _factors(node: Expr) -> tuple[Expr, Expr] | None:
    """Return the factors of a product, or of a negated product; ``None`` for other nodes."""
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
        return node  # the difference is 0; with fma it would be the rounding error of the product
    if factors := _factors(a):
        return call("fma", *factors, _negated(b))
    if factors := _factors(b):
        return call("fma", _negated(factors[0]), factors[1], a)
    return node


def _div(node: Expr) -> Expr:
    x, y = node.args
    least, most = _MODERATE
    return call("quotient", x, y) if y.function == "const" and least <= abs(y.data) <= most else node


def _extreme(comparison: str) -> Callable[[Expr], Expr]:
    """Return the form of a maximum or minimum with a constant: only the other operand can be NaN."""

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
