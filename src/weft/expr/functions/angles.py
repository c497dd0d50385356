"""Sine, cosine and tangent of every float32, by an exact reduction to an eighth of a turn and two polynomials.

|x| * 2 / pi is computed as a fixed-point number (Payne and Hanek, *Radian reduction for trigonometric functions*,
1983): x is m * 2**s with m of 24 bits. The product of m and the 96 bits of 2 / pi from the weight 2 of 2**s * 2 / pi
on, modulo 2**96, consists of two bits that count quarter turns, and the fraction. The coefficients are computed as in
``exponential``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.expr.functions.table import add, horner, piece

_SIN = (-0.1666666716337204, 0.008333379402756691, -0.0001985307171707973, 2.832680138453725e-06)
_COS = (0.04166664555668831, -0.0013887309469282627, 2.4432336431345902e-05)
_TWO_OVER_PI = (0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB)


def _product_words(last: str) -> str:
    """Return the definition of the product's first two words, with ``last`` as its value.

    The words are ``m * w0 + mulhi(m, w1) + carry`` and ``rest``.
    """
    lines = ["e = maximum((bits(x) >> 23) & 255, 126)", "m = (bits(x) & 0x7fffff) | 0x800000", "p = e - 120"]
    words = [f"uint32({word})" for word in _TWO_OVER_PI]
    for step, name in ((4, "far"), (2, "mid"), (1, "near")):  # words[p // 32 :], by the bits of p // 32
        lines += [f"{name} = (p & {32 * step}) != 0"]
        kept = range(3 + step)
        lines += [
            f"{name}{i} = where({name}, {words[i + step]}, {words[i]})" for i in kept if i + step < len(words)
        ]
        words = [f"{name}{i}" if i + step < len(words) else words[i] for i in kept]
    lines += ["shift = p & 31"]
    lines += [f"w{i} = ({words[i]} << shift) | (({words[i + 1]} >> 1) >> (31 - shift))" for i in range(3)]
    lines += ["rest = m * w1 + mulhi(m, w2)", "carry = where(rest < mulhi(m, w2), uint32(1), 0)"]
    return "\n".join([*lines, last])


def _product_reference(word: int) -> Callable[[Any], Any]:
    """Return the reference of the first (0) or second (1) word of that product, by Python integers."""

    def of(bits: int) -> int:
        e = max(bits >> 23 & 255, 126)
        m = bits & 0x7FFFFF | 0x800000
        digits = sum(part << 32 * (7 - i) for i, part in enumerate(_TWO_OVER_PI))
        window = digits >> (256 - 96 - (e - 120)) & (1 << 96) - 1
        return m * window >> 64 - 32 * word & 0xFFFFFFFF

    def reference(x: Any) -> Any:
        import numpy

        return numpy.vectorize(of, otypes=["uint32"])(x.view("uint32"))

    return reference


def _wide(name: str, r: Any) -> Any:
    import numpy

    return getattr(numpy, name)(r.astype("float64"))


def _quarters(x: Any) -> Any:
    import numpy

    turns = _product_reference(0)(x).astype("int64")
    return numpy.where(abs(x) < 0.5, 0, (turns + 0x20000000 >> 30) & 3)


def _reduced(x: Any) -> Any:
    import numpy

    fraction = (
        _product_reference(0)(x).astype("int64") * 2.0**-30
        + _product_reference(1)(x).astype("longdouble") * 2.0**-62
    )
    half_pi = numpy.arccos(numpy.longdouble(0))
    return numpy.where(abs(x) < 0.5, abs(x), (fraction - numpy.rint(fraction)) * half_pi)


add("turns", "x", "f", _product_reference(0), single=True, result="uint32",
    definition=_product_words("m * w0 + mulhi(m, w1) + carry"))  # fmt: skip
add(
    "turns_rest",
    "x",
    "f",
    _product_reference(1),
    single=True,
    result="uint32",
    definition=_product_words("rest"),
)
add("quadrant", "x", "f", lambda x: _quarters(x).astype("uint32"), single=True, result="uint32",
    definition="where(abs(x) < 0.5, 0, (turns(x) + 0x20000000) >> 30)")  # of |x|, 0 to 3  # fmt: skip
# The remainder of |x| in its quadrant, the fraction times pi / 2 = 1.5703125 + …, and the remainder's rounding error.
_REDUCED = """
    t = turns(x) - (((turns(x) + 0x20000000) >> 30) << 30)
    below = (t >> 31) != 0
    u = where(below, ~t, t)
    v = where(below, ~turns_rest(x), turns_rest(x))
    a = float32(u & 0x3fffff00)
    b = float32(u & 0xff) + float32(v) * 2.3283064365386963e-10
    f = a + b
    h = short(f)
    lead = h * 1.5703125
    low = h * 0.00048382679489661923 + ((f - h) + ((a - f) + b)) * 1.5707963267948966
    r = (lead + low) * 9.313225746154785e-10
    """
piece("mod_half_pi", "x", lambda x: _reduced(x).astype("float32"),
       f"{_REDUCED}where(abs(x) < 0.5, abs(x), where(below, -r, r))")  # fmt: skip
piece("mod_half_pi_rest", "x", lambda x: (_reduced(x) - _reduced(x).astype("float32")).astype("float32"),
       f"""{_REDUCED}
    rest = ((lead - (lead + low)) + low) * 9.313225746154785e-10
    where(abs(x) < 0.5, 0.0, where(below, -rest, rest))
    """)  # fmt: skip
piece("sin_near", "r rest", lambda r, rest: _wide("sin", r) + rest,  # |r| <= pi / 4
       f"z = r * r\nr + fma(r * z, {horner('z', *_SIN)}, rest)")  # fmt: skip
piece("cos_near", "r rest", lambda r, rest: _wide("cos", r) - r * rest,
       f"z = r * r\nfma(z, -0.5, 1.0) + fma(z * z, {horner('z', *_COS)}, -(r * rest))")  # fmt: skip

_ANGLES = """
    q = quadrant(x)
    r = mod_half_pi(x)
    rest = mod_half_pi_rest(x)
    s = sin_near(r, rest)
    c = cos_near(r, rest)
    """
# With a correctly rounded fma, three parts of pi suffice to subtract n * pi from a: a - n * pi in (-1.6, 1.6) has an
# error of one unit in the last place, since the first step is exact and n * 2**-48 is far below the difference. Adding
# 1.5 * 2**23 rounds to a whole number, whose last bit, moved to the top, is the sign. For cos, n is a half-integer.
_MULTIPLES = 131072.0
_LESS_PI = f"fma(n, {8.742277657347586e-08!r}, fma(n, {-3.1415927410125732!r}, a))"
_LESS_PI = f"fma(n, {3.4302490200117637e-15!r}, {_LESS_PI})"
HALF_TURN = (-0.1666666716337204, 0.008333349600434303, -0.00019842882466036826, 2.7612836674961727e-06,
              -2.520760666868682e-08)  # fmt: skip
_SINE = f"""r = {_LESS_PI}
    z = r * r
    y = fma(r * z, {horner("z", *HALF_TURN)}, r)
    """
_NEAR = f"abs(x) < {_MULTIPLES}"

add("sin", "x", "f", "sin", double="sin", accuracy=2.0, derivative=("g * cos(x)",),
    shortcut=(_NEAR, f"""
    a = abs(x)
    m = fma(a, 0.3183098861837907, 12582912.0)
    n = m - 12582912.0
    {_SINE}
    from_bits(bits(y) ^ (bits(m) << 31) ^ (bits(x) & 0x80000000))
    """),
    definition=f"""{_ANGLES}
    y = where((q & 1) == 0, s, c)
    where(abs(x) < inf, from_bits(bits(y) ^ ((q & 2) << 30) ^ (bits(x) & 0x80000000)), nan)
    """)  # fmt: skip
add("cos", "x", "f", "cos", double="cos", accuracy=2.0, derivative=("-(g * sin(x))",),
    shortcut=(_NEAR, f"""
    a = abs(x)
    m = fma(a, 0.3183098861837907, -0.5) + 12582912.0
    n = (m - 12582912.0) + 0.5
    {_SINE}
    from_bits(bits(y) ^ ((bits(m) + 1) << 31))
    """),
    definition=f"""{_ANGLES}
    y = where((q & 1) == 0, c, s)
    where(abs(x) < inf, from_bits(bits(y) ^ (((q + 1) & 2) << 30)), nan)
    """)  # fmt: skip
add("tan", "x", "f", "tan", double="tan", accuracy=4.0, derivative=("t = tan(x)\ng * fma(t, t, 1.0)",),
    definition=f"""{_ANGLES}
    odd = (q & 1) == 1
    y = where(odd, -c, s) / where(odd, s, c)
    where(abs(x) < inf, from_bits(bits(y) ^ (bits(x) & 0x80000000)), nan)
    """)  # fmt: skip
