"""Pointwise special functions that are written out of simpler ones: ``erfinv``, ``digamma``."""

from __future__ import annotations

from weft.dtypes import DType
from weft.expr.functions.table import horner
from weft.ops.declaring import unary

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
    """Giles 2010, in single precision; in double precision with two of Halley's steps after it."""
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


unary("erfinv", _erfinv, "The inverse of the error function: inf at 1, NaN beyond.", rule="float", kinds="f",
      derivative="g * (0.886226925452758 * exp(out * out))")  # fmt: skip

_STEPS = 8
_BERNOULLI = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
"""B(2k) / 2k, the coefficients of digamma's asymptotic series."""
_BELOW = " + ".join(f"1.0 / (y + {float(n)})" for n in range(_STEPS))
unary("digamma", f"""
      reflected = x < 0.5
      y = where(reflected, 1.0 - x, x)
      z = y + {float(_STEPS)}
      q = 1.0 / (z * z)
      above = log(z) - 0.5 / z - q * ({horner("q", *_BERNOULLI)}) - ({_BELOW})
      t = where(reflected, x - round(x), 0.25)
      pole = (t == 0.0) & (x != 0.0)
      turned = 3.141592653589793 / tan(3.141592653589793 * where(pole | (x == 0.0), 0.25, t))
      where(reflected, where(pole, log(-1.0 - abs(x)), where(x == 0.0, 1.0 / -x, above - turned)), above)
      """, "The derivative of the logarithm of the gamma function; NaN at -1, -2, …", rule="float",
      kinds="f")  # fmt: skip
