"""Exponentials, logarithms and powers, as float32 polynomials after an exact reduction.

The coefficients are fitted by weighted least squares in extended precision, reweighted (Lawson) until the relative
error is equioscillating, and rounded to float32 one by one from the lowest power up, with a new fit of the others after
each. The reductions are classical (Cody and Waite; Muller, *Elementary Functions*). Products that must be exact have
factors with few significant bits, so results keep their accuracy whether or not a target contracts to ``fma``.
"""

from __future__ import annotations

from typing import Any

from weft.expr.functions.table import add, horner, piece

_EXP = (
    0.4999999701976776,
    0.1666654646396637,
    0.04166743531823158,
    0.008366253226995468,
    0.001387062598951161,
)
_EXP2 = (0.6931471824645996, 0.24022650718688965, 0.055504050105810165, 0.009618086740374565,
         0.0013337957207113504, 0.00015452185471076518, 1.4326180462376215e-05)  # fmt: skip
_LOG = (-0.49999988079071045, 0.33333325386047363, -0.2500160336494446, 0.20001983642578125, -0.16608618199825287,
        0.14181560277938843, -0.1324666142463684, 0.12907040119171143, -0.07615512609481812)  # fmt: skip
_LOG2 = (-0.7213473320007324, 0.4808981716632843, -0.3606986403465271, 0.288573682308197, -0.23957107961177826,
         0.20443806052207947, -0.1912972629070282, 0.1873953640460968, -0.1109185516834259)  # fmt: skip
_POW = (0.9617967009544373, 0.5770788788795471, 0.4119216799736023, 0.3366156220436096)

_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606820309417e-06  # 15 bits of ln 2, and the remainder
_LEAST_NORMAL = 1.1754943508222875e-38


def _times_power(x: Any, n: Any) -> Any:
    import numpy

    return numpy.ldexp(x, n.astype("int32"))


def _log1p_rest(f: Any) -> Any:
    import numpy

    return numpy.log1p(f.astype("float64")) - f


def _mantissa(x: Any) -> Any:
    import numpy

    mantissa, _ = numpy.frexp(x)
    return numpy.where(mantissa < 0.7071067690849304, mantissa * 2, mantissa)


# Helper functions of the definitions below, each for the range in its comment.
# 12582912 is 1.5 * 2**23: adding it to a whole number puts that number into the low bits of the float.
piece("power_of_two", "n", lambda n: _times_power(n * 0 + 1, n),  # whole n from -126 to 127
    definition="from_bits((bits(n + 12582912.0) + 127) << 23)")  # fmt: skip
piece("scaled", "x n", _times_power,  # x * 2**n for whole n from -252 to 254, rounded once
    provided=True, definition="""
    whole = bits(n + 12582912.0)
    half = whole >> 1
    x * from_bits((half << 23) + 0x3f800000) * from_bits(((whole - half) << 23) + 0x3f800000)
    """)  # fmt: skip
piece("short", "x", lambda x: (x.view("uint32") & 0xFFFFF000).view("float32"),  # the 12 leading bits
    definition="from_bits(bits(x) & 0xfffff000)")  # fmt: skip
piece("mantissa", "x", _mantissa,  # normal x / 2**exponent(x), in [0.707, 1.414)
    definition="from_bits(bits(x) - ((bits(x) - 0x3f3504f3) & 0xff800000))")  # fmt: skip
piece("exponent", "x", lambda x: (x.view("uint32") - 0x3F3504F3).view("int32") >> 23,
    definition="float32(int32(bits(x) - 0x3f3504f3) >> 23)")  # fmt: skip
piece("expm1_near", "r", "expm1",  # |r| <= 0.3466
    definition=f"fma(r * r, {horner('r', *_EXP)}, r)")  # fmt: skip
piece("exp_near", "r", "exp",  # |r| <= 0.3466
    definition=f"fma(fma({horner('r', *_EXP)}, r, 1.0), r, 1.0)")  # fmt: skip
piece("exp2_near", "r", "exp2",  # |r| <= 0.5
    definition=f"fma(r, {horner('r', *_EXP2)}, 1.0)")  # fmt: skip
piece("log1p_rest", "f", _log1p_rest,  # log(1 + f) - f for 0.707 <= 1 + f < 1.414
    definition=f"(f * f) * {horner('f', *_LOG)}")  # fmt: skip


# The remainder of y modulo ln 2, with the multiple; and x as 2**e * (1 + f), where denormals are first scaled up.
def _reduced(y: str) -> str:
    return f"""m = fma({y}, {1.4426950408889634}, 12582912.0)
    n = m - 12582912.0
    r = fma(n, -{_LN2_LOW}, fma(n, -{_LN2_HIGH}, {y}))"""


_SPLIT = f"""small = x < {_LEAST_NORMAL}
    y = where(small, x * 8388608.0, x)
    e = where(small, exponent(y) - 23.0, exponent(y))
    f = mantissa(y) - 1.0
    finite = bits(x) - 1 < 0x7f7fffff"""  # positive, and neither infinite nor NaN, by a single comparison

# Exponentials. Beyond the limits of the arguments the result is 0 or infinite by rounding alone. A limit is a
# comparison and a selection, which processors do in one instruction, and which keeps NaN.
add("exp", "x", "f", "exp", double="exp", accuracy=2.0, derivative=("g * exp(x)",),
    definition=f"""
    above = where(x < -105.0, -105.0, x)
    y = where(above > 89.0, 89.0, above)
    {_reduced("y")}
    scaled(exp_near(r), n)
    """)  # fmt: skip
add("exp2", "x", "f", "exp2", double="exp2", accuracy=2.0, derivative=(f"g * (exp2(x) * {0.6931471805599453})",),
    definition="""
    above = where(x < -160.0, -160.0, x)
    y = where(above > 130.0, 130.0, above)
    n = round(y)
    scaled(exp2_near(y - n), n)
    """)  # fmt: skip
add("expm1", "x", "f", "expm1", double="expm1", accuracy=2.0, derivative=("g * exp(x)",),
    definition=f"""
    {_reduced("x")}
    near = expm1_near(r)
    half = power_of_two(n - 1.0)
    found = where(n == 0, near, 2.0 * fma(near, half, half - 0.5))
    where(x > 89.0, inf, where(x < -20.0, -1.0, where(x == 0, x, found)))
    """)  # fmt: skip

# Logarithms: x = m * 2**e with m near 1; log1p scales its argument instead of the rounded sum 1 + x.
add("log", "x", "f", "log", double="log", accuracy=2.0, derivative=("g / x",),
    definition=f"""
    {_SPLIT}
    near = f + fma(e, {_LN2_LOW}, log1p_rest(f))
    found = fma(e, {_LN2_HIGH}, near)
    where(finite, found, where(x == 0, -inf, where(x < 0, nan, x)))
    """)  # fmt: skip
add("log2", "x", "f", "log2", double="log2", accuracy=2.0, derivative=(f"g / (x * {0.6931471805599453})",),
    definition=f"""
    {_SPLIT}
    found = e + (f + fma(f, {0.4426950408889634}, (f * f) * {horner("f", *_LOG2)}))
    where(finite, found, where(x == 0, -inf, where(x < 0, nan, x)))
    """)  # fmt: skip
add("log1p", "x", "f", "log1p", double="log1p", accuracy=2.0, derivative=("g / (1.0 + x)",),
    definition=f"""
    e = exponent(1.0 + x)
    f = scaled(x, -e) + (power_of_two(clamp(-e, -126.0, 126.0)) - 1.0)
    near = f + fma(e, {_LN2_LOW}, log1p_rest(f))
    found = fma(e, {_LN2_HIGH}, near)
    where((x > -1) & (x < inf) & (x != 0), found, where(x == -1, -inf, where(x < -1, nan, x)))
    """)  # fmt: skip

# x**y = 2**(y * log2|x|) with the logarithm and the product in two floats each: s + t = f / (2 + f),
# log2(1 + f) = 2 / ln 2 * atanh(s + t). ``short`` factors make the leading products exact.
# The shortcut, for a correctly rounded fma, covers results that are neither special nor far from 1; the residuals are
# exact by fma.
add("pow", "x y", "f", "power", double="pow", accuracy=8.0,
    shortcut=(f"(x >= {_LEAST_NORMAL}) & (x < inf) & (abs(y) * (abs(exponent(x)) + 1.0) < 126.0)", f"""
    e = exponent(x)
    f = mantissa(x) - 1.0
    i = 1.0 / (2.0 + f)
    s = f * i
    t = fma(-s, f, fma(-2.0, s, f)) * i
    z = s * s
    lead = fma(s, 2.885390043258667, e)
    small = fma(s, 3.851926067000022e-08, fma(t, 2.885390043258667, (s * z) * {horner("z", *_POW)}))
    low = fma(s, 2.885390043258667, e - lead) + small
    lh = lead + low
    ll = (lead - lh) + low
    m = fma(y, lh, 12582912.0)
    n = m - 12582912.0
    exp2_near(fma(y, ll, fma(y, lh, -n))) * from_bits((bits(m) + 127) << 23)
    """),
    derivative=("where(y == 0, 0.0, g * (y * pow(x, y - 1.0)))",
                "where((x == 0) & (y >= 0), 0.0, g * (pow(x, y) * log(x)))"),
    definition=f"""
    a = abs(x)
    small = a < {_LEAST_NORMAL}
    b = where(small, a * 8388608.0, a)
    e = where(small, exponent(b) - 23.0, exponent(b))
    f = mantissa(b) - 1.0
    fh = short(f)
    d = 2.0 + f
    s = short(quotient(f, d))
    t = quotient(((f - (s + s)) - s * fh) - s * (f - fh), d)
    w = s + t
    z = w * w
    lead = e + s * 2.884765625
    rest = s * 2.884765625 - (lead - e)
    low = rest + (s * 0.0006244567642 + (t * 2.88539008 + w * z * {horner("z", *_POW)}))
    lh = short(lead + low)
    ll = (lead - lh) + low
    c = where(abs(y) > 1.0e12, copysign(1.0e12, y), y)
    ch = short(c)
    ph = ch * lh
    pl = (c - ch) * lh + c * ll
    n = round(clamp(ph + pl, -160.0, 130.0))
    finite = scaled(exp2_near(clamp((ph - n) + pl, -1.0, 1.0)), n)
    size = where((a == 0) | (a == inf), where((a == 0) == (y > 0), float32(0), inf), finite)
    whole = floor(y) == y
    odd = whole & (floor(y * 0.5) * 2.0 != y)
    signed = where(odd, copysign(size, x), size)
    defined = where((x < 0) & (a < inf) & ~whole, nan, signed)
    where((y == 0) | (x == 1), 1.0, where((x != x) | (y != y), x + y, defined))
    """)  # fmt: skip

add("tanh", "x", "f", "tanh", double="tanh", accuracy=4.0, derivative=("t = tanh(x)\ng * (1.0 - t * t)",),
    # expm1(2 |x|) / (expm1(2 |x|) + 2); 2**n is 1 with n added to its exponent
    definition=f"""
    d = 2.0 * abs(x)
    y = where(d > 20.0, 20.0, d)
    {_reduced("y")}
    power = from_bits((bits(m) << 23) + 0x3f800000)
    t = fma(power, expm1_near(r), power - 1.0)
    copysign(quotient(t, t + 2.0), x)
    """)  # fmt: skip

# e = exp(|x|) / 2, which is finite where the result is.
_HALF_EXP = f"""a = abs(x)
    y = where(a > 91.0, 91.0, a)
    {_reduced("y")}
    e = scaled(exp_near(r), n - 1.0)"""
add("sinh", "x", "f", "sinh", double="sinh", accuracy=4.0, derivative=("g * cosh(x)",),
    definition=f"""
    {_HALF_EXP}
    d = expm1(minimum(a, 2.0))
    near = 0.5 * (d + quotient(d, d + 1.0))
    copysign(where(a < 1, near, e - quotient(0.25, e)), x)
    """)  # fmt: skip
add("cosh", "x", "f", "cosh", double="cosh", accuracy=4.0, derivative=("g * sinh(x)",),
    definition=f"""
    {_HALF_EXP}
    e + quotient(0.25, e)
    """)  # fmt: skip
add("log10", "x", "f", "log10", double="log10", accuracy=4.0, derivative=(f"g / (x * {2.302585092994046})",),
    definition=f"""
    {_SPLIT}
    near = (f + log1p_rest(f)) * {0.4342944819032518}
    found = fma(e, {0.301025390625}, fma(e, {4.605038981195214e-06}, near))
    where(finite, found, where(x == 0, -inf, where(x < 0, nan, x)))
    """)  # fmt: skip
