"""The pointwise ops: one line each. ``x`` and ``y`` are the operands, ``g`` the gradient that flows back."""

from __future__ import annotations

from weft.ops import arguments
from weft.ops.annotations import Tensor
from weft.ops.core import bind
from weft.ops.functions import function
from weft.ops.pointwise import binary, pointwise, unary

# Arithmetic.
binary(
    "add",
    "x + y",
    "The sum of two tensors, broadcast.",
    operators=("__add__", "__radd__", "__iadd__"),
    kinds="fiu",
)
binary("sub", "x - y", "The difference of two tensors, broadcast.", kinds="fiu",
       operators=("__sub__", "__rsub__", "__isub__"))  # fmt: skip
binary("mul", "x * y", "The product of two tensors element by element, broadcast.", kinds="fiu",
       operators=("__mul__", "__rmul__", "__imul__"))  # fmt: skip
binary("div", "x / y", "The quotient of two tensors, broadcast; integers are divided as float32.", rule="float",
       kinds="f", operators=("__truediv__", "__rtruediv__", "__itruediv__"))  # fmt: skip
binary("pow", "pow(x, y)", "``input`` to the power of ``other``, broadcast.", kinds="f",
       operators=("__pow__", "__rpow__", "__ipow__"))  # fmt: skip
binary(
    "maximum",
    "maximum(x, y)",
    "The larger of two elements; NaN where either is NaN.",
    inplace=False,
    kinds="fiu",
)
binary(
    "minimum",
    "minimum(x, y)",
    "The smaller of two elements; NaN where either is NaN.",
    inplace=False,
    kinds="fiu",
)
unary("neg", "-x", "The negative of each element.", kinds="fi", operators=("__neg__",))
unary("abs", "abs(x)", "The absolute value of each element.", kinds="fi", operators=("__abs__",))
unary("square", "x * x", "The square of each element.", kinds="fiu")
unary(
    "sqrt",
    "sqrt(x)",
    "The square root of each element; NaN below 0.",
    derivative="g / (out * 2.0)",
    rule="float",
    kinds="f",
)
unary(
    "sign",
    "where(x > 0, 1, where(x < 0, -1, where(x == x, x, 0)))",
    "-1, 0 or 1 by the sign of each element; 0 for NaN.",
    kinds="fi",
)
unary("floor", "floor(x)", "The largest whole number not above each element.", kinds="f")

# Exponential, trigonometric, activations.
unary("exp", "exp(x)", "e to the power of each element.", derivative="g * out", rule="float", kinds="f")
unary("log", "log(x)", "The natural logarithm of each element; NaN below 0.", rule="float", kinds="f")
unary("sin", "sin(x)", "The sine of each element, in radians.", rule="float", kinds="f")
unary("cos", "cos(x)", "The cosine of each element, in radians.", rule="float", kinds="f")
unary(
    "tanh",
    "tanh(x)",
    "The hyperbolic tangent of each element.",
    derivative="g * (1.0 - out * out)",
    rule="float",
    kinds="f",
    functional=True,
)
unary(
    "sigmoid",
    "sigmoid(x)",
    "1 / (1 + exp(-x)) of each element.",
    derivative="g * (out * (1.0 - out))",
    rule="float",
    kinds="f",
    functional=True,
)
unary(
    "relu",
    "relu(x)",
    "Each element, or 0 where it is negative.",
    derivative="where(out > 0.0, g, 0.0)",
    kinds="fi",
    functional=True,
)
unary("silu", "x * sigmoid(x)", "x * sigmoid(x) of each element (Hendrycks and Gimpel 2016).", kinds="f",
      top=False, method=False, inplace=False, functional=True)  # fmt: skip
unary("isnan", "isnan(x)", "Whether each element is NaN.", rule="bool", kinds="f", inplace=False)

# Comparison and logic.
for _name, _sign, _operator, _doc in (
    ("eq", "==", "__eq__", "equals"), ("ne", "!=", "__ne__", "differs from"), ("lt", "<", "__lt__", "is below"),
    ("le", "<=", "__le__", "is at most"), ("gt", ">", "__gt__", "is above"), ("ge", ">=", "__ge__", "is at least"),
):  # fmt: skip
    binary(_name, f"x {_sign} y", f"Whether each element of ``input`` {_doc} that of ``other``.", rule="bool",
           kinds="fiub" if _name in ("eq", "ne") else "fiu", operators=(_operator,), inplace=False)  # fmt: skip
binary("bitwise_and", "x & y", "The bitwise and; the logical one for bool.", kinds="iub",
       operators=("__and__", "__rand__"), inplace=False)  # fmt: skip
binary("bitwise_or", "x | y", "The bitwise or; the logical one for bool.", kinds="iub",
       operators=("__or__", "__ror__"), inplace=False)  # fmt: skip
unary(
    "logical_not",
    "not x",
    "Whether each bool element is False.",
    kinds="b",
    operators=("__invert__",),
    inplace=False,
)
WHERE = pointwise("where", "where(c, x, y)", "c x y", "``input`` where the condition holds, else ``other``.",
                  conditions=("c",))  # fmt: skip


@function(method=False)
def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """``input`` where the bool ``condition`` holds, else ``other``; all broadcast, values may be numbers."""
    arguments.tensor("where", "condition", condition)
    return bind(WHERE, condition, input, other)
