"""The table of scalar functions: argument types, derivatives, definitions, and forms on each target."""

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
