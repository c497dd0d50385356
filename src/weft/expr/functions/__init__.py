"""The table of scalar functions: what each accepts, its derivative, and how each target writes it."""

from weft.expr.functions import activations, angles, exponential, gamma, inverse, primitive, random, special
from weft.expr.functions.table import FUNCTIONS, Function, result_dtype

__all__ = [
    "FUNCTIONS",
    "Function",
    "activations",
    "angles",
    "exponential",
    "gamma",
    "inverse",
    "primitive",
    "random",
    "result_dtype",
    "special",
]
