"""Which operands a WGSL driver must not see through, where it computes as if numbers were real.

WGSL has no ``precise``. Mesa, HLSL and Metal compilers turn ``(a + b) - a`` into ``b``, ``(x + 1) - 1`` into ``x``,
``(x * 1e30) * 1e-30`` into ``x``, ``a * b + a * c`` into ``a * (b + c)`` and ``x - x`` into 0. ``expr.wgsl`` passes
the operands that are named here through a function that gives its argument: the exclusive or of its bits and a 0 that
no compiler knows. That costs one operation of the processor and no access to memory. It is the value that is hidden,
not the constant: a compiler that sorts sums by what is uniform would still join a hidden constant with another.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr

ORDERS = ("lt", "le", "gt", "ge")
_SUMS = ("add", "sub", "fma")
_QUOTIENTS = ("div", "quotient")
_PRODUCTS = ("mul", *_QUOTIENTS)
_COMPUTED = (*_SUMS, "mul", "neg", *_QUOTIENTS)
_JOINED = frozenset((*_SUMS, "mul", *_QUOTIENTS, *ORDERS, "eq", "ne"))
"""Functions across which drivers join what their operands are made of."""


def joined_operands(node: Expr) -> list[int]:
    """The positions of operands to hide in a kernel: all but one of those that hold a constant, or share a part.

    >>> from weft import float32
    >>> from weft.expr import parse
    >>> [joined_operands(parse(text, {"x": float32})) for text in ("x + 1.0", "(x + 1.0) - 1.0", "x - x")]
    [[], [0], [1]]
    """
    if node.function not in _JOINED or node.args[0].dtype.compute.kind != "float":
        return []
    args = node.args
    if args[0] is args[-1]:
        cancels = node.function in ("sub", *_QUOTIENTS) or (
            node.function == "mul" and args[0].function == "sqrt"
        )
        return [len(args) - 1] if cancels else []
    family = _PRODUCTS if node.function in _PRODUCTS else _SUMS
    meets = any(
        arg.function == "const" and arg.data != 0 for arg in args
    )  # drivers move it into what it meets
    holders = [
        position
        for position, arg in enumerate(args)
        if _holds_constant(arg) or (meets and arg.function in family)
    ]
    computed = [position for position in holders if args[position].function != "const"]
    found = computed if len(computed) < len(holders) else computed[1:]
    if found or node.function in _PRODUCTS:
        return found
    *first, last = args
    before = frozenset().union(*map(_atoms, first))
    if any(atom.function != "const" for atom in _atoms(last) & before):
        return [len(args) - 1 if last.function in _COMPUTED else 0]
    return []


_holding: WeakKeyDictionary[Expr, bool] = WeakKeyDictionary()


def _holds_constant(node: Expr) -> bool:
    """Whether a value is a constant other than 0, sums or products with one, or of a function that has a definition."""
    known = _holding.get(node)
    if known is None:
        if node.function == "const":
            known = node.data != 0
        elif node.function in _COMPUTED:
            known = any(map(_holds_constant, node.args))
        else:
            known = node.function in FUNCTIONS and FUNCTIONS[node.function].definition is not None
        _holding[node] = known
    return known


def shared_operand(node: Expr) -> int | None:
    """The position of an operand to hide in definitions too: a sum that shares a part with the rest of its sum."""
    if node.function not in _SUMS:
        return None
    *first, last = node.args
    left = _atoms(first[0]) if len(first) == 1 else frozenset((*first, *_negatives(first)))
    for position, operand, other in ((len(first), last, left), (0, first[0], _atoms(last))):
        summed = operand.function in _SUMS and (position or node.function != "fma")
        if summed and any(_is_told_apart(atom) for atom in _atoms(operand) & other):
            return position
    return None


def _atoms(node: Expr) -> frozenset[Expr]:
    """The terms of a sum, and the factors of the terms: where two operands share one, algebra finds something."""
    terms = [node]
    if node.function in _SUMS:
        terms += node.args
    factors = [arg for term in terms if term.function in ("mul", "neg") for arg in term.args]
    return frozenset((*terms, *factors))


def _negatives(factors: Iterable[Expr]) -> list[Expr]:
    return [factor.args[0] for factor in factors if factor.function == "neg"]


def _is_told_apart(atom: Expr) -> bool:
    """Whether algebra with what two operands share changes a sum: constants as large are there to round it."""
    return atom.function != "const" or abs(atom.data) >= 2**22
