"""Scalar expressions: written as Python in strings, kept as a typed tree, rendered for every target.

    source ──parse──► Expr ──simplify, differentiate──► Expr ──► WGSL · LLVM IR · NumPy

One table (``functions``) says for each function what it accepts, its derivative, and how each target writes it.
"""

from weft.expr.define import definition, expand
from weft.expr.differentiate import differentiate
from weft.expr.evaluate import evaluate
from weft.expr.functions import FUNCTIONS, Function
from weft.expr.node import Expr, call, cast, const, load, variable, variables, walk, where
from weft.expr.parse import parse
from weft.expr.simplify import Substitution, rewritten, simplify, substitute

__all__ = [
    "FUNCTIONS",
    "Expr",
    "Function",
    "Substitution",
    "call",
    "cast",
    "const",
    "definition",
    "differentiate",
    "evaluate",
    "expand",
    "load",
    "parse",
    "rewritten",
    "simplify",
    "substitute",
    "variable",
    "variables",
    "walk",
    "where",
]
