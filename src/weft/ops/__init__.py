"""The op table, in which every operation is declared once, and ``bind``, through which every call of an op passes."""

from weft.ops.registry.functions import FUNCTIONS, FunctionSpec
from weft.ops.registry.geometry import Geometry
from weft.ops.registry.interpreters import (
    Interpreter,
    bind,
    interpreter_stack,
    interpreting,
    set_default_stack,
)
from weft.ops.registry.spec import Gradient, OpSpec, TensorType, Value
from weft.ops.registry.table import OPS, lookup

from weft.ops import families  # isort: skip  (last: fills the table)

__all__ = [
    "FUNCTIONS",
    "OPS",
    "FunctionSpec",
    "Geometry",
    "Gradient",
    "Interpreter",
    "OpSpec",
    "TensorType",
    "Value",
    "bind",
    "families",
    "interpreter_stack",
    "interpreting",
    "lookup",
    "set_default_stack",
]
