"""What a function of the table is made of: its definition, typed for given arguments. Renderers start here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from weft import dtypes
from weft.dtypes import DType
from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, variable, walk
from weft.expr.parse import parse
from weft.expr.simplify import simplify, substitute


@lru_cache(maxsize=4096)
def definition(name: str, types: tuple[DType, ...], wide: bool = False) -> Expr | None:
    """The definition of a table function as an expression over its parameters, ``None`` for a primitive.

    ``wide`` takes the form for targets with 64-bit integers, and an ``fma`` that rounds once, where there is one. For
    float64, which only ``cpu``
    has, there is no definition where LLVM or the C library has the function: the polynomials are for float32.

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
    """The condition and the value of a function's shortcut, over its parameters."""
    function = FUNCTIONS[name]
    assert function.shortcut is not None
    types = dict.fromkeys(function.parameters, dtypes.float32)
    condition, value = (simplify(parse(source, types)) for source in function.shortcut)
    return condition, value


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


def written_out(root: Expr) -> int:
    """How many nodes an expression has with each of its functions written out; found without writing it."""
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
    """Whether expressions have at most so many nodes together, those of each counted, functions written out."""
    roots = list(roots)
    # what is written out is no shorter, so that long expressions need not be
    return _counted(roots, most) <= most and _counted([expand(root, wide) for root in roots], most) <= most


def _counted(roots: Iterable[Expr], most: int) -> int:
    """The nodes under each of the roots; of no root more than one over ``most``."""
    return sum(len(list(islice(walk(root), most + 1))) for root in roots)


@lru_cache(maxsize=4096)
def _expanded(name: str, types: tuple[DType, ...], wide: bool) -> Expr | None:
    body = definition(name, types, wide)
    return None if body is None else expand(body, wide)
