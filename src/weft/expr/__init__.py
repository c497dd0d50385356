"""Scalar expressions: parsed from strings of Python, represented as a typed tree, rendered for every target.

    source ──parse──► Expr ──simplify, differentiate──► Expr ──► WGSL · LLVM IR · NumPy

The function table (``functions``) declares each function's argument types, derivative, and form on each target.
"""

from weft.expr.define import definition, expand
from weft.expr.differentiate import differentiate
from weft.expr.evaluate import evaluate
from weft.expr.functions import FUNCTIONS, Function
from weft.expr.node import Expr, call, cast, const, load, variable, variables, walk, where
from weft.expr.parse import parse
from weft.expr.rewrite import Substitution, substitute, transform
from weft.expr.simplify import simplify

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
    "simplify",
    "substitute",
    "transform",
    "variable",
    "variables",
    "walk",
    "where",
]
