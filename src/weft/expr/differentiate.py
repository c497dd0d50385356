"""Reverse-mode differentiation of scalar expressions, from the derivative column of the function table."""

from __future__ import annotations

from weft.errors import ExpressionError
from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, call, cast, const, walk
from weft.expr.parse import parse
from weft.expr.simplify import simplify, substitute
from weft.expr.node import variable


def differentiate(root: Expr, wrt: Expr, seed: Expr) -> Expr | None:
    """``seed * d root / d wrt`` as an expression, ``None`` where root does not depend on ``wrt`` smoothly.

    Functions that are constant almost everywhere (``floor``, comparisons) pass nothing on. Raises
    ``ExpressionError`` for a function that has no derivative rule.

    >>> from weft import float32
    >>> x, g = (parse(name, {"x": float32, "g": float32}) for name in "xg")
    >>> differentiate(parse("x * x", {"x": float32}), x, g)
    add(mul(g, x), mul(g, x))
    """
    order = list(walk(root))
    depends = {wrt}
    for node in order:
        if any(arg in depends for arg in node.args):
            depends.add(node)
    adjoint: dict[Expr, Expr] = {root: seed}
    for node in reversed(order):
        if node not in adjoint or node not in depends or node is wrt:
            continue
        for position, arg in enumerate(node.args):
            if arg not in depends or arg.dtype.kind != "float":
                continue
            term = _term(node, position, adjoint[node])
            if term is not None:
                adjoint[arg] = call("add", adjoint[arg], term) if arg in adjoint else term
    found = adjoint.get(wrt)
    return None if found is None else simplify(found)


def _term(node: Expr, position: int, g: Expr) -> Expr | None:
    """What argument ``position`` of ``node`` gets of the node's adjoint ``g``."""
    if node.function == "cast":
        return cast(g, node.args[0].dtype) if node.dtype.kind == "float" else None
    function = FUNCTIONS[node.function]
    if function.derivative is None:
        raise ExpressionError(f"{node.function} has no derivative rule; give the op one with derivative=")
    source = function.derivative[position]
    if not source:
        return None
    types = {name: arg.dtype for name, arg in zip(function.parameters, node.args, strict=True)}
    formula = parse(source, {**types, "g": g.dtype})
    actual = {variable(name, arg.dtype): arg for name, arg in zip(function.parameters, node.args, strict=True)}
    term = substitute(formula, {**actual, variable("g", g.dtype): g})
    return None if term.function == "const" and term is const(0, term.dtype) else term
