"""Operands to hide from WGSL drivers, which reassociate floating-point operations as if numbers were real.

WGSL has no ``precise``. Mesa, HLSL and Metal compilers turn ``(a + b) - a`` into ``b``, ``(x + 1) - 1`` into ``x``,
``(x * 1e30) * 1e-30`` into ``x``, ``a * b + a * c`` into ``a * (b + c)`` and ``x - x`` into 0. ``expr.wgsl`` passes the
operands that this module selects through an identity function: the exclusive or of the bits and a 0 that compilers do
not know at compile time. It costs one instruction and no memory access. The computed operand is hidden rather than the
constant, since a compiler that sorts the terms of sums by uniformity would still combine a hidden constant with
another.
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
"""Functions across which drivers combine the terms of their operands."""


def joined_operands(node: Expr) -> list[int]:
    """Return the positions of operands to hide in a kernel: all but one of those with a constant or a common term.

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
    # drivers move a constant operand into the sum or product of the other operand
    moves = any(arg.function == "const" and arg.data != 0 for arg in args)
    holders = [
        position
        for position, arg in enumerate(args)
        if _holds_constant(arg) or (moves and arg.function in family)
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
    """Return whether a node is or combines a constant other than 0: defined functions contain constants, too."""
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
    """Return the position of an operand to hide even in definitions: a sum with a term of the rest of its sum."""
    if node.function not in _SUMS:
        return None
    *first, last = node.args
    left = _atoms(first[0]) if len(first) == 1 else frozenset((*first, *_negatives(first)))
    for position, operand, other in ((len(first), last, left), (0, first[0], _atoms(last))):
        summed = operand.function in _SUMS and (position or node.function != "fma")
        if summed and any(_changes_sum(atom) for atom in _atoms(operand) & other):
            return position
    return None


def _atoms(node: Expr) -> frozenset[Expr]:
    """Return the terms of a sum and their factors: algebra applies where two operands have such a node in common."""
    terms = [node]
    if node.function in _SUMS:
        terms += node.args
    factors = [arg for term in terms if term.function in ("mul", "neg") for arg in term.args]
    return frozenset((*terms, *factors))


def _negatives(factors: Iterable[Expr]) -> list[Expr]:
    return [factor.args[0] for factor in factors if factor.function == "neg"]


def _changes_sum(atom: Expr) -> bool:
    """Return whether combining a common node changes a sum's value: large constants are there to round the sum."""
    return atom.function != "const" or abs(atom.data) >= 2**22
