"""Reverse-mode differentiation of scalar expressions, from the derivative column of the function table."""

from __future__ import annotations

from functools import lru_cache

from weft.dtypes import DType
from weft.errors import ExpressionError
from weft.expr.define import definition
from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, call, cast, const, variable, walk
from weft.expr.parse import parse
from weft.expr.rewrite import substitute
from weft.expr.simplify import simplify


def differentiate(root: Expr, wrt: Expr, seed: Expr) -> Expr | None:
    """Return ``seed * d root / d wrt`` as an expression, ``None`` where the derivative is 0 everywhere.

    Functions that are constant almost everywhere (``floor``, comparisons) have the derivative 0.

    Raises:
        ExpressionError: For a function without a derivative rule.

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
    """Return the contribution of ``node``, with adjoint ``g``, to the adjoint of its argument ``position``."""
    if node.function == "cast":
        return cast(g, node.args[0].dtype) if node.dtype.kind == "float" else None
    function = FUNCTIONS[node.function]
    types = tuple(arg.dtype for arg in node.args)
    rule = None if function.derivative is None else function.derivative[position]
    if rule is None:
        formula = _derived(node.function, position, types, node.dtype)
    elif rule:
        formula = parse(rule, {**dict(zip(function.parameters, types, strict=True)), _SEED: g.dtype})
    else:
        return None
    if formula is None:
        return None
    names = (variable(name, dtype) for name, dtype in zip(function.parameters, types, strict=True))
    term = substitute(formula, {**dict(zip(names, node.args, strict=True)), variable(_SEED, g.dtype): g})
    return None if term is const(0, term.dtype) else term


_SEED = "g"


@lru_cache(maxsize=1024)
def _derived(name: str, position: int, types: tuple[DType, ...], result: DType) -> Expr | None:
    """Return the derivative of a function without a rule: that of its definition, if it holds for every float type."""
    function = FUNCTIONS[name]
    body = None if function.double is not None else definition(name, types)
    if body is None:
        raise ExpressionError(f"{name} has no derivative rule; give the op one with derivative=")
    argument = variable(function.parameters[position], types[position])
    return differentiate(body, argument, variable(_SEED, result))
