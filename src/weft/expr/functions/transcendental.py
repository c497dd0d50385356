"""Exponentials, logarithms, powers, angles and the error function, as float32 polynomials.

The coefficients are ours: weighted least squares in extended precision, reweighted (Lawson) until the largest
relative error is level, and rounded to float32 one after another from the lowest power up, the rest refitted each
time. The reductions are classical (Cody and Waite; Muller, *Elementary Functions*). Every product that must be
exact has factors short enough to be, so results keep their accuracy whether or not a target fuses ``fma``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.expr.functions.table import add, horner

_EXP = (0.5, 0.1666666567325592, 0.041666463017463684, 0.008333571255207062, 0.0013935097958892584,
        0.00019739569688681513)  # fmt: skip
_EXP2 = (0.6931471824645996, 0.24022650718688965, 0.055504050105810165, 0.009618086740374565,
         0.0013337957207113504, 0.00015452185471076518, 1.4326180462376215e-05)  # fmt: skip
_LOG = (-0.49999988079071045, 0.33333325386047363, -0.2500160336494446, 0.20001983642578125, -0.16608618199825287,
        0.14181560277938843, -0.1324666142463684, 0.12907040119171143, -0.07615512609481812)  # fmt: skip
_LOG2 = (-0.7213473320007324, 0.4808981716632843, -0.3606986403465271, 0.288573682308197, -0.23957107961177826,
         0.20443806052207947, -0.1912972629070282, 0.1873953640460968, -0.1109185516834259)  # fmt: skip
_POW = (0.9617967009544373, 0.5770788788795471, 0.4119216799736023, 0.3366156220436096)
_SIN = (-0.1666666716337204, 0.008333379402756691, -0.0001985307171707973, 2.832680138453725e-06)
_COS = (0.04166664555668831, -0.0013887309469282627, 2.4432336431345902e-05)
_ERF_NEAR = (0.12837916612625122, -0.3761262893676758, 0.11283625662326813, -0.02685573138296604,
             0.005192405078560114, -0.0008049769676290452, 7.996649947017431e-05)  # fmt: skip
_ERF_FAR = (-0.00017468445003032684, 1.1295149326324463, 0.6333469152450562, 0.10828004032373428,
            -0.025119351223111153, 0.004171009175479412, -0.00043444460607133806, 2.1092741008033045e-05)  # fmt: skip
_ERFCX = (0.32158541679382324, -0.4908687472343445, 0.194490447640419, -0.009284339845180511, -0.01862253248691559,
          -0.0004699103010352701, 0.0028396514244377613, 0.0011865496635437012, -0.000858900835737586)  # fmt: skip

_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606820309417e-06  # 15 bits, and the rest of ln 2
_LEAST_NORMAL = 1.1754943508222875e-38


def _mantissa(x: Any) -> Any:
    import numpy

    mantissa, _ = numpy.frexp(x)
    return numpy.where(mantissa < 0.7071067690849304, mantissa * 2, mantissa)


def _piece(name: str, parameters: str, reference: str | Callable[..., Any], definition: str) -> None:
    add(name, parameters, "f", reference, definition=definition, single=True)


# Pieces of the definitions below, each on the range that it states.
# 12582912 is 1.5 * 2**23: adding it to a whole number puts that number into the low bits of the float.
_piece("power_of_two", "n", "exp2",  # whole n from -126 to 127
    definition="from_bits((bits(n + 12582912.0) + 127) << 23)")  # fmt: skip
_piece("scaled", "x n", lambda x, n: _times_power(x, n),  # x * 2**n for whole n from -252 to 254, rounded once
    definition="""
    half = floor(n * 0.5)
    x * power_of_two(half) * power_of_two(n - half)
    """)  # fmt: skip
_piece("short", "x", lambda x: (x.view("uint32") & 0xFFFFF000).view("float32"),  # the 12 leading bits
    definition="from_bits(bits(x) & 0xfffff000)")  # fmt: skip
_piece("mantissa", "x", _mantissa,  # normal x / 2**exponent(x), in [0.707, 1.414)
    definition="from_bits(bits(x) - ((bits(x) - 0x3f3504f3) & 0xff800000))")  # fmt: skip
_piece("exponent", "x", lambda x: (x.view("uint32") - 0x3F3504F3).view("int32") >> 23,
    definition="float32(int32(bits(x) - 0x3f3504f3) >> 23)")  # fmt: skip
_piece("expm1_near", "r", "expm1",  # |r| <= 0.3466
    definition=f"fma(r * r, {horner('r', *_EXP)}, r)")  # fmt: skip
_piece("exp2_near", "r", "exp2",  # |r| <= 0.5
    definition=f"fma(r, {horner('r', *_EXP2)}, 1.0)")  # fmt: skip
_piece("log1p_rest", "f", lambda f: _wide(f, "log1p") - f,  # log(1 + f) - f for 0.707 <= 1 + f < 1.414
    definition=f"(f * f) * {horner('f', *_LOG)}")  # fmt: skip


def _times_power(x: Any, n: Any) -> Any:
    import numpy

    return numpy.ldexp(x, n.astype("int32"))


def _wide(x: Any, name: str) -> Any:
    import numpy

    return getattr(numpy, name)(x.astype("float64"))


# Exponentials. Arguments are first brought to where the result is 0, finite or infinite by rounding alone.
add("exp", "x", "f", "exp", double="exp", accuracy=2.0, derivative=("g * exp(x)",),
    definition=f"""
    y = clamp(x, -105.0, 89.0)
    n = round(y * {1.4426950408889634})
    r = fma(n, -{_LN2_LOW}, fma(n, -{_LN2_HIGH}, y))
    scaled(1.0 + expm1_near(r), n)
    """)  # fmt: skip
add("exp2", "x", "f", "exp2", double="exp2", accuracy=2.0, derivative=(f"g * (exp2(x) * {0.6931471805599453})",),
    definition="""
    y = clamp(x, -160.0, 130.0)
    n = round(y)
    scaled(exp2_near(y - n), n)
    """)  # fmt: skip
add("expm1", "x", "f", "expm1", double="expm1", accuracy=2.0, derivative=("g * exp(x)",),
    definition=f"""
    y = clamp(x, -105.0, 89.0)
    n = round(y * {1.4426950408889634})
    r = fma(n, -{_LN2_LOW}, fma(n, -{_LN2_HIGH}, y))
    near = expm1_near(r)
    half = power_of_two(clamp(n, -120.0, 128.0) - 1.0)
    where(x == 0, x, where(n == 0, near, 2.0 * fma(near, half, half - 0.5)))
    """)  # fmt: skip

# Logarithms: x = m * 2**e with m near 1; log1p scales its argument, never the rounded 1 + x.
add("log", "x", "f", "log", double="log", accuracy=2.0, derivative=("g / x",),
    definition=f"""
    small = x < {_LEAST_NORMAL}
    y = where(small, x * 8388608.0, x)
    e = where(small, exponent(y) - 23.0, exponent(y))
    f = mantissa(y) - 1.0
    near = f + fma(e, {_LN2_LOW}, log1p_rest(f))
    found = fma(e, {_LN2_HIGH}, near)
    where((x > 0) & (x < inf), found, where(x == 0, -inf, where(x < 0, nan, x)))
    """)  # fmt: skip
add("log2", "x", "f", "log2", double="log2", accuracy=2.0, derivative=(f"g / (x * {0.6931471805599453})",),
    definition=f"""
    small = x < {_LEAST_NORMAL}
    y = where(small, x * 8388608.0, x)
    e = where(small, exponent(y) - 23.0, exponent(y))
    f = mantissa(y) - 1.0
    found = e + (f + fma(f, {0.4426950408889634}, (f * f) * {horner("f", *_LOG2)}))
    where((x > 0) & (x < inf), found, where(x == 0, -inf, where(x < 0, nan, x)))
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
add("pow", "x y", "f", "power", double="pow", accuracy=8.0,
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
    s = short(f / d)
    t = (((f - (s + s)) - s * fh) - s * (f - fh)) / d
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

# Angles, in quarter turns: |x| * 2 / pi as a fixed-point number, exact for every float32 (Payne and Hanek, 1983).
# x is m * 2**s with m of 24 bits. The 96 bits of 2 / pi that begin at the weight 2 of 2**s * 2 / pi, times m, modulo
# 2**96: two bits of whole quarter turns, then the fraction. ``turns`` and ``turns_rest`` are its first two words.
_TWO_OVER_PI = (0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB)


def _turned(last: str) -> str:
    lines = ["e = maximum((bits(x) >> 23) & 255, 126)", "m = (bits(x) & 0x7fffff) | 0x800000", "p = e - 120"]
    words = [f"uint32({word})" for word in _TWO_OVER_PI]
    for step, name in ((4, "far"), (2, "mid"), (1, "near")):  # words[p // 32 :], by the bits of p // 32
        lines += [f"{name} = (p & {32 * step}) != 0"]
        kept = range(3 + step)
        lines += [f"{name}{i} = where({name}, {words[i + step]}, {words[i]})" for i in kept if i + step < len(words)]
        words = [f"{name}{i}" if i + step < len(words) else words[i] for i in kept]
    lines += ["shift = p & 31"]
    lines += [f"w{i} = ({words[i]} << shift) | (({words[i + 1]} >> 1) >> (31 - shift))" for i in range(3)]
    lines += ["rest = m * w1 + mulhi(m, w2)", "carry = where(rest < mulhi(m, w2), uint32(1), 0)"]
    return "\n".join([*lines, last])


def _turns(word: int) -> Callable[[Any], Any]:
    """``turns`` and ``turns_rest`` by Python's integers."""

    def of(x: Any) -> int:
        e = max(int(x.view("uint32")) >> 23 & 255, 126)
        m = int(x.view("uint32")) & 0x7FFFFF | 0x800000
        digits = sum(part << 32 * (7 - i) for i, part in enumerate(_TWO_OVER_PI))
        window = digits >> (256 - 96 - (e - 120)) & (1 << 96) - 1
        return m * window >> 64 - 32 * word & 0xFFFFFFFF

    def reference(x: Any) -> Any:
        import numpy

        return numpy.vectorize(of, otypes=["uint32"])(x)

    return reference


add("turns", "x", "f", _turns(0), single=True, result="uint32",
    definition=_turned("m * w0 + mulhi(m, w1) + carry"))  # fmt: skip
add("turns_rest", "x", "f", _turns(1), single=True, result="uint32", definition=_turned("rest"))
add("quadrant", "x", "f", lambda x: _quarters(x).astype("uint32"), single=True, result="uint32",
    definition="where(abs(x) < 0.5, 0, (turns(x) + 0x20000000) >> 30)")  # of |x|, 0 to 3  # fmt: skip
# What |x| has over its quadrant, and what that lacks for being rounded: the fraction times pi / 2 = 1.5703125 + ….
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
_piece("mod_half_pi", "x", lambda x: _reduced(x).astype("float32"),
       f"{_REDUCED}where(abs(x) < 0.5, abs(x), where(below, -r, r))")  # fmt: skip
_piece("mod_half_pi_rest", "x", lambda x: (_reduced(x) - _reduced(x).astype("float32")).astype("float32"),
       f"""{_REDUCED}
    rest = ((lead - (lead + low)) + low) * 9.313225746154785e-10
    where(abs(x) < 0.5, 0.0, where(below, -rest, rest))
    """)  # fmt: skip
_piece("sin_near", "r rest", lambda r, rest: _wide(r, "sin") + rest,  # |r| <= pi / 4
       f"z = r * r\nr + fma(r * z, {horner('z', *_SIN)}, rest)")  # fmt: skip
_piece("cos_near", "r rest", lambda r, rest: _wide(r, "cos") - r * rest,
       f"z = r * r\nfma(z, -0.5, 1.0) + fma(z * z, {horner('z', *_COS)}, -(r * rest))")  # fmt: skip


def _quarters(x: Any) -> Any:
    import numpy

    turns = _turns(0)(x).astype("int64")
    return numpy.where(abs(x) < 0.5, 0, (turns + 0x20000000 >> 30) & 3)


def _reduced(x: Any) -> Any:
    import numpy

    fraction = _turns(0)(x).astype("int64") * 2.0**-30 + _turns(1)(x).astype("longdouble") * 2.0**-62
    half_pi = numpy.arccos(numpy.longdouble(0))
    return numpy.where(abs(x) < 0.5, abs(x), (fraction - numpy.rint(fraction)) * half_pi)


_ANGLES = """
    q = quadrant(x)
    r = mod_half_pi(x)
    rest = mod_half_pi_rest(x)
    s = sin_near(r, rest)
    c = cos_near(r, rest)
    """
add("sin", "x", "f", "sin", double="sin", accuracy=2.0, derivative=("g * cos(x)",),
    definition=f"""{_ANGLES}
    y = where((q & 1) == 0, s, c)
    where(abs(x) < inf, from_bits(bits(y) ^ ((q & 2) << 30) ^ (bits(x) & 0x80000000)), nan)
    """)  # fmt: skip
add("cos", "x", "f", "cos", double="cos", accuracy=2.0, derivative=("-(g * sin(x))",),
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

add("tanh", "x", "f", "tanh", double="tanh", accuracy=4.0, derivative=("t = tanh(x)\ng * (1.0 - t * t)",),
    definition="""
    t = expm1(2.0 * minimum(abs(x), 10.0))
    copysign(t / (t + 2.0), x)
    """)  # fmt: skip


def _by_python(name: str) -> Callable[[Any], Any]:
    def reference(x: Any) -> Any:
        import math

        import numpy

        return numpy.vectorize(getattr(math, name), otypes=["float64"])(x)

    return reference


add("erf", "x", "f", _by_python("erf"), double="erf", accuracy=4.0,
    derivative=("g * (1.1283791670955126 * exp(-(x * x)))",),
    definition=f"""
    a = minimum(abs(x), 4.0)
    z = a * a
    near = fma(x, {horner("z", *_ERF_NEAR)}, x)
    far = 1.0 - exp(-({horner("a", *_ERF_FAR)}))
    where(abs(x) < 0.921875, near, copysign(far, x))
    """)  # fmt: skip
# Far out, erfc(z) = exp(-z * z) * erfcx(z), where s * s is exact for the short s: -z * z = -s * s + (s - z) * (s + z).
add("erfc", "x", "f", _by_python("erfc"), double="erfc", accuracy=8.0,
    derivative=("-(g * (1.1283791670955126 * exp(-(x * x))))",),
    definition=f"""
    z = minimum(abs(x), 11.0)
    s = short(z)
    q = (z - 1.5) / (z + 1.5)
    decay = exp(-(s * s)) * (1.0 + expm1_near((s - z) * (s + z)))
    far = decay * {horner("q", *_ERFCX)}
    where(abs(x) < 0.921875, 1.0 - erf(x), where(x < 0, 2.0 - far, far))
    """)  # fmt: skip
