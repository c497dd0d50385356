"""Arithmetic, comparison, logic and rounding.

In the expressions, ``x`` and ``y`` are the operands and ``g`` is the gradient of the output. Functions with further
arguments are ``planned``: the plan checks the arguments and gives the op with its operands.
"""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, mistake
from weft.ops.pointwise.declaring import binary, check_operands, planned, unary
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.outs import bind_out
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup

# Sums, with ``alpha``. They are called most often, so they do without ``planned``.
ADD = pointwise("add", {"fiu": "x + y", "b": "x | y"}, "x y", "The sum of two tensors, broadcast.")
SUB = pointwise("sub", "x - y", "x y", "The difference of two tensors, broadcast.", kinds="fiu")
ADD_SCALED = pointwise("add_scaled", "x + alpha * y", "x y alpha", "x + alpha * y.", kinds="fiu")
SUB_SCALED = pointwise("sub_scaled", "x - alpha * y", "x y alpha", "x - alpha * y.", kinds="fiu")


def _scaled(plain: OpSpec, scaled: OpSpec, input: Any, other: Any, alpha: Any) -> tuple[Any, ...]:
    check_operands(plain.name, input, other)
    if alpha == 1:
        return plain, input, other
    if not isinstance(alpha, bool | int | float):
        raise ArgumentTypeError(mistake(plain.name, "alpha", type(alpha).__name__, "a number"))
    kinds = {
        "float" if isinstance(v, float) else getattr(getattr(v, "dtype", None), "kind", "int")
        for v in (input, other)
    }
    if isinstance(alpha, float) and "float" not in kinds:
        raise ArgumentTypeError(mistake(plain.name, "alpha", repr(alpha), "an int for integer operands"))
    return scaled, input, other, alpha


def _plan_add(input: Any, other: Any, *, alpha: Any = 1) -> tuple[Any, ...]:
    return _scaled(ADD, ADD_SCALED, input, other, alpha)


def _plan_sub(input: Any, other: Any, *, alpha: Any = 1) -> tuple[Any, ...]:
    return _scaled(SUB, SUB_SCALED, input, other, alpha)


@function(inplace=True, operators=("__add__", "__radd__", "__iadd__"), op=ADD, plan=_plan_add)
def add(
    input: Tensor | float, other: Tensor | float, *, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """``input + alpha * other``, broadcast and with promoted types; for bool tensors the logical or.

    >>> import weft as wf
    >>> wf.add(wf.tensor([1.0, 2.0]), wf.tensor([10.0, 20.0]), alpha=2)
    tensor([21., 42.])
    """
    op, *operands = _scaled(ADD, ADD_SCALED, input, other, alpha)
    return bind(op, *operands) if out is None else bind_out(op, out, *operands)


@function(inplace=True, operators=("__sub__", "__rsub__", "__isub__"), op=SUB, plan=_plan_sub)
def sub(
    input: Tensor | float, other: Tensor | float, *, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """``input - alpha * other``, broadcast."""
    op, *operands = _scaled(SUB, SUB_SCALED, input, other, alpha)
    return bind(op, *operands) if out is None else bind_out(op, out, *operands)


binary("mul", {"fiu": "x * y", "b": "x & y"}, "The product of two tensors element by element, broadcast.",
       operators=("__mul__", "__rmul__", "__imul__"))  # fmt: skip
binary("fmod", {"f": "fmod(x, y)", "iu": """
       least = (y + 1 == 0) & (y < 0)
       where((y == 0) | least, 0, irem(x, where((y == 0) | least, 1, y)))
       """}, "The remainder with the sign of ``input``, as C's ``fmod``; integers by 0 give 0.")  # fmt: skip
binary("remainder", "mod(x, y)", "The remainder with the divisor's sign, as Python's ``%``; integers by 0 give 0.",
       kinds="fiu", operators=("__mod__", "__rmod__", "__imod__"),
       derivative=("g", "-(g * floordiv(x, y))"))  # fmt: skip
binary("floor_divide", "floordiv(x, y)", "The quotient rounded down, as Python's ``//``; integers by 0 give 0.",
       kinds="fiu", operators=("__floordiv__", "__rfloordiv__", "__ifloordiv__"))  # fmt: skip

# Quotients, by rounding mode.
DIV = pointwise("div", "x / y", "x y", "The quotient of two tensors, broadcast.", rule="float", kinds="f")
DIV_TRUNC = pointwise("div_trunc", {"f": "trunc(x / y)", "iu": """
    least = (y + 1 == 0) & (y < 0)
    where(y == 0, 0, where(least, 0 - x, idiv(x, where((y == 0) | least, 1, y))))
    """}, "x y", "The quotient rounded to 0; integers by 0 give 0.")  # fmt: skip


def _plan_div(input: Any, other: Any, *, rounding_mode: str | None = None) -> tuple[Any, ...]:
    check_operands("div", input, other)
    modes = {None: DIV, "trunc": DIV_TRUNC, "floor": lookup("floor_divide")}
    if rounding_mode not in modes:
        raise ArgumentError(mistake("div", "rounding_mode", repr(rounding_mode), "None, 'trunc' or 'floor'"))
    return modes[rounding_mode], input, other


@function(inplace=True, operators=("__truediv__", "__rtruediv__", "__itruediv__"), op=DIV, plan=_plan_div)
def div(
    input: Tensor | float,
    other: Tensor | float,
    *,
    rounding_mode: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The quotient ``input / other``, broadcast; integers are divided as float32.

    ``rounding_mode`` rounds the quotient towards 0 (``"trunc"``) or down (``"floor"``).
    """
    op, *operands = _plan_div(input, other, rounding_mode=rounding_mode)
    return bind(op, *operands) if out is None else bind_out(op, out, *operands)


# Powers. Integers by repeated squaring, which wraps; with a negative exponent the result is 1 / x rounded to 0.
def _power(dtype: DType) -> str:
    """Return the expression of a power of a type."""
    if dtype.kind == "float":
        return "pow(x, y)"
    lines = ["odd = where((y & 1) != 0, x, 1)", "r = odd", "b = x", "e = y"]
    for _ in range(1, dtype.bits - (dtype.kind == "int")):
        lines += ["b = b * b", "e = e >> 1", "r = where((e & 1) != 0, r * b, r)"]
    return "\n".join([*lines, "where(y < 0, where(x == 1, 1, where(x + 1 == 0, odd, 0)), r)"])


POW = pointwise("pow", _power, "x y", "``input`` to the power of ``exponent``.", kinds="fiu", precision="float32",
                derivative=("where(y == 0, 0.0, g * (y * pow(x, y - 1.0)))",
                            "where((x == 0) & (y >= 0), 0.0, g * (pow(x, y) * log(x)))"))  # fmt: skip
SQUARE = pointwise(
    "square", "x * x", "x", "The square.", kinds="fiu", derivative="g * (2.0 * x)", precision="float32"
)
CUBE = pointwise(
    "cube",
    "x * x * x",
    "x",
    "The third power.",
    kinds="fiu",
    derivative="g * (3.0 * (x * x))",
    precision="float32",
)
_PRODUCTS = {2: SQUARE, 3: CUBE}


@planned(inplace=True, operators=("__pow__", "__rpow__", "__ipow__"))
def pow(input: Tensor | float, exponent: Tensor | float) -> tuple[Any, ...]:
    """``input`` to the power of ``exponent``, broadcast; integers wrap around.

    Raises ``ArgumentError`` for integers and a negative number as exponent.
    """
    check_operands("pow", input, exponent)
    if isinstance(exponent, int | float) and not isinstance(exponent, bool):
        whole = exponent in _PRODUCTS
        kind = input.dtype.kind  # type: ignore[union-attr]  # one operand is a tensor
        integers = kind != "float"
        if whole and kind != "bool" and not (integers and isinstance(exponent, float)):
            return _PRODUCTS[int(exponent)], input
        if integers and isinstance(exponent, int) and exponent < 0:
            raise ArgumentError(
                mistake("pow", "exponent", exponent, "at least 0 for integers", "convert the input to float")
            )
    return POW, input, exponent


@function(out=POW)
def float_power(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """``input`` to the power of ``exponent``, broadcast, in float64, which only the ``cpu`` device has."""
    check_operands("float_power", input, exponent)
    operands: list[Any] = [
        bind(lookup("cast"), value, dtype=dtypes.float64) if is_tensor(value) else float(value)
        for value in (input, exponent)
    ]
    return bind(POW, *operands)


@planned(inplace=True)
def square(input: Tensor) -> tuple[Any, ...]:
    """The square of each element."""
    check_operands("square", input)
    return SQUARE, input


binary(
    "maximum",
    {"fiu": "maximum(x, y)", "b": "x | y"},
    "The larger of two elements; NaN where either is NaN.",
    inplace=False,
)
binary(
    "minimum",
    {"fiu": "minimum(x, y)", "b": "x & y"},
    "The smaller of two elements; NaN where either is NaN.",
    inplace=False,
)
binary("fmax", {"f": "where((x >= y) | (y != y), x, y)", "iu": "maximum(x, y)", "b": "x | y"},
       "The larger of two elements; where one of them is NaN, the other one.", inplace=False)  # fmt: skip
binary("fmin", {"f": "where((x <= y) | (y != y), x, y)", "iu": "minimum(x, y)", "b": "x & y"},
       "The smaller of two elements; where one of them is NaN, the other one.", inplace=False)  # fmt: skip
unary("neg", {"fi": "-x", "u": "0 - x"}, "The negative of each element.", operators=("__neg__",))
POSITIVE = pointwise("positive", "x", "x", "Each element as it is.", kinds="fiu")


@function(operators=("__pos__",))
def positive(input: Tensor) -> Tensor:
    """The tensor itself; ``DTypeError`` for bool, which has no sign."""
    if arguments.tensor("positive", "input", input).dtype is dtypes.bool_:
        raise DTypeError(mistake("positive", "input's dtype", "bool", "a number type"))
    return input


unary("abs", {"fi": "abs(x)", "u": "x"}, "The absolute value of each element.", operators=("__abs__",))
unary(
    "sqrt",
    "sqrt(x)",
    "The square root of each element; NaN below 0.",
    derivative="g / (out * 2.0)",
    rule="float",
    kinds="f",
)
unary(
    "rsqrt",
    "rsqrt(x)",
    "1 / sqrt(x) of each element.",
    derivative="-0.5 * g * (out * out * out)",
    rule="float",
    kinds="f",
    precision="float32",
)
unary(
    "reciprocal",
    "1.0 / x",
    "1 / x of each element.",
    derivative="-(g * (out * out))",
    rule="float",
    kinds="f",
    precision="float32",
)
_SIGN = {"f": "where(x > 0, 1, where(x < 0, -1, where(x == x, x, 0)))", "i": "where(x > 0, 1, where(x < 0, -1, x))",
         "u": "where(x > 0, 1, x)", "b": "x"}  # fmt: skip
unary("sign", _SIGN, "-1, 0 or 1 by the sign of each element; 0 for NaN.")
unary("sgn", _SIGN, "-1, 0 or 1 by the sign of each element, as ``sign``; 0 for NaN.")
unary("signbit", {"f": "copysign(1.0, x) < 0", "i": "x < 0", "u": "x != x", "b": "x != x"},
      "Whether the sign bit of each element is set: -0 too.", rule="bool", inplace=False)  # fmt: skip
unary("deg2rad", f"x * {0.017453292519943295}", "Degrees as radians.", rule="float", kinds="f")
unary("rad2deg", f"x * {57.29577951308232}", "Radians as degrees.", rule="float", kinds="f")

# Rounding; integers stay as they are.
for _name, _doc in (("floor", "The largest whole number not above"), ("ceil", "The smallest whole number not below"),
                    ("trunc", "The nearest whole number towards 0 of")):  # fmt: skip
    unary(_name, {"f": f"{_name}(x)", "iu": "x"}, f"{_doc} each element.")
unary(
    "frac",
    "x - trunc(x)",
    "The fractional part of each element, with its sign.",
    kinds="f",
    derivative="g",
)
DECIMALS = 300
"""The largest number of decimals to round to: a float64 has no more."""
ROUND = pointwise("round", {"f": "round(x)", "iu": "x"}, "x", "The nearest whole number, halves to even.")
ROUND_UP = pointwise(
    "round_scaled", "round(x * s) / s", "x s", "round(x * s) / s.", kinds="f", derivative=("", "")
)
ROUND_DOWN = pointwise(
    "round_divided", "round(x / s) * s", "x s", "round(x / s) * s.", kinds="f", derivative=("", "")
)


@planned(inplace=True)
def round(input: Tensor, *, decimals: int = 0) -> tuple[Any, ...]:
    """The nearest number with ``decimals`` decimal places, halves to even; -1 rounds to tens, -2 to hundreds."""
    check_operands("round", input)
    places = arguments.integer("round", "decimals", decimals)
    if places == 0:
        return ROUND, input
    arguments.floating("round", "input", input.dtype)
    if not -DECIMALS <= places <= DECIMALS:
        raise ArgumentError(mistake("round", "decimals", places, f"from {-DECIMALS} to {DECIMALS}"))
    return ROUND_UP if places > 0 else ROUND_DOWN, input, 10.0 ** (places if places > 0 else -places)


# Comparison and logic.
for _name, _sign, _operator, _doc in (
    ("eq", "==", "__eq__", "equals"), ("ne", "!=", "__ne__", "differs from"), ("lt", "<", "__lt__", "is below"),
    ("le", "<=", "__le__", "is at most"), ("gt", ">", "__gt__", "is above"), ("ge", ">=", "__ge__", "is at least"),
):  # fmt: skip
    _bool = {
        "eq": "not (x ^ y)",
        "ne": "x ^ y",
        "lt": "(not x) & y",
        "le": "(not x) | y",
        "gt": "x & (not y)",
        "ge": "x | (not y)",
    }
    binary(
        _name,
        {"fiu": f"x {_sign} y", "b": _bool[_name]},
        f"Whether each element of ``input`` {_doc} that of ``other``.",
        rule="bool",
        operators=(_operator,),
    )
for _name, _sign, _word, _operators in (
    ("and", "&", "and", ("__and__", "__rand__", "__iand__")), ("or", "|", "or", ("__or__", "__ror__", "__ior__")),
    ("xor", "^", "exclusive or", ("__xor__", "__rxor__", "__ixor__")),
):  # fmt: skip
    binary(f"bitwise_{_name}", f"x {_sign} y", f"The bitwise {_word} of integers; for bool the logical {_word}.",
           kinds="iub", operators=_operators)  # fmt: skip
    binary(f"logical_{_name}", {"fiu": f"(x != 0) {_sign} (y != 0)", "b": f"x {_sign} y"},
           f"The logical {_word} of two elements, where nonzero counts as true.", rule="bool")  # fmt: skip
unary(
    "bitwise_not",
    "~x",
    "The bitwise not of each element; the logical not for bool.",
    kinds="iub",
    operators=("__invert__",),
)
unary("logical_not", {"fiu": "x == 0", "b": "not x"}, "Whether each element is zero.", rule="bool")


def _shift(sign: str, beyond: str) -> Any:
    """Return the expression of a shift by any distance; those of WGSL and LLVM take the distance modulo the width."""

    def source(dtype: DType) -> str:
        lines = [f"wide = (y >= {dtype.bits}) | (y < 0)", "d = where(wide, 0, y)"]
        if dtype.bits == 64:  # in steps below 32, for targets that hold int64 in 32 bits
            lines += ["a = d >> 1", "b = (d - a) >> 1", f"moved = x {sign} a {sign} b {sign} (d - a - b)"]
        else:
            lines += [f"moved = x {sign} d"]
        return "\n".join([*lines, f"where(wide, {beyond}, moved)"])

    return source


binary(
    "bitwise_left_shift",
    _shift("<<", "0"),
    "``input`` shifted left by ``other`` bits; 0 where ``other`` is the width of the type or more.",
    kinds="iu",
    operators=("__lshift__", "__rlshift__", "__ilshift__"),
)
binary("bitwise_right_shift", _shift(">>", "where(x < 0, 0 * x - 1, 0 * x)"),
       "``input`` shifted right by ``other`` bits, sign kept; 0 or -1 where ``other`` is the type's width or more.",
       kinds="iu", operators=("__rshift__", "__rrshift__", "__irshift__"))  # fmt: skip
unary("isnan", {"f": "isnan(x)", "iub": "x != x"}, "Whether each element is NaN.", rule="bool", inplace=False)
unary(
    "isinf",
    {"f": "isinf(x)", "iub": "x != x"},
    "Whether each element is infinite.",
    rule="bool",
    inplace=False,
)
unary(
    "isfinite",
    {"f": "isfinite(x)", "iub": "x == x"},
    "Whether each element is neither infinite nor NaN.",
    rule="bool",
    inplace=False,
)
unary(
    "isposinf",
    {"f": "x == inf", "iub": "x != x"},
    "Whether each element is +inf.",
    rule="bool",
    inplace=False,
)
unary(
    "isneginf",
    {"f": "x == -inf", "iub": "x != x"},
    "Whether each element is -inf.",
    rule="bool",
    inplace=False,
)
