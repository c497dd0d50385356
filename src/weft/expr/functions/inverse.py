"""Inverse trigonometric and hyperbolic functions, and ``hypot``.

The coefficients of ``atan`` and ``asin`` are computed as in ``exponential``. The other functions use these, ``log1p``
and ``sqrt``, in forms without cancellation and intermediate overflow.
"""

from __future__ import annotations

from typing import Any

from weft.expr.functions.table import add, horner, piece

# (atan(x) / x - 1) / x**2 for x up to tan(pi / 8), and (asin(x) / x - 1) / x**2 for x up to 1 / 2.
_ATAN = (
    -0.33333316445350647,
    0.19998528063297272,
    -0.14244391024112701,
    0.10599168390035629,
    -0.06090052053332329,
)
_ASIN = (
    0.16666752099990845,
    0.074953094124794,
    0.04546914994716644,
    0.024184778332710266,
    0.042158305644989014,
)

# pi / 2 in float32, and its rounding error
_HALF_PI, _HALF_PI_LOW = 1.5707963705062866, -4.371139000186241e-08


def _asin_ratio(z: Any) -> Any:
    import numpy

    x = numpy.sqrt(z.astype("float64"))
    return numpy.arcsin(x) / x


def _atan_near(t: Any) -> Any:
    import numpy

    return numpy.arctan(t.astype("float64"))


# asin(x) / x of z = x * x <= 1 / 4
piece("asin_ratio", "z", _asin_ratio, f"fma(z, {horner('z', *_ASIN)}, 1.0)")
piece("atan_near", "t", _atan_near, f"z = t * t\nfma(t * z, {horner('z', *_ATAN)}, t)")  # |t| <= tan(pi / 8)

add("atan", "x", "f", "arctan", double="atan", accuracy=4.0, derivative=("g / fma(x, x, 1.0)",),
    definition=f"""
    a = abs(x)
    far = a > 2.414213562373095
    middle = a > 0.41421356237309503
    near = atan_near(where(far, quotient(-1.0, a), where(middle, quotient(a - 1.0, a + 1.0), a)))
    quarters = where(far, float32(1), 0.5)
    turned = quarters * {_HALF_PI} + (near + quarters * {_HALF_PI_LOW})
    copysign(where(middle, turned, near), x)
    """)  # fmt: skip
# The angle in the octant of (|x|, |y|), where the quotient is at most 1, is mapped to the whole circle.
add("atan2", "y x", "f", "arctan2", double="atan2", accuracy=4.0,
    derivative=("r = hypot(y, x)\ng * ((x / r) / r)", "r = hypot(y, x)\n-(g * ((y / r) / r))"),
    definition=f"""
    a = abs(x)
    b = abs(y)
    q = where(a == b, where(a == 0, a, 1.0), minimum(a, b) / maximum(a, b))
    near = atan(q)
    steep = where(b > a, {_HALF_PI} - (near - {_HALF_PI_LOW}), near)
    back = (bits(x) & 0x80000000) != 0
    turned = where(back, {2 * _HALF_PI} - (steep - {2 * _HALF_PI_LOW}), steep)
    where((x != x) | (y != y), x + y, copysign(turned, y))
    """)  # fmt: skip

# Above 1 / 2, asin(x) = pi / 2 - 2 * asin(sqrt((1 - x) / 2)), whose radicand is exact.
_HALF_ANGLE = """
    a = abs(x)
    far = a > 0.5
    z = where(far, 0.5 * (1.0 - a), a * a)
    s = where(far, sqrt(z), a)
    near = s * asin_ratio(minimum(z, 0.25))
    """
add("asin", "x", "f", "arcsin", double="asin", accuracy=4.0,
    derivative=("g / sqrt((1.0 - x) * (1.0 + x))",),
    definition=f"""{_HALF_ANGLE}
    turned = {_HALF_PI} - (2.0 * near - {_HALF_PI_LOW})
    where(a <= 1, copysign(where(far, turned, near), x), nan)
    """)  # fmt: skip
add("acos", "x", "f", "arccos", double="acos", accuracy=4.0,
    derivative=("-(g / sqrt((1.0 - x) * (1.0 + x)))",),
    definition=f"""{_HALF_ANGLE}
    flat = {_HALF_PI} - (copysign(near, x) - {_HALF_PI_LOW})
    back = {2 * _HALF_PI} - (2.0 * near - {2 * _HALF_PI_LOW})
    where(a <= 1, where(far, where(x < 0, back, 2.0 * near), flat), nan)
    """)  # fmt: skip

# Beyond 4096, the term 1 / (4 * x * x) is below the rounding error of log(2 * x).
add("asinh", "x", "f", "arcsinh", double="asinh", accuracy=4.0, derivative=("g / hypot(x, where(x == x, 1.0, x))",),
    definition="""
    a = abs(x)
    b = minimum(a, 4096.0)
    near = log1p(b + quotient(b * b, 1.0 + sqrt(fma(b, b, 1.0))))
    copysign(where(a > 4096.0, log(a) + 0.6931471805599453, near), x)
    """)  # fmt: skip
add("acosh", "x", "f", "arccosh", double="acosh", accuracy=4.0,
    derivative=("g / (sqrt(x - 1.0) * sqrt(x + 1.0))",),
    definition="""
    t = minimum(x, 4096.0) - 1.0
    near = log1p(t + sqrt(t * (t + 2.0)))
    where(x >= 1, where(x > 4096.0, log(x) + 0.6931471805599453, near), nan)
    """)  # fmt: skip
add("atanh", "x", "f", "arctanh", double="atanh", accuracy=4.0, derivative=("g / ((1.0 - x) * (1.0 + x))",),
    definition="""
    a = abs(x)
    copysign(0.5 * log1p(2.0 * a / (1.0 - a)), x)
    """)  # fmt: skip

add("hypot", "x y", "f", "hypot", double="hypot", accuracy=4.0,
    derivative=("h = hypot(x, y)\nwhere(h == 0, 0.0, g * (x / h))", "h = hypot(x, y)\nwhere(h == 0, 0.0, g * (y / h))"),
    definition="""
    a = maximum(abs(x), abs(y))
    b = minimum(abs(x), abs(y))
    r = where(a == 0, a, b / a)
    found = a * sqrt(fma(r, r, 1.0))
    where((abs(x) == inf) | (abs(y) == inf), inf, where(x != x, x, where(y != y, y, found)))
    """)  # fmt: skip
