"""``View``: a storage binding in WGSL, its array type, and the text of loads and stores by element index.

32-bit types are arrays of themselves. Narrower types are packed two or four to a ``u32`` word; a *format* says how
elements are unpacked and packed. Derived kernels and library templates read and write through views.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft import dtypes
from weft.dtypes import DType
from weft.expr.wgsl_text import Declarations, to_bits, type_name

LANES = "xyzw"


@dataclass(frozen=True)
class Format:
    """A packed element type: ``{w}`` is a word (or the words of four elements), ``{s}`` a shift, ``{v}`` a value."""

    bits: int
    unpack: str
    unpack4: str
    pack: str
    pack4: str

    @property
    def lanes(self) -> int:
        """Elements in a word."""
        return 32 // self.bits

    @property
    def mask(self) -> str:
        """The text of a word with the bits of lane 0 set."""
        return f"{2**self.bits - 1:#x}u"

    @property
    def shift(self) -> int:
        """log2 of the elements in a word."""
        return {16: 1, 8: 2}[self.bits]


_BYTES4 = "((vec4<u32>({w}) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u))"
_PACK_BYTES4 = "weft_pack_bytes({v})"

FORMATS: dict[DType, Format] = {
    dtypes.float16: Format(
        16,
        "unpack2x16float({w} >> {s}).x",
        "vec4<f32>(unpack2x16float({w}.x), unpack2x16float({w}.y))",
        "weft_float16_bits({v})",
        "weft_pack_float16({v})",
    ),
    dtypes.bfloat16: Format(
        16,
        "bitcast<f32>(({w} >> {s}) << 16u)",
        "bitcast<vec4<f32>>(vec4<u32>({w}.x << 16u, {w}.x & 0xffff0000u, {w}.y << 16u, {w}.y & 0xffff0000u))",
        "weft_bfloat16_bits({v})",
        "weft_pack_bfloat16({v})",
    ),
    dtypes.int16: Format(
        16,
        "(bitcast<i32>({w} << (16u - {s})) >> 16u)",
        "(bitcast<vec4<i32>>(vec4<u32>({w}.x << 16u, {w}.x, {w}.y << 16u, {w}.y)) >> vec4<u32>(16u))",
        "(bitcast<u32>({v}) & 0xffffu)",
        "weft_pack_words(bitcast<vec4<u32>>({v}))",
    ),
    dtypes.int8: Format(
        8,
        "(bitcast<i32>({w} << (24u - {s})) >> 24u)",
        "(bitcast<vec4<i32>>(vec4<u32>({w}) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u))",
        "(bitcast<u32>({v}) & 255u)",
        _PACK_BYTES4.format(v="bitcast<vec4<u32>>({v})"),
    ),
    dtypes.uint8: Format(
        8,
        "bitcast<i32>(({w} >> {s}) & 255u)",
        f"bitcast<vec4<i32>>({_BYTES4})",
        "(bitcast<u32>({v}) & 255u)",
        _PACK_BYTES4.format(v="bitcast<vec4<u32>>({v})"),
    ),
    dtypes.bool_: Format(
        8,
        "((({w} >> {s}) & 255u) != 0u)",
        f"({_BYTES4} != vec4<u32>(0u))",
        "u32({v})",
        _PACK_BYTES4.format(v="vec4<u32>({v})"),
    ),
}

_PACK_INTEGERS = {
    8: """fn weft_pack_bytes(v: vec4<u32>) -> u32 {
    let bytes = (v & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}""",
    16: """fn weft_pack_words(v: vec4<u32>) -> vec2<u32> {
    return vec2<u32>((v.x & 0xffffu) | (v.y << 16u), (v.z & 0xffffu) | (v.w << 16u));
}""",
}
_PACK_NAMES = {8: "weft_pack_bytes", 16: "weft_pack_words"}
_PACK_HALVES = """fn weft_pack_{name}(v: vec4<f32>) -> vec2<u32> {{
    return vec2<u32>({bits}(v.x) | ({bits}(v.y) << 16u), {bits}(v.z) | ({bits}(v.w) << 16u));
}}"""
# Which bits belong to the first ``count`` (1 to 3) of four elements.
_TAIL_MASK = {
    16: """fn weft_tail_16(count: i32) -> vec2<u32> {
    return vec2<u32>(select(0xffffu, 0xffffffffu, count > 1i), select(0u, 0xffffu, count > 2i));
}""",
    8: """fn weft_tail_8(count: i32) -> u32 {
    return 0xffffffffu >> u32(32i - 8i * count);
}""",
}


@dataclass(frozen=True)
class View:
    """A storage binding; with ``vector`` 4 each item of its array has four elements.

    A packed binding that is written and not ``vector`` has atomic words: its neighbours in a word belong to
    other invocations, and each changes only the bits of its own lane.
    """

    name: str
    dtype: DType
    written: bool
    vector: int = 1

    @property
    def atomic(self) -> bool:
        """Whether words are written lane by lane."""
        return self.written and self.vector == 1 and self.dtype in FORMATS

    @property
    def plain(self) -> bool:
        """Whether an element is an item of the array, so that its index stands in the text once."""
        return self.vector == 1 and self.dtype not in FORMATS

    @property
    def element(self) -> str:
        """The type of the array's elements."""
        form = FORMATS.get(self.dtype)
        if form is None:
            return type_name(self.dtype, self.vector)
        if self.vector == 4:
            return "vec2<u32>" if form.bits == 16 else "u32"
        return "atomic<u32>" if self.atomic else "u32"

    def declaration(self, binding: int) -> str:
        """Return the module-scope variable of the binding."""
        access = "read_write" if self.written else "read"
        return f"@group(0) @binding({binding}) var<storage, {access}> {self.name}: array<{self.element}>;"

    def load(self, index: str) -> str:
        """Return the text of the element at ``index``, an i32 name or literal, which may be repeated in the text."""
        form = FORMATS.get(self.dtype)
        if form is None:
            return (
                f"{self.name}[{index}]" if self.vector == 1 else f"{self.name}[{index} >> 2u][{index} & 3i]"
            )
        word = self._word(index, form)
        shift = f"(u32({index} & {form.lanes - 1}i) * {form.bits}u)"
        return form.unpack.format(w=f"atomicLoad(&{word})" if self.atomic else word, s=shift)

    def _word(self, index: str, form: Format) -> str:
        if self.vector == 4 and form.bits == 16:
            return f"{self.name}[{index} >> 2u][({index} >> 1u) & 1i]"
        return f"{self.name}[{index} >> {form.shift}u]"

    def load4(self, index: str) -> str:
        """Return the text of four elements at ``index``, a multiple of 4, of a ``vector`` binding."""
        item = f"{self.name}[{index} >> 2u]"
        form = FORMATS.get(self.dtype)
        return item if form is None else form.unpack4.format(w=item)

    def store(
        self, index: str, value: str, declarations: Declarations, coinciding: bool = False
    ) -> list[str]:
        """Return statements that write an element; ``index`` is a name or literal.

        ``coinciding``: several invocations may write the element, all the same value.
        """
        form = FORMATS.get(self.dtype)
        if form is None:
            place = (
                f"{self.name}[{index}]" if self.vector == 1 else f"{self.name}[{index} >> 2u][{index} & 3i]"
            )
            return [f"{place} = {value};"]
        assert self.atomic, "a packed element is written alone only where its word is atomic"
        self.needs(declarations)
        word = self._word(index, form)
        if coinciding:  # a second equal change by xor would undo the first
            return [
                "{",
                f"    let shift = u32({index} & {form.lanes - 1}i) * {form.bits}u;",
                f"    let bits = ({form.pack.format(v=value)} & {form.mask}) << shift;",
                f"    atomicAnd(&{word}, ~({form.mask} << shift));",
                f"    atomicOr(&{word}, bits);",
                "}",
            ]
        return [
            "{",
            f"    let shift = u32({index} & {form.lanes - 1}i) * {form.bits}u;",
            f"    let change = (atomicLoad(&{word}) >> shift) ^ {form.pack.format(v=value)};",
            f"    atomicXor(&{word}, (change & {form.mask}) << shift);",
            "}",
        ]

    def all4(self, index: str, value: str, declarations: Declarations) -> str:
        """Return the statement that writes four elements at ``index``, a multiple of 4; both are names or literals."""
        form = FORMATS.get(self.dtype)
        if form is not None:
            self.needs(declarations)
            value = form.pack4.format(v=value)
        return f"{self.name}[{index} >> 2u] = {value}"

    def store4(self, index: str, value: str, rest: str, declarations: Declarations) -> list[str]:
        """Return statements that write the first ``rest``, or all, of four elements at ``index``, a multiple of 4.

        ``index``, ``value`` and ``rest`` are names or literals.
        """
        item, form = f"{self.name}[{index} >> 2u]", FORMATS.get(self.dtype)
        if form is None:
            tail = [f"{item}.x = {value}.x;"]
            tail += [
                f"if ({rest} > {lane}i) {{ {item}.{LANES[lane]} = {value}.{LANES[lane]}; }}"
                for lane in (1, 2)
            ]
        else:
            self.needs(declarations)
            declarations.functions[f"weft_tail_{form.bits}"] = _TAIL_MASK[form.bits]
            mask, packed = f"weft_tail_{form.bits}({rest})", form.pack4.format(v=value)
            tail = [f"let mask = {mask};", f"{item} = ({item} & ~mask) | ({packed} & mask);"]
            value = packed
        return [
            f"if ({rest} > 3i) {{",
            f"    {item} = {value};",
            "} else {",
            *(f"    {line}" for line in tail),
            "}",
        ]

    def needs(self, declarations: Declarations) -> None:
        """Declare the helpers that this binding's stores call."""
        form = FORMATS.get(self.dtype)
        if form is None:
            return
        if self.dtype.kind != "float":
            if self.vector == 4:
                declarations.functions[_PACK_NAMES[form.bits]] = _PACK_INTEGERS[form.bits]
            return
        bits = to_bits(declarations, self.dtype)
        if self.vector == 4:
            name = self.dtype.name
            declarations.functions[f"weft_pack_{name}"] = _PACK_HALVES.format(name=name, bits=bits)
