"""Pointwise exponentials, logarithms, trigonometric and error functions; integers are computed as float32."""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops.pointwise.declaring import binary, check_operands, planned, unary
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup

_FLOAT: dict[str, Any] = {"rule": "float", "kinds": "f"}
_FLOAT32 = {**_FLOAT, "precision": "float32"}
"""The columns of functions that autocast computes in float32."""

unary("exp", "exp(x)", "e to the power of each element.", derivative="g * out", **_FLOAT32)
unary(
    "exp2",
    "exp2(x)",
    "2 to the power of each element.",
    derivative=f"g * (out * {0.6931471805599453})",
    **_FLOAT32,
)
unary(
    "expm1", "expm1(x)", "exp(x) - 1 of each element, exact near 0.", derivative="g * (out + 1.0)", **_FLOAT32
)
unary("log", "log(x)", "The natural logarithm of each element; NaN below 0.", **_FLOAT32)
unary("log2", "log2(x)", "The logarithm to base 2 of each element; NaN below 0.", **_FLOAT32)
unary("log10", "log10(x)", "The logarithm to base 10 of each element; NaN below 0.", **_FLOAT32)
unary("log1p", "log1p(x)", "log(1 + x) of each element, exact near 0; NaN below -1.", **_FLOAT32)

unary("sin", "sin(x)", "The sine of each element, in radians.", **_FLOAT)
unary("cos", "cos(x)", "The cosine of each element, in radians.", **_FLOAT)
unary(
    "tan",
    "tan(x)",
    "The tangent of each element, in radians.",
    derivative="g * (1.0 + out * out)",
    **_FLOAT32,
)
unary(
    "asin",
    "asin(x)",
    "The inverse sine of each element, in [-pi / 2, pi / 2]; NaN outside of [-1, 1].",
    **_FLOAT32,
)
unary(
    "acos", "acos(x)", "The inverse cosine of each element, in [0, pi]; NaN outside of [-1, 1].", **_FLOAT32
)
unary("atan", "atan(x)", "The inverse tangent of each element, in [-pi / 2, pi / 2].", **_FLOAT)
binary(
    "atan2",
    "atan2(x, y)",
    "The angle of the point x = ``other``, y = ``input``, in [-pi, pi] radians.",
    **_FLOAT,
)
unary("sinh", "sinh(x)", "The hyperbolic sine of each element.", **_FLOAT32)
unary("cosh", "cosh(x)", "The hyperbolic cosine of each element.", **_FLOAT32)
unary(
    "tanh",
    "tanh(x)",
    "The hyperbolic tangent of each element.",
    derivative="g * (1.0 - out * out)",
    functional=True,
    **_FLOAT,
)
unary("asinh", "asinh(x)", "The inverse hyperbolic sine of each element.", **_FLOAT)
unary("acosh", "acosh(x)", "The inverse hyperbolic cosine of each element; NaN below 1.", **_FLOAT)
unary(
    "atanh", "atanh(x)", "The inverse hyperbolic tangent of each element; NaN outside of [-1, 1].", **_FLOAT
)
unary("sinc", """
      p = x * 3.141592653589793
      where(x == 0, 1.0, sin(p) / where(x == 0, 1.0, p))
      """, "sin(pi x) / (pi x) of each element, 1 at 0.",
      derivative="p = x * 3.141592653589793\nq = where(x == 0, 1.0, p)\n"
      "where(x == 0, 0.0, g * ((cos(p) - sin(p) / q) / where(x == 0, 1.0, x)))", **_FLOAT)  # fmt: skip

unary("erf", "erf(x)", "The error function of each element.", **_FLOAT)
unary("erfc", "erfc(x)", "1 - erf(x) of each element, accurate where the result is small.", **_FLOAT)
binary("hypot", "hypot(x, y)", "sqrt(input ** 2 + other ** 2), without overflow of the squares.", kinds="f")
binary("copysign", "copysign(x, y)", "The magnitude of ``input`` with the sign of ``other``.", **_FLOAT)
binary("logaddexp", """
       top = maximum(x, y)
       where((abs(top) == inf) & (x == y), top, top + log1p(exp(-abs(x - y))))
       """, "log(exp(input) + exp(other)), without overflow of the exponentials.", kinds="f", inplace=False,
       derivative=("where(x == y, 0.5 * g, g * sigmoid(x - y))",
                   "where(x == y, 0.5 * g, g * sigmoid(y - x))"))  # fmt: skip
binary("logaddexp2", f"""
       top = maximum(x, y)
       where((abs(top) == inf) & (x == y), top, top + log1p(exp2(-abs(x - y))) * {1.4426950408889634})
       """, "log2(2 ** input + 2 ** other), without overflow of the powers.", kinds="f", inplace=False,
       derivative=(f"where(x == y, 0.5 * g, g * sigmoid((x - y) * {0.6931471805599453}))",
                   f"where(x == y, 0.5 * g, g * sigmoid((y - x) * {0.6931471805599453}))"))  # fmt: skip
binary("xlogy", "where(y != y, y, where(x == 0, 0.0, x * log(where((x == 0) & (y <= 0), 1.0, y))))",
       "input * log(other); 0 where ``input`` is 0, NaN where ``other`` is NaN.",
       derivative=("where((x == 0) & (y <= 0), 0.0, g * log(y))", "g * (x / y)"), **_FLOAT)  # fmt: skip
binary("heaviside", {"f": "where(x > 0, 1, where(x == 0, y, 0))", "iu": "where(x > 0, 1, where(x == 0, y, 0))",
                     "b": "x | y"},
       "0 where ``input`` is below 0, 1 where it is above 0, and ``other`` where it is 0.")  # fmt: skip

LOGIT = pointwise(
    "logit", "log(x / (1.0 - x))", "x", "log(x / (1 - x)).", derivative="g / (x * (1.0 - x))", **_FLOAT
)
LOGIT_CLAMPED = pointwise(
    "logit_clamped", "c = clamp(x, e, 1.0 - e)\nlog(c / (1.0 - c))", "x e", "logit of x clamped to [e, 1 - e].",
    derivative=("where((x < e) | (x > 1.0 - e), 0.0, g / (x * (1.0 - x)))", ""), **_FLOAT,
)  # fmt: skip


@planned(inplace=True)
def logit(input: Tensor, eps: float | None = None) -> tuple[Any, ...]:
    """log(x / (1 - x)) of each element, after it is clamped to [eps, 1 - eps] where ``eps`` is given."""
    check_operands("logit", input)
    if eps is None:
        return LOGIT, input
    if not isinstance(eps, int | float):
        raise ArgumentTypeError(mistake("logit", "eps", type(eps).__name__, "a number or None"))
    if not eps <= 0.5:
        raise ArgumentError(mistake("logit", "eps", eps, "at most 0.5, so that [eps, 1 - eps] is not empty"))
    return (LOGIT, input) if eps < 0 else (LOGIT_CLAMPED, input, float(eps))


@function(inplace=True, out=True, wide=True)
def ldexp(input: Tensor, other: Tensor | float) -> Tensor:
    """``input * 2 ** other``, broadcast; integers are computed as float32."""
    check_operands("ldexp", input)
    power = bind(lookup("exp2"), other) if hasattr(other, "dtype") else 2.0**other
    value = input if input.dtype.kind == "float" else bind(lookup("cast"), input, dtype=dtypes.float32)
    return bind(lookup("mul"), value, power)
