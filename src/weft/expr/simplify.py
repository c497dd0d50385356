"""Rewrites that keep every IEEE value: ``x * 1`` goes, ``x + 0`` stays (it turns -0 into +0)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.expr.node import Expr, cast, const, walk


def substitute(root: Expr, replacements: Mapping[Expr, Expr]) -> Expr:
    """``root`` with nodes replaced; replaced nodes are not searched again."""
    done: dict[Expr, Expr] = dict(replacements)
    for node in walk(root):
        if node not in done:
            args = tuple(done[arg] for arg in node.args)
            done[node] = node if args == node.args else Expr(node.function, args, node.dtype, node.data)
    return done[root]


def simplify(root: Expr) -> Expr:
    """The same value with fewer operations."""
    done: dict[Expr, Expr] = {}
    for node in walk(root):
        args = tuple(done[arg] for arg in node.args)
        rebuilt = node if args == node.args else Expr(node.function, args, node.dtype, node.data)
        rule = _RULES.get(node.function)
        done[node] = rule(rebuilt) if rule else rebuilt
    return done[root]


def _is(node: Expr, value: float) -> bool:
    return node.function == "const" and node.data == value


def _integers(node: Expr) -> tuple[int, int] | None:
    """Both arguments where they are constant integers that fold without wrapping."""
    a, b = node.args
    if node.dtype.kind in ("int", "uint") and a.function == b.function == "const":
        return a.data, b.data
    return None


def _folded(node: Expr, value: int) -> Expr:
    low, high = (0, 2**32 - 1) if node.dtype.kind == "uint" else (-(2**31), 2**31 - 1)
    return const(value, node.dtype) if low <= value <= high else node


def _add(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] + pair[1])
    if node.dtype.kind != "float":  # an integer has one zero
        if _is(a, 0):
            return b
        if _is(b, 0):
            return a
    return node


def _sub(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] - pair[1])
    if _is(b, 0) and not (node.dtype.kind == "float" and str(b.data) == "-0.0"):
        return a  # x - (+0) is x, for -0 too
    return node


def _mul(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] * pair[1])
    if _is(a, 1):
        return b
    if _is(b, 1):
        return a
    if node.dtype.kind != "float" and (_is(a, 0) or _is(b, 0)):
        return const(0, node.dtype)
    return node


def _div(node: Expr) -> Expr:
    return node.args[0] if _is(node.args[1], 1) else node


def _neg(node: Expr) -> Expr:
    (a,) = node.args
    return a.args[0] if a.function == "neg" else node


def _where(node: Expr) -> Expr:
    condition, a, b = node.args
    if condition.function == "const":
        return a if condition.data else b
    return a if a is b else node


def _and(node: Expr) -> Expr:
    a, b = node.args
    if node.dtype.kind == "bool":
        for one, other in ((a, b), (b, a)):
            if one.function == "const":
                return other if one.data else one
    return node


def _cast(node: Expr) -> Expr:
    (a,) = node.args
    if a.function == "const":
        if node.dtype.kind == "float" or a.dtype.kind == "bool" or node.dtype.kind == a.dtype.kind:
            return const(a.data, node.dtype)
        return node
    return cast(a, node.dtype)


_RULES: dict[str, Callable[[Expr], Expr]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _neg, "where": _where, "and": _and, "cast": _cast,
}  # fmt: skip
