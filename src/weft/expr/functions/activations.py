"""Functions defined by other functions: clamping, activations, floor division. The definitions hold for all floats."""

from __future__ import annotations

from typing import Any

from weft.expr.functions.table import FUNCTIONS, add

add("clamp", "x low high", "fiu", lambda x, low, high: _numpy().minimum(_numpy().maximum(x, low), high),
    definition="minimum(maximum(x, low), high)",
    derivative=("where((x >= low) & (x <= high), g, 0.0)", "where((x < low) & (low < high), g, 0.0)",
                "where((x > high) | (low > high), g, 0.0)"))  # fmt: skip
add("square", "x", "fiu", "square", definition="x * x", derivative=("g * (2.0 * x)",))
add(
    "reciprocal", "x", "f", lambda x: 1 / x, definition="1.0 / x", derivative=("r = 1.0 / x\n-(g * (r * r))",)
)
add("rsqrt", "x", "f", lambda x: 1 / _numpy().sqrt(x), definition="quotient(1.0, sqrt(x))", accuracy=2.0,
    derivative=("r = rsqrt(x)\n-0.5 * g * (r * r * r)",))  # fmt: skip

# Activations. No intermediate value overflows: exp is only applied to numbers that are not positive.
add("sigmoid", "x", "f", lambda x: _sigmoid(x), accuracy=4.0,
    definition="""
    e = exp(-abs(x))
    quotient(where(x >= 0, 1.0, e), 1.0 + e)
    """, derivative=("s = sigmoid(x)\ng * (s * (1.0 - s))",))  # fmt: skip
add("relu", "x", "fiu", lambda x: _numpy().where(x < 0, x.dtype.type(0), x),
    definition="where(x < 0, 0, x)", derivative=("where(x > 0, g, 0.0)",))  # fmt: skip
add("silu", "x", "f", lambda x: x * _sigmoid(x), accuracy=6.0,
    definition="x * sigmoid(x)", derivative=("s = sigmoid(x)\ng * (s * (1.0 + x * (1.0 - s)))",))  # fmt: skip
add("softplus", "x", "f", lambda x: _numpy().logaddexp(x, 0), accuracy=4.0,
    definition="maximum(x, 0.0) + log1p(exp(-abs(x)))", derivative=("g * sigmoid(x)",))  # fmt: skip
add("gelu", "x", "f", lambda x: 0.5 * x * FUNCTIONS["erfc"].numpy(x * -0.7071067811865476), accuracy=64.0,
    definition="0.5 * x * erfc(x * -0.7071067811865476)",  # erfc keeps the digits that 1 + erf cancels
    derivative=("""
    density = 0.3989422804014327 * exp(-0.5 * (x * x))
    g * (0.5 * erfc(x * -0.7071067811865476) + x * density)
    """,))  # fmt: skip

# Floor division, as in Python and PyTorch. An integer divided by 0 is 0; the least integer divided by -1 wraps.
_GUARDED = """
    least = (y + 1 == 0) & (y < 0)
    d = where((y == 0) | least, 1, y)
    q = idiv(x, d)
    r = x - q * d
    off = (r != 0) & ((r < 0) != (d < 0))
    """
_INTEGER_DIVISION = _GUARDED + "where(least, 0 - x, where(y == 0, 0, where(off, q - 1, q)))"
_INTEGER_REMAINDER = _GUARDED + "where(least | (y == 0), 0, where(off, r + d, r))"
# Exact for all numbers, however large the quotient; for WGSL there is a hand-written helper (``expr.wgsl_helpers``).
add("fmod", "x y", "f", "fmod", wgsl="weft_fmod{W}({0}, {1})", llvm={"f": "frem {T} {0}, {1}"},
    derivative=("g", "-(g * trunc(x / y))"))  # fmt: skip
add("floordiv", "x y", "fiu", "floor_divide", derivative=("", ""),
    definition={
        "f": """
    r = fmod(x, y)
    q = (x - r) / y
    off = (r != 0) & ((r < 0) != (y < 0))
    whole = where(off, q - 1.0, q)
    below = floor(whole)
    found = where(whole - below > 0.5, below + 1.0, below)
    where(y == 0, x / y, where(found == 0, copysign(found, x / y), found))
    """,
        "i": _INTEGER_DIVISION,
        "u": _INTEGER_DIVISION,
    })  # fmt: skip
add("mod", "x y", "fiu", "remainder", derivative=("g", "-(g * floordiv(x, y))"),
    definition={
        "f": """
    r = fmod(x, y)
    where((r != 0) & ((r < 0) != (y < 0)), r + y, r)
    """,
        "i": _INTEGER_REMAINDER,
        "u": _INTEGER_REMAINDER,
    })  # fmt: skip
# For x >= 0 and y > 0.
add("ceil_div", "x y", "iu", lambda x, y: (x + (y - 1)) // y, definition="idiv(x + (y - 1), y)")


def _numpy() -> Any:
    import numpy

    return numpy


def _sigmoid(x: Any) -> Any:
    e = _numpy().exp(-abs(x))
    return _numpy().where(x >= 0, 1, e) / (1 + e)
