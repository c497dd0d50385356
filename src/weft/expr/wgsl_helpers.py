"""Table functions with a hand-written WGSL helper: exact remainders, and conversions to integers.

``expr.wgsl`` uses the helpers instead of a template or a definition. All take scalars or vectors of four elements.
"""

from __future__ import annotations

from collections.abc import Callable

from weft import dtypes
from weft.expr.wgsl_text import Declarations, suffix, type_name

QUOTIENT_STEPS = 35
"""The 8-bit steps of the longest quotient of two float32, which has 276 bits."""


def fmod(declarations: Declarations, width: int) -> str:
    """Declare the remainder of truncating division, by long division of the significands; return the helper's name.

    A step takes 8 bits of the quotient: it estimates them in float32, at most 1 off, and corrects the rest. All numbers
    are below 2**24, so float32 holds them exactly. A software rasteriser limits the iterations of loops and silently
    ends long loops, so the steps are unrolled there.
    """
    name, kind, bits = f"weft_fmod{suffix(width)}", type_name(dtypes.float32, width), _bits(width)
    if name in declarations.functions:
        return name
    ints, either = type_name(dtypes.int32, width), "||" if width == 1 else "|"
    nan, zero = declarations.private_bits("nan"), f"{bits}(0u)"
    step = f"""let step = min(left, {bits}(8u));
        let shifted = rest << step;
        let estimate = {bits}({kind}(shifted) / divisor);
        rest = shifted - estimate * mb;
        rest = select(rest, rest + mb, rest > {bits}(0x7fffffffu));
        rest = select(rest, rest - mb, rest >= mb);
        left -= step;"""
    any_left = "left > 0u" if width == 1 else f"any(left > {zero})"
    head = f"for (var turn = 0; turn < {QUOTIENT_STEPS} && {any_left}; turn++)"
    blocks = [f"    {head} {{\n        {step}\n    }}"]
    if declarations.exact_division:
        blocks = [f"    {{\n        {step}\n    }}"] * QUOTIENT_STEPS
    steps = "\n".join(blocks)
    declarations.functions[name] = f"""fn {name}(x: {kind}, y: {kind}) -> {kind} {{
    let sign = bitcast<{bits}>(x) & {bits}(0x80000000u);
    let a = bitcast<{bits}>(x) ^ sign;
    let b = bitcast<{bits}>(y) & {bits}(0x7fffffffu);
    // 24-bit significands and exponents, also of denormal numbers
    let wa = select((a & {bits}(0x7fffffu)) | {bits}(0x800000u), max(a, {bits}(1u)), a < {bits}(0x800000u));
    let wb = select((b & {bits}(0x7fffffu)) | {bits}(0x800000u), max(b, {bits}(1u)), b < {bits}(0x800000u));
    let la = countLeadingZeros(wa) - {bits}(8u);
    let lb = countLeadingZeros(wb) - {bits}(8u);
    let ma = wa << la;
    let mb = wb << lb;
    let ea = {ints}(max(a >> {bits}(23u), {bits}(1u))) - {ints}(la);
    let eb = {ints}(max(b >> {bits}(23u), {bits}(1u))) - {ints}(lb);
    let divisor = {kind}(mb);
    var rest = select(ma, ma - mb, ma >= mb);
    var left = {bits}(max(ea - eb, {ints}(0i)));
{steps}
    let up = min({ints}(countLeadingZeros(max(rest, {bits}(1u)))) - {ints}(8i), eb - {ints}(1i));
    let moved = select(rest << {bits}(max(up, {ints}(0i))), rest >> {bits}(max(-up, {ints}(0i))), up < {ints}(0i));
    let scaled = moved + ({bits}(eb - {ints}(1i) - up) << {bits}(23u));
    let found = select(sign, sign | scaled, rest > {zero});
    let special = a >= {bits}(0x7f800000u) {either} b > {bits}(0x7f800000u) {either} b == {zero};
    return bitcast<{kind}>(select(select(found, bitcast<{bits}>(x), a < b), {bits}({nan}), special));
}}"""
    return name


def to_integer(declarations: Declarations, kind: str, width: int) -> str:
    """Declare the saturating conversion of a float to i32 or u32, with 0 for NaN; return the helper's name.

    WGSL's own conversion saturates to the largest integer that is a float32, and drivers differ for NaN.
    """
    name, floats, bits = f"weft_{kind}{suffix(width)}", type_name(dtypes.float32, width), _bits(width)
    if name in declarations.functions:
        return name
    target = kind if width == 1 else f"vec{width}<{kind}>"
    limit, most = ("2147483648.0f", "2147483647i") if kind == "i32" else ("4294967296.0f", "4294967295u")
    declarations.functions[name] = f"""fn {name}(x: {floats}) -> {target} {{
    let missing = (bitcast<{bits}>(x) & {bits}(0x7fffffffu)) > {bits}(0x7f800000u);
    let inside = select(x, {floats}(0.0f), missing);
    return select({target}(inside), {target}({most}), inside >= {floats}({limit}));
}}"""
    return name


def _bits(width: int) -> str:
    return type_name(dtypes.uint32, width)


WRITTEN: dict[str, Callable[[Declarations, int], str]] = {"fmod": fmod}
"""The table functions with a hand-written helper."""
