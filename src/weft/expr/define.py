"""Definitions of table functions, typed for given arguments, and their expansion. Renderers start here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from weft import dtypes
from weft.dtypes import DType
from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, variable, walk
from weft.expr.parse import parse
from weft.expr.rewrite import substitute, transform
from weft.expr.simplify import simplify


@lru_cache(maxsize=4096)
def definition(name: str, types: tuple[DType, ...], wide: bool = False) -> Expr | None:
    """Return the definition of a table function as an expression over its parameters, ``None`` for a primitive.

    ``wide`` selects the form for targets with 64-bit integers and a correctly rounded ``fma``, where a function has
    such a form. The polynomials are for float32, so a function of float64, which only ``cpu`` has, has no definition
    where LLVM or the C library has the function.

    >>> from weft import float32
    >>> definition("silu", (float32,))
    mul(x, sigmoid(x))
    """
    function = FUNCTIONS[name]
    kind = types[-1].kind[0]
    source = function.definition
    if source is not None and not isinstance(source, str):
        source = source.get(types[-1].name, source.get(kind))
    if wide and function.wide is not None:
        source = function.wide
    if wide and function.shortcut is not None and types[-1] is dtypes.float32:
        return (
            Expr("where", (*shortcut(name), plain), plain.dtype)
            if (plain := definition(name, types))
            else None
        )
    if source is None or (types[-1] is dtypes.float64 and (function.double or "f" in (function.llvm or {}))):
        return None
    return simplify(parse(source, dict(zip(function.parameters, types, strict=True))))


@lru_cache(maxsize=None)
def shortcut(name: str) -> tuple[Expr, Expr]:
    """Return the condition and the value of a function's shortcut, over its parameters."""
    function = FUNCTIONS[name]
    assert function.shortcut is not None
    types = dict.fromkeys(function.parameters, dtypes.float32)
    condition, value = (simplify(parse(source, types)) for source in function.shortcut)
    return condition, value


def expand(root: Expr, wide: bool = False) -> Expr:
    """Return ``root`` with every defined function replaced by its definition, down to primitives.

    >>> from weft import float32
    >>> expand(parse("maximum(x, 0.0)", {"x": float32}))
    where(or(gt(x, 0.0), ne(x, x)), x, 0.0)
    """

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        types = tuple(arg.dtype for arg in args)
        body = _expanded(node.function, types, wide) if node.function in FUNCTIONS else None
        if body is None:
            return node.rebuild(args)
        named = zip(FUNCTIONS[node.function].parameters, args, strict=True)
        return substitute(body, {variable(name, arg.dtype): arg for name, arg in named})

    return transform(root, change)


def expanded_size(root: Expr) -> int:
    """Return the number of nodes of ``expand(root)``, at most: computed without the expansion."""
    return sum(
        _length_of(node.function, tuple([arg.dtype for arg in node.args]))
        if node.function in FUNCTIONS
        else 1
        for node in walk(root)
    )


@lru_cache(maxsize=4096)
def _length_of(name: str, types: tuple[DType, ...]) -> int:
    body = _expanded(name, types, False)
    return 1 if body is None else len(list(walk(body)))


def is_short(roots: Iterable[Expr], most: int, wide: bool = False) -> bool:
    """Return whether expressions, after expansion, have at most ``most`` nodes together, counted for each root."""
    roots = list(roots)
    # expansion makes no expression shorter, so that long expressions need no expansion
    return _counted(roots, most) <= most and _counted([expand(root, wide) for root in roots], most) <= most


def _counted(roots: Iterable[Expr], most: int) -> int:
    """Return the number of nodes under the roots, counted for each root, of a root up to ``most + 1``."""
    return sum(len(list(islice(walk(root), most + 1))) for root in roots)


@lru_cache(maxsize=4096)
def _expanded(name: str, types: tuple[DType, ...], wide: bool) -> Expr | None:
    body = definition(name, types, wide)
    return None if body is None else expand(body, wide)
