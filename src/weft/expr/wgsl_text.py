"""Pieces of WGSL text: types, identifiers, literals, and the declarations that expressions need.

Used by ``expr.wgsl``, by the code generator and by the library templates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.functions import FUNCTIONS

_SCALARS = {"float": "f32", "int": "i32", "uint": "u32", "bool": "bool"}
_SPECIAL_BITS = {"inf": 0x7F800000, "negative_inf": 0xFF800000, "nan": 0x7FC00000}

# WGSL's keywords and reserved words, the generator's own names, and the functions that it calls.
_KEYWORDS = frozenset(
    """alias break case const const_assert continue continuing default diagnostic discard else enable false fn for
    if let loop override requires return struct switch true var while abstract active alignas alignof as asm async
    attribute auto await become cast catch class common compile concept constexpr crate debugger decltype delete
    demote do enum export extends extern external fallthrough filter final finally friend from get goto groupshared
    highp impl implements import inline instanceof interface layout lowp macro match mediump meta mod module move
    mut namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null nullptr of
    operator package packoffset partition pass patch pixelfragment precise precision premerge priv protected pub
    public readonly ref regardless register resource restrict self set shared sizeof smooth snorm static std super
    target template this thread_local throw trait try type typedef typeid typename typeof union unless unorm unsafe
    unsized use using varying virtual volatile wgsl where with writeonly yield
    main part parameters status workgroup_id workgroups group local item rest step half shift change mask
    f32 i32 u32 f16 vec2 vec3 vec4 mat array atomic ptr select bitcast fma min max clamp all any dot""".split()
) | frozenset(FUNCTIONS)


def identifier(name: str) -> str:
    """Return ``name``, with an underscore appended where WGSL reserves it; raises ``KernelError`` for other texts."""
    if not (name.isascii() and name.isidentifier()) or name.startswith("__") or name == "_":
        raise KernelError(
            f"{name!r} is no name for a variable or buffer of a kernel, expected letters and digits"
        )
    return f"{name}_" if name in _KEYWORDS else name


def type_name(dtype: DType, width: int = 1) -> str:
    """Return the WGSL compute type of ``dtype``; raises ``KernelError`` for float64.

    >>> type_name(dtypes.bfloat16), type_name(dtypes.int64, 4)
    ('f32', 'vec4<i32>')
    """
    if dtype is dtypes.float64:
        raise KernelError("WGSL has no float64; cast to float32, or compute on the cpu device")
    scalar = _SCALARS[dtype.compute.kind]
    return scalar if width == 1 else f"vec{width}<{scalar}>"


def suffix(width: int) -> str:
    """Return the suffix of a helper's name for its vector form; empty for the scalar form."""
    return f"_x{width}" if width > 1 else ""


@dataclass
class Declarations:
    """The helper functions and private variables that the emitted text needs, each once, in order of first use.

    ``exact_division`` says that the target's own division is correctly rounded, as in a software rasteriser.
    """

    functions: dict[str, str] = field(default_factory=dict)
    privates: dict[str, str] = field(default_factory=dict)
    exact_division: bool = False

    def private_bits(self, name: str) -> str:
        """Declare a variable with the bits of a value that has no WGSL literal; return its name."""
        variable_name = f"weft_{name}_bits"
        self.privates[variable_name] = f"var<private> {variable_name}: u32 = {_SPECIAL_BITS[name]:#010x}u;"
        return variable_name

    def zero(self) -> str:
        """Declare a u32 that is 0 at run time only: the entry point sets it from the workgroup's z. Return its name."""
        self.privates["weft_zero"] = "var<private> weft_zero: u32;"
        return "weft_zero"

    def exact(self, width: int) -> str:
        """Declare the identity function that hides its argument from drivers (``wgsl_exact``); return its name."""
        name = f"weft_exact{suffix(width)}"
        kind, bits = type_name(dtypes.float32, width), type_name(dtypes.uint32, width)
        self.functions[name] = (
            f"fn {name}(x: {kind}) -> {kind} {{\n"
            f"    return bitcast<{kind}>(bitcast<{bits}>(x) ^ {bits}({self.zero()}));\n}}"
        )
        return name

    def remainder(self, width: int) -> str:
        """Declare a helper for ``%`` of signed integers, which Vulkan leaves undefined for negative ones."""
        name, kind = f"weft_irem{suffix(width)}", type_name(dtypes.int32, width)
        self.functions[name] = f"fn {name}(x: {kind}, y: {kind}) -> {kind} {{\n    return x - x / y * y;\n}}"
        return name

    def text(self) -> str:
        """Return the text of all declarations, private variables first."""
        return "\n\n".join(filter(None, ["\n".join(self.privates.values()), *self.functions.values()]))


def literal(value: bool | int | float, dtype: DType, declarations: Declarations) -> str:
    """Return a scalar constant; infinities and NaN, which have no literal, as the bits of a private variable.

    >>> literal(0.1, dtypes.float32, Declarations()), literal(-5, dtypes.int64, Declarations())
    ('0.1f', '(-5i)')
    """
    kind = dtype.compute.kind
    if kind == "bool":
        return "true" if value else "false"
    if kind == "float":
        return _float_literal(float(value), declarations)
    low, high = (-(2**31), 2**31) if dtype is dtypes.int64 else (-(2**31), 2**32)
    if not low <= value < high:
        raise KernelError(
            f"constant {value} of type {dtype.name} does not fit the 32 bits that WGSL has for it"
        )
    if kind == "uint":
        return f"{int(value) % 2**32}u"
    wrapped = (int(value) + 2**31) % 2**32 - 2**31
    if wrapped == -(2**31):
        return "i32(-2147483648)"
    return f"{wrapped}i" if wrapped >= 0 else f"({wrapped}i)"


def _float_literal(value: float, declarations: Declarations) -> str:
    import numpy

    with numpy.errstate(over="ignore"):
        rounded = numpy.float32(value)
    if math.isnan(rounded):
        return f"bitcast<f32>({declarations.private_bits('nan')})"
    if math.isinf(rounded):
        return f"bitcast<f32>({declarations.private_bits('inf' if rounded > 0 else 'negative_inf')})"
    text = repr(float(str(rounded)))
    return f"({text}f)" if text.startswith("-") else f"{text}f"


def bare(text: str) -> str:
    """Return the text without outer parentheses, for places where precedence does not matter.

    >>> bare("(a + (b))"), bare("(a) + (b)")
    ('a + (b)', '(a) + (b)')
    """
    if not text.startswith("("):
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[1:-1] if position == len(text) - 1 else text
    return text


_TO_BITS = {
    # Rounds to nearest even by hand: pack2x16float may give anything for values beyond 65504.
    "float16": """fn weft_float16_bits(x: f32) -> u32 {
    let word = bitcast<u32>(x);
    let sign = (word >> 16u) & 0x8000u;
    let magnitude = word & 0x7fffffffu;
    // below 2^-14 adding 0.5 leaves the rounded subnormal in the low bits of the sum
    let subnormal = bitcast<u32>(bitcast<f32>(magnitude) + 0.5f) - 0x3f000000u;
    let normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13u) & 1u)) >> 13u;
    let special = select(0x7c00u, 0x7e00u, magnitude > 0x7f800000u);
    return sign | select(select(normal, subnormal, magnitude < 0x38800000u), special, magnitude >= 0x47800000u);
}""",
    "bfloat16": """fn weft_bfloat16_bits(x: f32) -> u32 {
    let word = bitcast<u32>(x);
    let rounded = (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
    return select(rounded, (word >> 16u) | 0x40u, (word & 0x7fffffffu) > 0x7f800000u);
}""",
}
_FROM_BITS = {"float16": "unpack2x16float({}).x", "bfloat16": "bitcast<f32>({} << 16u)"}


def to_bits(declarations: Declarations, dtype: DType) -> str:
    """Declare the helper that rounds an f32 to a 16-bit float and returns its bits as a u32; return its name."""
    name = f"weft_{dtype.name}_bits"
    declarations.functions[name] = _TO_BITS[dtype.name]
    return name


def rounding(declarations: Declarations, dtype: DType) -> str:
    """Declare the helper that rounds an f32 to the values of a 16-bit float; return its name."""
    name = f"weft_round_{dtype.name}"
    bits = f"{to_bits(declarations, dtype)}(x)"
    declarations.functions[name] = (
        f"fn {name}(x: f32) -> f32 {{\n    return {_FROM_BITS[dtype.name].format(bits)};\n}}"
    )
    return name
