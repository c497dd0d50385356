"""What a function of the table is made of: its definition, typed for given arguments. Renderers start here."""

from __future__ import annotations

from functools import lru_cache

from weft import dtypes
from weft.dtypes import DType
from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, variable, walk
from weft.expr.parse import parse
from weft.expr.simplify import simplify, substitute


@lru_cache(maxsize=4096)
def definition(name: str, types: tuple[DType, ...], wide: bool = False) -> Expr | None:
    """The definition of a table function as an expression over its parameters, ``None`` for a primitive.

    ``wide`` takes the form for targets with 64-bit integers where there is one. For float64, which only ``cpu``
    has, there is no definition where LLVM or the C library has the function: the polynomials are for float32.

    >>> from weft import float32
    >>> definition("silu", (float32,))
    mul(x, sigmoid(x))
    """
    function = FUNCTIONS[name]
    kind = types[-1].kind[0]
    source = function.definition
    if source is not None and not isinstance(source, str):
        source = source.get(kind)
    if wide and function.wide is not None:
        source = function.wide
    if source is None or (types[-1] is dtypes.float64 and (function.double or "f" in (function.llvm or {}))):
        return None
    return simplify(parse(source, dict(zip(function.parameters, types, strict=True))))


def expand(root: Expr, wide: bool = False) -> Expr:
    """``root`` with every defined function replaced by its definition, down to what targets have themselves.

    >>> from weft import float32
    >>> expand(parse("maximum(x, 0.0)", {"x": float32}))
    where(or(gt(x, 0.0), ne(x, x)), x, 0.0)
    """
    done: dict[Expr, Expr] = {}
    for node in walk(root):
        args = tuple(done[arg] for arg in node.args)
        types = tuple(arg.dtype for arg in args)
        body = _expanded(node.function, types, wide) if node.function in FUNCTIONS else None
        if body is None:
            done[node] = Expr(node.function, args, node.dtype, node.data)
        else:
            named = zip(FUNCTIONS[node.function].parameters, args, strict=True)
            done[node] = substitute(body, {variable(name, arg.dtype): arg for name, arg in named})
    return done[root]


@lru_cache(maxsize=4096)
def _expanded(name: str, types: tuple[DType, ...], wide: bool) -> Expr | None:
    body = definition(name, types, wide)
    return None if body is None else expand(body, wide)
