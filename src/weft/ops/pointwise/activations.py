"""Activation functions of ``nn.functional``. No branch of a derivative overflows where the other branch is taken."""

from __future__ import annotations

from typing import Any

from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.pointwise.declaring import check_operands, planned, unary
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup

_PLACES: dict[str, Any] = {"top": False, "method": False, "functional": True, "functional_inplace": True}
_FUNCTIONAL: dict[str, Any] = {"top": False, "method": False, "functional": True}

unary("sigmoid", "sigmoid(x)", "1 / (1 + exp(-x)) of each element.", derivative="g * (out * (1.0 - out))", rule="float",
      kinds="f", functional=True)  # fmt: skip
RELU = pointwise(
    "relu",
    "relu(x)",
    "x",
    "Each element, or 0 where it is negative.",
    derivative="where(out > 0.0, g, 0.0)",
    kinds="fiu",
)
SILU = pointwise("silu", "x * sigmoid(x)", "x", "x * sigmoid(x).", kinds="f")


def _plan_relu(input: Any) -> tuple[Any, ...]:
    check_operands("relu", input)
    return RELU, input


@function(inplace=True, functional=True, op=RELU, plan=_plan_relu)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Each element, or 0 where it is negative; any shape."""
    check_operands("relu", input)
    return bind(RELU, input, into=(input,)) if inplace else bind(RELU, input)


@planned(**_PLACES)
def silu(input: Tensor) -> tuple[Any, ...]:
    """``x * sigmoid(x)`` of each element (Hendrycks and Gimpel 2016)."""
    check_operands("silu", input)
    return SILU, input


GELU = pointwise("gelu", "gelu(x)", "x", "x * Phi(x), Phi the normal distribution function.", kinds="f")
# With u = sqrt(2 / pi) * (x + 0.044715 x^3), 0.5 * x * (1 + tanh(u)) is x * sigmoid(2 u), which cancels nowhere.
_INNER = "p = x * fma(x * x, 0.07135481282636482, 1.5957691216057308)\n"
GELU_TANH = pointwise(
    "gelu_tanh", f"{_INNER}x * sigmoid(p)", "x", "gelu by a hyperbolic tangent.", kinds="f",
    derivative=f"{_INNER}s = sigmoid(p)\nslope = fma(x * x, 0.21406443847909447, 1.5957691216057308)\n"
    "g * (s + x * (s * (1.0 - s) * slope))",
)  # fmt: skip


@function(**_FUNCTIONAL)
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * Phi(x)`` of each element (Hendrycks and Gimpel 2016); ``approximate="tanh"`` is their approximation."""
    check_operands("gelu", input)
    ops = {"none": GELU, "tanh": GELU_TANH}
    if approximate not in ops:
        raise ArgumentError(mistake("gelu", "approximate", repr(approximate), "'none' or 'tanh'"))
    return bind(ops[approximate], input)


ELU = pointwise(
    "elu",
    "where(x >= 0, x, alpha * expm1(where(x > 0, 0.0, x)))",
    "x alpha",
    "x, or alpha * (exp(x) - 1) below 0.",
    kinds="f",
    derivative=(
        "where(x > 0, g, g * alpha * exp(where(x > 0, 0.0, x)))",
        "where(x > 0, 0.0, g * expm1(where(x > 0, 0.0, x)))",
    ),
)
_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772
SELU = pointwise(
    "selu",
    f"where(x >= 0, {_SCALE} * x, {_SCALE * _ALPHA} * expm1(where(x > 0, 0.0, x)))",
    "x",
    "Scaled elu.",
    kinds="f",
    derivative=f"where(x > 0, {_SCALE} * g, g * ({_SCALE * _ALPHA} * exp(where(x > 0, 0.0, x))))",
)
CELU = pointwise(
    "celu",
    "where(x >= 0, x, alpha * expm1(where(x > 0, 0.0, x) / alpha))",
    "x alpha",
    "x, or alpha * (exp(x / alpha) - 1) below 0.",
    kinds="f",
    derivative=(
        "where(x > 0, g, g * exp(where(x > 0, 0.0, x) / alpha))",
        "m = where(x > 0, 0.0, x) / alpha\nwhere(x > 0, 0.0, g * (expm1(m) - m * exp(m)))",
    ),
)
LEAKY = pointwise("leaky_relu", "where(x > 0, x, x * slope)", "x slope", "x, or slope * x below 0.", kinds="f",
                  derivative=("where(x > 0, g, g * slope)", "where(x > 0, 0.0, g * x)"))  # fmt: skip
HARDTANH = pointwise(
    "hardtanh",
    "minimum(maximum(x, low), high)",
    "x low high",
    "x brought into [low, high].",
    kinds="fiu",
    derivative=(
        "where((x > low) & (x < high), g, 0.0)",
        "where(x <= low, g, 0.0)",
        "where(x >= high, g, 0.0)",
    ),
)
HARDSIGMOID = pointwise("hardsigmoid", "clamp(x + 3.0, 0.0, 6.0) / 6.0", "x", "clamp(x + 3, 0, 6) / 6.", kinds="f",
                        derivative="where((x > -3.0) & (x < 3.0), g / 6.0, 0.0)")  # fmt: skip
HARDSWISH = pointwise(
    "hardswish",
    "x * (clamp(x + 3.0, 0.0, 6.0) / 6.0)",
    "x",
    "x * clamp(x + 3, 0, 6) / 6.",
    kinds="f",
    derivative="where(x <= -3.0, 0.0, where(x < 3.0, g * (x / 3.0 + 0.5), g))",
)
SOFTPLUS = pointwise("softplus", "where(x * beta > threshold, x, softplus(x * beta) / beta)", "x beta threshold",
                     "log(1 + exp(beta x)) / beta.", kinds="f", precision="float32",
                     derivative=("where(x * beta > threshold, g, g * sigmoid(x * beta))", "", ""))  # fmt: skip
SOFTSIGN = pointwise("softsign", "x / (1.0 + abs(x))", "x", "x / (1 + |x|).", kinds="f",
                     derivative="d = 1.0 + abs(x)\ng / (d * d)")  # fmt: skip
TANHSHRINK = pointwise(
    "tanhshrink", "x - tanh(x)", "x", "x - tanh(x).", kinds="f", derivative="t = tanh(x)\ng * (t * t)"
)
MISH = pointwise("mish", "x * tanh(softplus(x))", "x", "x * tanh(softplus(x)).", kinds="f",
                 derivative="t = tanh(softplus(x))\ng * (t + x * (1.0 - t * t) * sigmoid(x))")  # fmt: skip
LOGSIGMOID = pointwise("logsigmoid", "minimum(x, 0.0) - log1p(exp(-abs(x)))", "x", "log(sigmoid(x)).", kinds="f",
                       derivative="g * sigmoid(-x)")  # fmt: skip
THRESHOLD = pointwise("threshold", "where(x <= t, v, x)", "x t v", "x, or v where it is at most t.", kinds="fi",
                      derivative=("where(x <= t, 0.0, g)", "", "where(x <= t, g, 0.0)"))  # fmt: skip
HARDSHRINK = pointwise("hardshrink", "where((x >= -l) & (x <= l), 0.0, x)", "x l", "x, or 0 in [-l, l].", kinds="f",
                       derivative=("where((x >= -l) & (x <= l), 0.0, g)", ""))  # fmt: skip
SOFTSHRINK = pointwise(
    "softshrink",
    "where(x > l, x - l, where(x < -l, x + l, x * 0.0))",
    "x l",
    "x brought closer to 0 by l.",
    kinds="f",
    derivative=("where((x >= -l) & (x <= l), 0.0, g)", "where(x > l, -g, where(x < -l, g, 0.0))"),
)


def _simple(op: OpSpec, doc: str, **places: Any) -> None:
    """Register the function of an activation without arguments."""

    def plan(input: Tensor) -> tuple[Any, ...]:
        check_operands(op.name, input)
        return op, input

    plan.__name__, plan.__doc__ = op.name, doc
    planned(**places)(plan)


_simple(
    SELU,
    "Scaled elu, which keeps mean 0 and variance 1 (Klambauer and others 2017).",
    **{**_PLACES, "top": True},
)
_simple(HARDSIGMOID, "``clamp(x + 3, 0, 6) / 6`` of each element.", **_PLACES)
_simple(HARDSWISH, "``x * clamp(x + 3, 0, 6) / 6`` of each element (Howard and others 2019).", **_PLACES)
_simple(MISH, "``x * tanh(softplus(x))`` of each element (Misra 2019).", **_PLACES)


def _alone(op: OpSpec, doc: str) -> None:
    """Register the function of an activation with neither arguments nor an in-place form."""

    def call(input: Tensor) -> Tensor:
        check_operands(op.name, input)
        return bind(op, input)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__, call.__module__ = doc, "weft"
    function(**_FUNCTIONAL)(call)


_alone(SOFTSIGN, "``x / (1 + |x|)`` of each element.")
_alone(TANHSHRINK, "``x - tanh(x)`` of each element.")
_alone(LOGSIGMOID, "``log(sigmoid(x))`` of each element, without overflow.")


@planned(**_PLACES)
def elu(input: Tensor, alpha: float = 1.0) -> tuple[Any, ...]:
    """Each element, or ``alpha * (exp(x) - 1)`` where it is negative (Clevert and others 2015)."""
    check_operands("elu", input)
    return ELU, input, alpha


@planned(**{**_PLACES, "top": True})
def celu(input: Tensor, alpha: float = 1.0) -> tuple[Any, ...]:
    """Each element, or ``alpha * (exp(x / alpha) - 1)`` where it is negative (Barron 2017)."""
    check_operands("celu", input)
    if alpha == 0:
        raise ArgumentError(mistake("celu", "alpha", alpha, "a number other than 0"))
    return CELU, input, alpha


@planned(**_PLACES)
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> tuple[Any, ...]:
    """Each element, or ``negative_slope * x`` where it is negative."""
    check_operands("leaky_relu", input)
    return LEAKY, input, negative_slope


def _limits(input: Any, low: float, high: float) -> tuple[float, float]:
    """Return the limits as numbers of the input's category; ``DTypeError`` where its type cannot hold them."""
    kind = input.dtype.kind
    if kind == "float":
        return low, high
    if kind == "bool" or (kind == "uint" and low < 0):
        expected = "a number type" if kind == "bool" else "a type that holds the limit " + str(low)
        raise DTypeError(mistake("hardtanh", "input's dtype", input.dtype.name, expected))
    return int(low), int(high)


@planned(**_PLACES)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> tuple[Any, ...]:
    """Each element limited to [``min_val``, ``max_val``]; the gradient at the limits is 0."""
    check_operands("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError(mistake("hardtanh", "min_val", min_val, f"at most max_val, {max_val}"))
    return HARDTANH, input, *_limits(input, min_val, max_val)


@planned(**_PLACES)
def relu6(input: Tensor) -> tuple[Any, ...]:
    """Each element limited to [0, 6]."""
    check_operands("relu6", input)
    return HARDTANH, input, *_limits(input, 0, 6)


@planned(**{**_PLACES, "top": True})
def threshold(input: Tensor, threshold: float, value: float) -> tuple[Any, ...]:
    """Each element, or ``value`` where it is at most ``threshold``."""
    check_operands("threshold", input)
    if input.dtype.is_integer:
        return THRESHOLD, input, int(threshold), int(value)
    return THRESHOLD, input, threshold, value


@function(**_FUNCTIONAL)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta`` of each element; x itself where ``beta * x`` is above ``threshold``."""
    check_operands("softplus", input)
    return bind(SOFTPLUS, input, float(beta), float(threshold))


@function(functional=True, out=HARDSHRINK)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Each element, or 0 where it is in [-lambd, lambd]."""
    check_operands("hardshrink", input)
    return bind(HARDSHRINK, input, float(lambd))


@function(**_FUNCTIONAL)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x - lambd`` where x is above ``lambd``, ``x + lambd`` where it is below ``-lambd``, else 0."""
    check_operands("softshrink", input)
    if lambd < 0:
        raise ArgumentError(mistake("softshrink", "lambd", lambd, "at least 0"))
    return bind(SOFTSHRINK, input, float(lambd))


@function(**_FUNCTIONAL, wide=True)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` of the two halves of ``input`` along ``dim`` (Dauphin and others 2016)."""
    rank = len(arguments.tensor("glu", "input", input).shape)
    place = arguments.dimension("glu", dim, rank)
    if rank == 0 or input.shape[place] % 2:
        raise ShapeError(
            mistake("glu", "input's shape", tuple(input.shape), f"an even size at dimension {dim}")
        )
    half = input.shape[place] // 2
    first, second = (
        bind(lookup("slice"), input, dim=place, start=at, stop=at + half, step=1) for at in (0, half)
    )
    return bind(lookup("mul"), first, bind(lookup("sigmoid"), second))


@function(functional=True)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Each element, or ``weight * x`` where it is negative; ``weight`` is (1), or (C) for the channels (dim 1)."""
    x, slope = arguments.tensor("prelu", "input", input), arguments.tensor("prelu", "weight", weight)
    count, rank = slope.numel(), len(x.shape)
    channels = x.shape[1] if rank > 1 else 1
    if len(slope.shape) > 1 or count not in (1, channels):
        raise ShapeError(
            mistake(
                "prelu", "weight's shape", tuple(slope.shape), f"({channels},) or (1,) for {tuple(x.shape)}"
            )
        )
    shape = (1,) * rank if count == 1 else (1, count, *(1,) * (rank - 2))
    return bind(LEAKY, x, bind(lookup("reshape"), slope, shape=shape))
