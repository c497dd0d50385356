"""The logarithm of the gamma function, its derivatives, and the Hurwitz zeta function.

Near its zeros 1 and 2 ``lgamma`` is t * Q(t) of the exact difference t; for large arguments it is Stirling's series.
The coefficients are computed as in ``exponential``. The derivatives are sums of a few terms and an asymptotic series
for the remaining terms (Abramowitz and Stegun 6.3.18, 6.4.12; Johansson, *Rigorous high-precision computation of the
Hurwitz zeta function*, 2014, section 2, for the Euler-Maclaurin form).
"""

from __future__ import annotations

from typing import Any

from weft.expr.functions.angles import HALF_TURN
from weft.expr.functions.table import add, horner

_PI = 3.141592653589793
_NEAR_TWO = (0.42278432846069336, 0.32246699929237366, -0.06735270470380783, 0.02058291621506214,
             -0.007371329702436924, 0.002866123802959919, -0.0013007649686187506, 0.000602494808845222)  # fmt: skip
_STIRLING = (0.0833333283662796, -0.002776062348857522, 0.0007309152861125767)
_STEPS = 8
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
"""B(2k) / 2k, the coefficients of digamma's asymptotic series."""
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""B(2k)."""
_ZETA = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
         -3617 / 10670622842880000, 43867 / 5109094217170944000)  # fmt: skip
"""B(2k) / (2k)!."""


def _lgamma(x: Any) -> Any:
    import math

    import numpy

    def of(value: float) -> float:
        pole = math.isinf(value) or value <= 0 and value == math.floor(value)
        return math.inf if pole else math.lgamma(value)

    return numpy.vectorize(of, otypes=["float64"])(x)


def _digamma(x: Any) -> Any:
    import numpy

    x = numpy.asarray(x, "float64")
    low = x < 0.5
    y = numpy.where(low, 1 - x, x)
    z = y + 16
    above = numpy.log(z) - 0.5 / z - sum(b / z ** (2 * k + 2) for k, b in enumerate(_DIGAMMA))
    above = above - sum(1 / (y + k) for k in range(16))
    whole = (x == numpy.round(x)) & low
    fraction = numpy.where(whole, 0.25, x - numpy.round(x))
    below = numpy.where(whole, numpy.where(x == 0, -numpy.copysign(numpy.inf, x), numpy.nan),
                        above - numpy.pi / numpy.tan(numpy.pi * fraction))  # fmt: skip
    return numpy.where(low, below, above)


def _hurwitz(s: Any, q: Any) -> Any:
    import numpy

    s, q = numpy.asarray(s, "float64"), numpy.asarray(q, "float64")
    a = q + 16
    tail = a ** (1 - s) / (s - 1) + 0.5 * a**-s
    term = s * a ** (-s - 1)
    for k, b in enumerate(_ZETA):
        tail = tail + b * term
        term = term * (s + 2 * k + 1) * (s + 2 * k + 2) / (a * a)
    return tail + sum((q + k) ** -s for k in range(16))


def _zeta(s: Any, q: Any) -> Any:
    import numpy

    s, q = numpy.broadcast_arrays(numpy.asarray(s, "float64"), numpy.asarray(q, "float64"))
    rest = q - numpy.floor(q)
    more = _hurwitz(s, 1 - rest) - _hurwitz(s, 1 - q)
    below = _hurwitz(s, rest) + numpy.where(s % 2 == 0, more, -more)
    below = numpy.where(q == numpy.floor(q), numpy.inf, numpy.where(s == numpy.floor(s), below, numpy.nan))
    found = numpy.where(q > 0, _hurwitz(s, q), numpy.where(q <= 0, below, numpy.nan))
    found = numpy.where(q == numpy.inf, numpy.nan, found)  # as in PyTorch
    return numpy.where(s > 1, found, numpy.where(s == 1, numpy.inf, numpy.nan))


def _trigamma(x: Any) -> Any:
    import numpy

    x = numpy.asarray(x, "float64")
    return numpy.where(numpy.isinf(x), numpy.where(x > 0, 0, numpy.nan), _zeta(2.0, x))


# With t in [-1/2, 1/2]: lgamma(2 + t) = t * Q(t), and lgamma(n + t) is that plus or minus the logarithm of a product.
# Below -1/2: lgamma(-a) = log(pi / (a * |sin(pi * a)|)) - lgamma(a).
add("lgamma", "x", "f", _lgamma, double="lgamma", accuracy=8.0, derivative=("g * digamma(x)",),
    definition=f"""
    reflected = x < -0.5
    v = where(reflected, -x, x)
    n = round(v)
    t = v - n
    product = where(n == 0, abs(v) * (v + 1.0), where(n == 1, v, where(n == 2, 1.0, v - 1.0)))
    l = log(where(v >= 3.5, v, product))
    near = fma(t, {horner("t", *_NEAR_TWO)}, where(n >= 3, l, -l))
    i = 1.0 / v
    far = fma(v - 0.5, l - 1.0, fma(i, {horner("(i * i)", *_STIRLING)}, 0.4189385332046727))
    above = where(v >= 3.5, where(v < inf, far, v), near)
    r = {_PI} * t
    z = r * r
    sine = fma(r * z, {horner("z", *HALF_TURN)}, r)
    below = -log(v * abs(sine) * 0.3183098861837907) - above
    where(reflected, where((t == 0) | (v == inf), inf, below), above)
    """)  # fmt: skip

_REFLECTED = f"""
    reflected = x < 0.5
    y = where(reflected, 1.0 - x, x)
    z = y + {float(_STEPS)}
    q = 1.0 / (z * z)
    t = where(reflected, x - round(x), 0.25)
    """
add("digamma", "x", "f", _digamma, derivative=("g * trigamma(x)",),
    definition=f"""
    {_REFLECTED}
    below = {" + ".join(f"1.0 / (y + {float(n)})" for n in range(_STEPS))}
    above = log(z) - 0.5 / z - q * ({horner("q", *_DIGAMMA)}) - below
    pole = (t == 0.0) & (x != 0.0)
    turned = {_PI} / tan({_PI} * where(pole | (x == 0.0), 0.25, t))
    where(reflected, where(pole, log(-1.0 - abs(x)), where(x == 0.0, 1.0 / -x, above - turned)), above)
    """)  # fmt: skip
_SQUARES = " + ".join(f"1.0 / ((y + {float(n)}) * (y + {float(n)}))" for n in range(_STEPS))
add("trigamma", "x", "f", _trigamma, derivative=("-2.0 * g * zeta(x - x + 3.0, x)",),
    definition=f"""
    {_REFLECTED}
    i = 1.0 / z
    above = i + 0.5 * q + i * q * ({horner("q", *_BERNOULLI)}) + ({_SQUARES})
    turned = {_PI} / sin({_PI} * t)
    where(reflected, turned * turned - above, above)
    """)  # fmt: skip


def _euler_maclaurin(steps: int, terms: int) -> str:
    """Return the sum of ``(q + k)**-s``: ``steps`` terms, the integral over the rest, and ``terms`` corrections."""
    rest = repr(_ZETA[terms - 1])
    for k in range(terms - 2, -1, -1):
        rest = f"({_ZETA[k]!r} + ((s + {2.0 * k + 1}) * (s + {2.0 * k + 2}) * j) * {rest})"
    return f"""
    a = q + {float(steps)}
    i = 1.0 / a
    j = i * i
    b = pow(a, -s)
    tail = where(b == 0, 0.0, b * (a / (s - 1.0) + 0.5 + s * i * {rest}))
    tail + ({" + ".join(f"pow(q + {float(k)}, -s)" for k in range(steps))})
    """


# ``hurwitz`` is for q > 0. For q < 0 and whole s, ``zeta`` splits the sum at 0 into two sums of this kind.
add("hurwitz", "s q", "f", _hurwitz, derivative=(None, "-(g * s) * zeta(s + 1.0, q)"),
    definition={"f": _euler_maclaurin(4, 6), "float64": _euler_maclaurin(8, 9)})  # fmt: skip
add("zeta", "s q", "f", _zeta, derivative=(None, "-(g * s) * zeta(s + 1.0, q)"),
    definition="""
    below = where(q > 0, -0.5, q)
    rest = below - floor(below)
    first = hurwitz(s, where(q > 0, q, rest))
    more = hurwitz(s, 1.0 - rest) - hurwitz(s, 1.0 - below)
    signed = where(floor(s * 0.5) * 2.0 == s, more, -more)
    defined = where(q > 0, first, where(s == floor(s), first + signed, nan))
    found = where((q <= 0) & ((rest == 0) | (rest != rest)), inf, where(q < inf, defined, nan))
    where(s > 1, found, where(s < 1, nan, where(s == 1, inf, s)))
    """)  # fmt: skip
