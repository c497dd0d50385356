"""Second names of functions, as PyTorch has them; most are NumPy's."""

from __future__ import annotations

from weft.ops.index import indexing, selection
from weft.ops.matmul import linear_algebra
from weft.ops.pointwise import elementwise, transcendental
from weft.ops.registry.functions import alias
from weft.ops.views import rearrangement

FAMILIES = (elementwise, indexing, linear_algebra, rearrangement, selection, transcendental)
"""The modules that declare the functions: they are imported first."""

ALIASES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "concat": "cat",
    "concatenate": "cat",
    "divide": "div",
    "fix": "trunc",
    "ger": "outer",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "row_stack": "vstack",
    "subtract": "sub",
    "true_divide": "div",
    "vdot": "dot",
}
"""Each alias with the name of its function."""

for _name, _target in ALIASES.items():
    alias(_name, _target)
