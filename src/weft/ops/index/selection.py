"""Pointwise selection and interpolation: ``where``, ``clamp``, ``lerp``, ``nan_to_num``, ``isclose``."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.declaring import check_operands, planned
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.outs import bind_out
from weft.ops.registry.table import lookup

WHERE = pointwise("where", "where(c, x, y)", "c x y", "``input`` where the condition holds, else ``other``.",
                  conditions=("c",))  # fmt: skip


def _where_method(input: Tensor, condition: Tensor, other: Tensor | float) -> Tensor:
    """This tensor where the bool ``condition`` holds, else ``other``; all three broadcast."""
    return where(condition, input, other)


@function(method=_where_method)
def where(
    condition: Tensor,
    input: Tensor | float | None = None,
    other: Tensor | float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """``input`` where ``condition`` (bool, or uint8) is true, else ``other``, a tensor or a number; all are broadcast.

    With the condition alone, the coordinates of its true elements: ``nonzero(condition, as_tuple=True)``.

    >>> import weft as wf
    >>> x = wf.tensor([1.0, -2.0, 3.0])
    >>> wf.where(x > 0, x, 0.0)
    tensor([1., 0., 3.])
    """
    given = arguments.tensor("where", "condition", condition)
    if input is None and other is None:
        return FUNCTIONS["nonzero"].function(given, as_tuple=True)
    if input is None or other is None:
        raise ArgumentTypeError(mistake("where", "input and other", "one of them", "both, or neither"))
    if given.dtype is dtypes.uint8:
        given = to_dtype(given, dtypes.bool_)
    if given.dtype.kind != "bool":
        raise DTypeError(
            mistake("where", "condition's dtype", given.dtype.name, "bool", "compare it, as in x != 0")
        )
    for name, value, beside in (("input", input, other), ("other", other, input)):
        if hasattr(beside, "dtype"):
            arguments.scalar_operand("where", name, value, beside)
    return bind(WHERE, given, input, other) if out is None else bind_out(WHERE, out, given, input, other)


def plan_fill(input: Tensor, mask: Tensor, value: Tensor | float) -> tuple[Any, ...]:
    """Return the op and the operands of ``masked_fill``, whose arguments are checked here."""
    x, chosen = arguments.tensor("masked_fill", "input", input), arguments.tensor("masked_fill", "mask", mask)
    if chosen.dtype.kind != "bool":
        raise DTypeError(mistake("masked_fill", "mask's dtype", chosen.dtype.name, "bool"))
    if hasattr(value, "shape") and tuple(value.shape):
        raise ShapeError(
            mistake("masked_fill", "value", f"of shape {tuple(value.shape)}", "a number or a 0-d tensor")
        )
    if x.dtype.is_integer and (
        isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "float"
    ):
        raise DTypeError(
            mistake("masked_fill", "value", "a floating point number", f"one of input's type {x.dtype.name}")
        )
    arguments.scalar_operand("masked_fill", "value", value, x)
    if hasattr(value, "shape"):
        return WHERE, chosen, to_dtype(value, x.dtype), x
    return WHERE, chosen, bool(value) if x.dtype is dtypes.bool_ else value, x


@planned()
def masked_fill(input: Tensor, mask: Tensor, value: Tensor | float) -> tuple[Any, ...]:
    """``input`` with ``value``, a number or a 0-d tensor, where the bool ``mask`` is true; dtype as ``input``."""
    return plan_fill(input, mask, value)


CLAMP = pointwise("clamp", "minimum(maximum(x, low), high)", "x low high", "x brought into [low, high].", kinds="fiu",
                  derivative=("where((x >= low) & (x <= high), g, 0.0)", "where((x < low) & (low < high), g, 0.0)",
                              "where((x > high) | (low > high), g, 0.0)"))  # fmt: skip
CLAMP_MIN = pointwise("clamp_min", "maximum(x, low)", "x low", "The larger of x and low.", kinds="fiu",
                      derivative=("where(x >= low, g, 0.0)", "where(x < low, g, 0.0)"))  # fmt: skip
CLAMP_MAX = pointwise("clamp_max", "minimum(x, high)", "x high", "The smaller of x and high.", kinds="fiu",
                      derivative=("where(x <= high, g, 0.0)", "where(x > high, g, 0.0)"))  # fmt: skip


def _clamped(name: str, input: Any, low: Any, high: Any) -> tuple[Any, ...]:
    check_operands(name, input)
    if low is None and high is None:
        raise ArgumentError(mistake(name, "min and max", "both None", "at least one of them"))
    low = arguments.scalar_operand(name, "min", low, input)
    high = arguments.scalar_operand(name, "max", high, input)
    if high is None:
        return CLAMP_MIN, input, low
    return (CLAMP_MAX, input, high) if low is None else (CLAMP, input, low, high)


@planned(inplace=True)
def clamp(
    input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None
) -> tuple[Any, ...]:
    """Each element limited to [``min``, ``max``], numbers or tensors; ``None`` is no limit.

    Where ``min`` is above ``max`` the result is ``max``.

    >>> import weft as wf
    >>> wf.clamp(wf.tensor([-2.0, 0.5, 9.0]), min=0, max=1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _clamped("clamp", input, min, max)


@planned(inplace=True)
def clamp_min(input: Tensor, min: Tensor | float) -> tuple[Any, ...]:
    """The larger of each element and ``min``, a number or a tensor."""
    return _clamped("clamp_min", input, min, None)


@planned(inplace=True)
def clamp_max(input: Tensor, max: Tensor | float) -> tuple[Any, ...]:
    """The smaller of each element and ``max``, a number or a tensor."""
    return _clamped("clamp_max", input, None, max)


@planned(inplace=True)
def clip(
    input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None
) -> tuple[Any, ...]:
    """Alias of ``clamp``, with NumPy's name."""
    return _clamped("clip", input, min, max)


# Computed from the nearer end, so that both ends are exact.
LERP = pointwise("lerp", "where(abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1.0 - w))", "x y w", "x + w * (y - x).",
                 kinds="f", derivative=("g * (1.0 - w)", "g * w", "g * (y - x)"))  # fmt: skip
ADDCMUL = pointwise("addcmul", "x + v * a * b", "x a b v", "x + v * a * b.", kinds="fiu")
ADDCDIV = pointwise("addcdiv", "x + v * (a / b)", "x a b v", "x + v * a / b.", kinds="f",
                    derivative=("g", "g * (v / b)", "-(g * (v * (a / b) / b))", "g * (a / b)"))  # fmt: skip


@planned(inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> tuple[Any, ...]:
    """``input + weight * (end - input)``, exact at weights 0 and 1; broadcast, floating point."""
    return LERP, arguments.tensor("lerp", "input", input), arguments.tensor("lerp", "end", end), weight


@planned(inplace=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> tuple[Any, ...]:
    """``input + value * tensor1 * tensor2``, broadcast."""
    check_operands("addcmul", input)
    operands = tuple(operand for operand in (input, tensor1, tensor2) if hasattr(operand, "dtype"))
    return ADDCMUL, input, tensor1, tensor2, arguments.scalar_factor("addcmul", "value", value, *operands)


@planned(inplace=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> tuple[Any, ...]:
    """``input + value * tensor1 / tensor2``, broadcast; floating point."""
    check_operands("addcdiv", input)
    return ADDCDIV, input, tensor1, tensor2, value


NAN_TO_NUM = pointwise(
    "nan_to_num", {"f": "where(x != x, n, where(x == inf, p, where(x == -inf, m, x)))", "iu": "x"}, "x n p m",
    "n for NaN, p for inf, m for -inf.", derivative=("where(abs(x) < inf, g, 0.0)", "", "", ""),
)  # fmt: skip
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
            "float64": 1.7976931348623157e308}  # fmt: skip


@planned(inplace=True)
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> tuple[Any, ...]:
    """NaN replaced by ``nan`` (0), inf by ``posinf`` and -inf by ``neginf`` (the type's largest and lowest)."""
    largest = _LARGEST.get(arguments.tensor("nan_to_num", "input", input).dtype.name)
    if largest is None:
        return lookup("positive"), input
    top, bottom = (largest if posinf is None else posinf), (-largest if neginf is None else neginf)
    return NAN_TO_NUM, input, 0.0 if nan is None else float(nan), float(top), float(bottom)


_CLOSE = """
    allowed = abs(rtol * y) + atol
    near = (abs(x - y) <= allowed) & (abs(x) < inf) & (abs(y) < inf)
    """
ISCLOSE = pointwise(
    "isclose",
    f"{_CLOSE}(x == y) | near",
    "x y rtol atol",
    "|x - y| <= atol + rtol |y|.",
    rule="bool",
    kinds="f",
)
ISCLOSE_NAN = pointwise("isclose_nan", f"{_CLOSE}(x == y) | near | ((x != x) & (y != y))", "x y rtol atol",
                        "|x - y| <= atol + rtol |y|, or both NaN.", rule="bool", kinds="f")  # fmt: skip


@function()
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``, or equal (infinities too); NaN only with ``equal_nan``."""
    x, y = arguments.tensor("isclose", "input", input), arguments.tensor("isclose", "other", other)
    if x.dtype is not y.dtype:
        raise DTypeError(mistake("isclose", "other's dtype", y.dtype.name, f"{x.dtype.name}, as input's"))
    for name, given in (("rtol", rtol), ("atol", atol)):
        if not isinstance(given, int | float) or math.isnan(given) or given < 0:
            raise ArgumentTypeError(mistake("isclose", name, repr(given), "a number of 0 or more"))
    return bind(ISCLOSE_NAN if equal_nan else ISCLOSE, x, y, float(rtol), float(atol))


@function()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, as ``isclose``; reads a value from the device."""
    near = isclose(input, other, rtol, atol, equal_nan)
    return bool(bind(lookup("all"), near, dims=tuple(range(len(near.shape))), keepdim=False).item())


@function()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and equal elements; reads a value from the device."""
    x, y = arguments.tensor("equal", "input", input), arguments.tensor("equal", "other", other)
    if tuple(x.shape) != tuple(y.shape):
        return False
    same = bind(lookup("eq"), x, y)
    return bool(bind(lookup("all"), same, dims=tuple(range(len(same.shape))), keepdim=False).item())
