"""Special functions: ``erfinv``, the logarithm of the gamma function and its derivatives."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, mistake
from weft.expr.functions.table import horner
from weft.ops.pointwise.declaring import check_operands, unary
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.outs import bind_out
from weft.ops.registry.table import lookup

_FLOAT: dict[str, Any] = {"rule": "float", "kinds": "f"}

_NEAR = (1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06,
         3.43273939e-07, 2.81022636e-08)  # fmt: skip
_FAR = (2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322,
        0.000100950558, -0.000200214257)  # fmt: skip
_HALLEY = """
    d{n} = (1.0 - abs(x)) - erfc(abs(y{n}))
    c{n} = where(abs(x) > 0.5, where(x < 0.0, -d{n}, d{n}), erf(y{n}) - x)
    u{n} = c{n} / (1.1283791670955126 * exp(-(y{n} * y{n})))
    y{m} = y{n} - u{n} / (1.0 + y{n} * u{n})
    """


def _erfinv(dtype: DType) -> str:
    """Return the approximation of Giles (2010); of float64 it is followed by two steps of Halley's method."""
    lines = f"""
    w = -log((1.0 - x) * (1.0 + x))
    inside = abs(x) < 1.0
    v = where(inside, w, 0.0)
    y0 = x * where(v < 5.0, {horner("(v - 2.5)", *_NEAR)}, {horner("(sqrt(v) - 3.0)", *_FAR)})
    """
    last = "y0"
    if dtype.bits == 64:
        lines += "".join(_HALLEY.format(n=n, m=n + 1) for n in (0, 1))
        last = "y2"
    return f"{lines}where(inside, {last}, where(abs(x) == 1.0, copysign(inf, x), w))"


unary("erfinv", _erfinv, "The inverse error function of each element; NaN outside of [-1, 1].", rule="float", kinds="f",
      derivative="g * (0.886226925452758 * exp(out * out))")  # fmt: skip

unary("lgamma", "lgamma(x)", "The logarithm of |gamma(x)|; inf at 0, -1, -2, …", **_FLOAT)
unary(
    "digamma",
    "digamma(x)",
    "The derivative of the logarithm of the gamma function; NaN at -1, -2, …",
    **_FLOAT,
)
TRIGAMMA = pointwise("trigamma", "trigamma(x)", "x", "The derivative of digamma.", **_FLOAT)
POLYGAMMA = pointwise("polygamma", "f * zeta(s, x)", "x s f", "f times the Hurwitz zeta function.", **_FLOAT)


def _polygamma_method(input: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma; n = 0 is digamma."""
    return polygamma(n, input)


@function(method=_polygamma_method, inplace=True)
def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma, (-1)^(n + 1) n! zeta(n + 1, input); n = 0 is digamma.

    >>> import weft as wf
    >>> wf.polygamma(1, wf.tensor([1.0]))  # pi ** 2 / 6
    tensor([1.6449])
    """
    check_operands("polygamma", input)
    order = arguments.integer("polygamma", "n", n)
    if order < 0:
        raise ArgumentError(mistake("polygamma", "n", n, "0 or more"))
    factor = math.exp(math.lgamma(order + 1.0)) if order < _MOST else math.inf
    plans: dict[int, tuple[Any, ...]] = {0: (FUNCTIONS["digamma"].op, input), 1: (TRIGAMMA, input)}
    op, *operands = plans.get(order, (POLYGAMMA, input, order + 1.0, factor if order % 2 else -factor))
    return bind(op, *operands) if out is None else bind_out(op, out, *operands)


_MOST = 170
"""The largest number whose factorial fits into a float64."""


@function(inplace=True, out=True, wide=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of ``p`` dimensions, element by element.

    It is log(pi) p (p - 1) / 4 plus the sum of lgamma(input - j / 2) over j from 0 to p - 1.
    """
    value = arguments.tensor("mvlgamma", "input", input)
    count = arguments.integer("mvlgamma", "p", p)
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise ArgumentError(mistake("mvlgamma", "p", p, f"from 1 to {_MOST_DIMENSIONS}"))
    if value.dtype is dtypes.bool_:
        raise DTypeError(mistake("mvlgamma", "input's dtype", "bool", "a number type"))
    kind = value.dtype if value.dtype.kind == "float" else dtypes.default_float()
    steps = bind(lookup("arange"), 0.0, -0.5, count=count, dtype=kind, device=str(value.device))
    rows = bind(lookup("reshape"), value, shape=(*value.shape, 1))
    logarithms = bind(lookup("lgamma"), bind(lookup("add"), rows, steps))
    total = bind(lookup("sum"), logarithms, dims=(len(value.shape),), keepdim=False)
    return bind(lookup("add"), total, count * (count - 1) / 4 * math.log(math.pi))


_MOST_DIMENSIONS = 2**16
"""The most dimensions of a multivariate gamma function; each dimension takes memory for all elements."""
