"""The table of scalar functions: what each accepts, its derivative, and how each target writes it."""

from weft.expr.functions import activations, primitive, random, transcendental
from weft.expr.functions.table import FUNCTIONS, Function, result_dtype

__all__ = ["FUNCTIONS", "Function", "activations", "primitive", "random", "result_dtype", "transcendental"]
