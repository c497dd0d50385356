"""Simplifications that keep every IEEE value: ``x * 1`` becomes ``x``; ``x + 0`` stays, since it turns -0 into +0."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from weft.dtypes import DType
from weft.expr.node import Expr, cast, const


def simplify(root: Expr) -> Expr:
    """Return an expression of the same value with fewer operations. Each node caches its result.

    >>> from weft import float32
    >>> from weft.expr import parse
    >>> simplify(parse("(x * 1) + 0", {"x": float32}))
    add(x, 0.0)
    """
    stack = [] if root.simple else [root]
    while stack:
        node = stack[-1]
        if node.simple:
            stack.pop()
            continue
        left = [arg for arg in node.args if not arg.simple]
        if left:
            left.reverse()
            stack += left
            continue
        stack.pop()
        rebuilt = node.rebuild(tuple([_simple(arg) for arg in node.args]))
        rule = _RULES.get(node.function)
        found = rule(rebuilt) if rule else rebuilt
        node.simple = True if found is node else found
    return _simple(root)


def _simple(node: Expr) -> Expr:
    found = node.simple
    return found if isinstance(found, Expr) else node


def _is_constant(node: Expr, value: float) -> bool:
    return node.function == "const" and node.data == value


def _integers(node: Expr) -> tuple[int, int] | None:
    """Return the values of both arguments where they are constant integers, else ``None``."""
    a, b = node.args
    if a.dtype.is_integer and a.function == b.function == "const":
        return a.data, b.data
    return None


def _folded(node: Expr, value: int) -> Expr:
    """Return the constant, or ``node`` where the value would wrap on a target that computes in 32 bits."""
    low, high = (0, 2**32 - 1) if node.dtype.kind == "uint" else (-(2**31), 2**31 - 1)
    return const(value, node.dtype) if low <= value <= high else node


def _add(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] + pair[1])
    if node.dtype.is_integer:  # integers have no -0
        if _is_constant(a, 0):
            return b
        if _is_constant(b, 0):
            return a
        if b.function == "const" and a.function == "add" and a.args[1].function == "const":
            total = _folded(node, a.args[1].data + b.data)
            return node if total is node else Expr("add", (a.args[0], total), node.dtype)
    return node


def _sub(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] - pair[1])
    if _is_constant(b, 0) and not (node.dtype.kind == "float" and str(b.data) == "-0.0"):
        return a  # x - (+0) is x, for -0 too
    if a is b and node.dtype.is_integer:
        return const(0, node.dtype)
    return node


def _mul(node: Expr) -> Expr:
    a, b = node.args
    if pair := _integers(node):
        return _folded(node, pair[0] * pair[1])
    if _is_constant(a, 1):
        return b
    if _is_constant(b, 1):
        return a
    if node.dtype.is_integer and (_is_constant(a, 0) or _is_constant(b, 0)):
        return const(0, node.dtype)
    return node


def _div(node: Expr) -> Expr:
    return node.args[0] if _is_constant(node.args[1], 1) else node


def _idiv(node: Expr) -> Expr:
    if (pair := _integers(node)) and pair[0] >= 0 and pair[1] > 0:
        return const(pair[0] // pair[1], node.dtype)
    return node.args[0] if _is_constant(node.args[1], 1) else node


def _irem(node: Expr) -> Expr:
    if (pair := _integers(node)) and pair[0] >= 0 and pair[1] > 0:
        return const(pair[0] % pair[1], node.dtype)
    return const(0, node.dtype) if _is_constant(node.args[1], 1) else node


def _neg(node: Expr) -> Expr:
    (a,) = node.args
    return a.args[0] if a.function == "neg" else node


def _compare(node: Expr) -> Expr:
    if pair := _integers(node):
        return const(_COMPARISONS[node.function](*pair), node.dtype)
    return node


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip


def _where(node: Expr) -> Expr:
    condition, a, b = node.args
    if condition.function == "const":
        return a if condition.data else b
    return a if a is b else node


def _and(node: Expr) -> Expr:
    return _logical(node, neutral=True)


def _or(node: Expr) -> Expr:
    return _logical(node, neutral=False)


def _logical(node: Expr, neutral: bool) -> Expr:
    a, b = node.args
    if a is b:
        return a
    if node.dtype.kind == "bool":
        for operand, other in ((a, b), (b, a)):
            if operand.function == "const":
                return other if operand.data is neutral else operand
    return node


def _not(node: Expr) -> Expr:
    (a,) = node.args
    if a.function == "const" and a.dtype.kind == "bool":
        return const(not a.data, a.dtype)
    return a.args[0] if a.function == "not" else node


def _cast(node: Expr) -> Expr:
    (a,) = node.args
    if a.function == "const" and _holds(node.dtype, a):
        return const(a.data, node.dtype)
    return cast(a, node.dtype)


def _holds(target: DType, constant: Expr) -> bool:
    """Return whether the target type holds the constant exactly, so that the cast can be done now."""
    value, source = constant.data, constant.dtype
    if source.kind == "bool":
        return True
    if target.kind == "float":
        if source.kind == "float":  # the value of a constant is its number rounded to its own type
            return target.bits <= source.bits == 64 or math.isinf(value) or _is_float16(value)
        return abs(int(value)) <= (2**8 if target.bits == 16 else 2**53)
    if target.is_integer and source.is_integer:
        low = 0 if target.kind == "uint" else -(1 << (target.bits - 1))
        return bool(low <= value < low + (1 << target.bits))
    return False


def _is_float16(value: float) -> bool:
    """Return whether every floating-point type holds a float exactly: 8 significant bits, a moderate exponent."""
    mantissa, exponent = math.frexp(value)
    return not math.isnan(value) and -12 <= exponent <= 15 and (mantissa * 2**8).is_integer()


_RULES: dict[str, Callable[[Expr], Expr]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "idiv": _idiv, "irem": _irem, "neg": _neg,
    "where": _where, "and": _and, "or": _or, "not": _not, "cast": _cast, **dict.fromkeys(_COMPARISONS, _compare),
}  # fmt: skip
