"""Primitive functions, which targets have built in: arithmetic, comparison, logic, rounding, bit patterns, choices."""

from __future__ import annotations

from typing import Any

from weft.expr.functions.table import add, by_kind, intrinsic

# Arithmetic.
add("add", "x y", "fiu", "add", wgsl="({0} + {1})", derivative=("g", "g"),
    llvm=by_kind("fadd contract {T} {0}, {1}", "add {T} {0}, {1}"))  # fmt: skip
add("sub", "x y", "fiu", "subtract", wgsl="({0} - {1})", derivative=("g", "-g"),
    llvm=by_kind("fsub contract {T} {0}, {1}", "sub {T} {0}, {1}"))  # fmt: skip
add("mul", "x y", "fiu", "multiply", wgsl="({0} * {1})", derivative=("g * y", "g * x"),
    llvm=by_kind("fmul contract {T} {0}, {1}", "mul {T} {0}, {1}"))  # fmt: skip
# WGSL lets a driver multiply by the reciprocal, with an error of 2.5 units, and 0 where the reciprocal is denormal:
# beyond 2**126. ``quotient`` is this operation, for definitions that need no more. ``div`` scales large divisors down,
# and corrects the quotient by its residual (Markstein 1990), unless the residual could be denormal.
add("quotient", "x y", "f", "divide", wgsl="({0} / {1})", derivative=("g / y", "-g * (x / y) / y"),
    llvm=by_kind("fdiv contract {T} {0}, {1}"))  # fmt: skip
add("div", "x y", "f", "divide", derivative=("g / y", "-g * (x / y) / y"),
    llvm=by_kind("fdiv contract {T} {0}, {1}"),
    definition="""
    s = where(abs(y) > 8.507059173023462e+37, 0.25, float32(1))
    a = x * s
    b = y * s
    i = quotient(1.0, b)
    q = a * i
    exact = fma(fma(-q, b, a), i, q)
    where((abs(a) > 1e-30) & (abs(q) > 1.2e-38) & (abs(q) < inf), exact, quotient(a, b))
    """)  # fmt: skip
add("neg", "x", "fi", "negative", wgsl="(-{0})", derivative=("-g",),
    llvm=by_kind("fneg {T} {0}", "sub {T} zeroinitializer, {0}"))  # fmt: skip
add("fma", "x y z", "f", lambda x, y, z: x * y + z, wgsl="fma({0}, {1}, {2})",
    llvm=intrinsic("fma", 3), derivative=("g * y", "g * x", "g"))  # fmt: skip
add("abs", "x", "fi", "abs", wgsl="abs({0})", derivative=("g * sign(x)",),
    llvm={**intrinsic("fabs"), "i": "call {T} @llvm.abs.{S}({T} {0}, i1 false)"})  # fmt: skip
add("sqrt", "x", "f", "sqrt", wgsl="sqrt({0})", llvm=intrinsic("sqrt"), derivative=("g / (2.0 * sqrt(x))",))
add("floor", "x", "f", "floor", wgsl="floor({0})", llvm=intrinsic("floor"), derivative=("",))
add("ceil", "x", "f", "ceil", wgsl="ceil({0})", llvm=intrinsic("ceil"), derivative=("",))
add("trunc", "x", "f", "trunc", wgsl="trunc({0})", llvm=intrinsic("trunc"), derivative=("",))
add("round", "x", "f", "rint", wgsl="round({0})", llvm=intrinsic("nearbyint"), derivative=("",))


def _truncated_quotient(x: Any, y: Any) -> Any:
    import numpy

    return numpy.floor_divide(x - numpy.fmod(x, y), y)


# Truncating integer division, as processors implement it, for element indices and sizes: the divisor must not be 0, nor
# -1 for the least integer. ``floordiv`` and ``mod`` are the guarded forms, for users' values.
add("idiv", "x y", "iu", _truncated_quotient, wgsl="({0} / {1})",
    llvm=by_kind("", "sdiv {T} {0}, {1}", "udiv {T} {0}, {1}"))  # fmt: skip
add("irem", "x y", "iu", "fmod", wgsl="({0} % {1})",
    llvm=by_kind("", "srem {T} {0}, {1}", "urem {T} {0}, {1}"))  # fmt: skip

# Comparisons and logic. ``and or xor not`` are bitwise on integers and logical on bool.
for _name, _sign, _numpy, _float, _int, _uint in (
    ("eq", "==", "equal", "oeq", "eq", "eq"), ("ne", "!=", "not_equal", "une", "ne", "ne"),
    ("lt", "<", "less", "olt", "slt", "ult"), ("le", "<=", "less_equal", "ole", "sle", "ule"),
    ("gt", ">", "greater", "ogt", "sgt", "ugt"), ("ge", ">=", "greater_equal", "oge", "sge", "uge"),
):  # fmt: skip
    add(
        _name, "x y", "fiub" if _name in ("eq", "ne") else "fiu", _numpy,
        wgsl=f"({{0}} {_sign} {{1}})", result="bool", derivative=("", ""),
        llvm=by_kind(f"fcmp {_float} {{T}} {{0}}, {{1}}", f"icmp {_int} {{T}} {{0}}, {{1}}",
                  f"icmp {_uint} {{T}} {{0}}, {{1}}", f"icmp {_uint} {{T}} {{0}}, {{1}}"),
    )  # fmt: skip
for _name, _sign in (("and", "&"), ("or", "|"), ("xor", "^")):
    _template = f"{_name} {{T}} {{0}}, {{1}}"
    # WGSL has no ^ for bool; the renderer has a template with !=, which is equivalent
    add(_name, "x y", "iub", f"bitwise_{_name}", wgsl=f"({{0}} {_sign} {{1}})", derivative=("", ""),
        llvm=by_kind("", _template, _template, _template))  # fmt: skip
add("not", "x", "iub", "invert", wgsl="(~{0})", derivative=("",),
    llvm=by_kind("", "xor {T} {0}, {ONES}", "xor {T} {0}, {ONES}", "xor {T} {0}, {ONES}"))  # fmt: skip
add("shl", "x y", "iu", "left_shift", wgsl="({0} << u32({1}))", llvm=by_kind("", "shl {T} {0}, {1}"))
add("shr", "x y", "iu", "right_shift", wgsl="({0} >> u32({1}))",
    llvm=by_kind("", "ashr {T} {0}, {1}", "lshr {T} {0}, {1}"))  # fmt: skip
add("where", "c x y", "fiub", "where", wgsl="select({2}, {1}, {0})",
    derivative=("", "where(c, g, 0.0)", "where(c, 0.0, g)"),
    llvm=by_kind(*["select {C} {0}, {T} {1}, {T} {2}"] * 4))  # fmt: skip

# Bit patterns of float32.
add("bits", "x", "f", lambda x: x.view("uint32"), wgsl="bitcast<u32>({0})", result="uint32", single=True,
    llvm={"f": "bitcast {T} {0} to {U}"})  # fmt: skip
add("from_bits", "x", "u", lambda x: x.view("float32"), wgsl="bitcast<f32>({0})", result="float32",
    llvm={"u": "bitcast {T} {0} to {F}"})  # fmt: skip
add("copysign", "x y", "f", "copysign", llvm=intrinsic("copysign", 2),
    definition="from_bits((bits(x) & 0x7fffffff) | (bits(y) & 0x80000000))",
    derivative=("g * sign(x) * copysign(1.0, y)", ""))  # fmt: skip

# Special values and choices, defined so that NaN propagates (WGSL's own min, max and sign may drop it).
add("isnan", "x", "f", "isnan", result="bool", derivative=("",), llvm={"f": "fcmp uno {T} {0}, {0}"},
    definition="(bits(x) & 0x7fffffff) > 0x7f800000")  # fmt: skip
add("isinf", "x", "f", "isinf", result="bool", derivative=("",), definition="abs(x) == inf")
add("isfinite", "x", "f", "isfinite", result="bool", derivative=("",), definition="abs(x) < inf")
add("maximum", "x y", "fiu", "maximum", llvm={"f": "call nsz {T} @llvm.maximum.{S}({T} {0}, {T} {1})"},
    definition="where((x > y) | (x != x), x, y)",
    derivative=("where(x < y, 0.0, where(x == y, 0.5 * g, g))",
                "where(y < x, 0.0, where(x == y, 0.5 * g, g))"))  # fmt: skip
# The larger of two numbers, in a single instruction; with a NaN operand, either operand.
add("larger", "x y", "f", "fmax", wgsl="max({0}, {1})", definition="where(x > y, x, y)",
    derivative=("where(x > y, g, 0.0)", "where(x > y, 0.0, g)"))  # fmt: skip
add("minimum", "x y", "fiu", "minimum", llvm={"f": "call nsz {T} @llvm.minimum.{S}({T} {0}, {T} {1})"},
    definition="where((x < y) | (x != x), x, y)",
    derivative=("where(x > y, 0.0, where(x == y, 0.5 * g, g))",
                "where(y > x, 0.0, where(x == y, 0.5 * g, g))"))  # fmt: skip
add("sign", "x", "fi", "sign", derivative=("",), definition="where(x > 0, 1, where(x < 0, -1, x))")
