"""Choices that depend on the processor: the preferred vector width, and functions that some processors have built in.

Kernels only declare such functions (*provided* functions); they get their definitions when they are compiled.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from weft import dtypes
from weft.errors import KernelError
from weft.expr import FUNCTIONS, Expr
from weft.expr.define import definition
from weft.expr.llvm import PROVIDED, Emitter
from weft.expr.llvm_text import IRValue, Lines, suffix, vector_type

_DECLARED: Final = re.compile(
    rf"^declare \S.* @{re.escape(PROVIDED)}(?P<name>\w+)\.(?:v(?P<lanes>\d+))?f32\(.*\)$", re.MULTILINE
)

_LDEXP: Final = 22
"""The first version of LLVM that compiles ``llvm.ldexp`` to an instruction on processors with AVX-512."""


def vectors(features: str) -> str:
    """Return features to add to the detected ones: 64-byte vectors where they do not lower the processor's clock.

    LLVM prefers 32-byte vectors on all Intel processors. From Ice Lake on, which has AVX-512 VBMI2, the clock stays.
    """
    return ",-prefer-256-bit" if "+avx512vbmi2" in features.split(",") else ""


def with_provided(source: str, features: str, version: int) -> str:
    """Return a kernel's IR with definitions of the provided functions that it declares; ``version`` is LLVM's."""
    instruction = "+avx512f" in features.split(",") and version >= _LDEXP

    def defined(found: re.Match[str]) -> str:
        return _definition(found["name"], int(found["lanes"] or 1), instruction)

    return (
        _DECLARED.sub(defined, source.replace(_DOT_DECLARED, _dot(features)))
        if PROVIDED in source
        else source
    )


@lru_cache(maxsize=None)
def _definition(name: str, lanes: int, instruction: bool) -> str:
    function = FUNCTIONS[name]
    kind, whole = suffix("float", lanes), vector_type("float", lanes)
    arguments = ", ".join(f"{whole} %{parameter}" for parameter in function.parameters)
    lines = Lines()
    if instruction and name == "scaled":
        numbers, ints = vector_type("i32", lanes), suffix("i32", lanes)
        # the conversion of a NaN is poison; ``freeze`` makes it an arbitrary exponent, with which the result is NaN
        power = lines.let(f"call {numbers} @llvm.lrint.{ints}.{kind}({whole} %n)")
        power = lines.let(f"freeze {numbers} {power}")
        result = lines.let(f"call {whole} @llvm.ldexp.{kind}.{ints}({whole} %x, {numbers} {power})")
    else:
        body = definition(name, (dtypes.float32,) * len(function.parameters), wide=True)
        assert body is not None, "a provided function has a definition"
        given = {
            parameter: IRValue(f"%{parameter}", dtypes.float32, lanes) for parameter in function.parameters
        }
        result = Emitter(lines, _no_load).inline(body, given).text
    head = f"define internal {whole} @{PROVIDED}{name}.{kind}({arguments}) alwaysinline nounwind"
    return "\n".join([f"{head} {{", *lines.text, f"  ret {whole} {result}", "}", *sorted(lines.declarations)])


def _no_load(emitter: Emitter, node: Expr) -> IRValue:
    raise KernelError(f"llvm: {node!r} given, expected no load in a provided function")


_DOT_HEAD: Final = f"@{PROVIDED}dot4.v16i32(<16 x i32>"
_DOT_DECLARED: Final = f"declare <16 x i32> {_DOT_HEAD}, <64 x i8>, <64 x i8>)"


def _dot(features: str) -> str:
    """Return the definition of the dot product of four unsigned by four signed bytes, added to an i32, in 16 lanes."""
    head = (
        f"define internal <16 x i32> {_DOT_HEAD} %sum, <64 x i8> %u, <64 x i8> %s) alwaysinline nounwind {{"
    )
    lines = Lines()
    unsigned, signed = (lines.let(f"bitcast <64 x i8> %{name} to <16 x i32>") for name in "us")
    if "+avx512vnni" in features.split(","):
        # the types of LLVM before 22; later versions take them too, and upgrade the call to vectors of bytes
        intrinsic = "@llvm.x86.avx512.vpdpbusd.512"
        operands = f"<16 x i32> %sum, <16 x i32> {unsigned}, <16 x i32> {signed}"
        result = lines.let(f"call <16 x i32> {intrinsic}({operands})")
        lines.declarations.add(f"declare <16 x i32> {intrinsic}(<16 x i32>, <16 x i32>, <16 x i32>)")
    else:
        result = "%sum"
        for byte in range(4):
            low = lines.let(
                f"and <16 x i32> {lines.let(f'lshr <16 x i32> {unsigned}, splat (i32 {8 * byte})')}, splat (i32 255)"
            )
            top = lines.let(f"shl <16 x i32> {signed}, splat (i32 {24 - 8 * byte})")
            product = lines.let(
                f"mul <16 x i32> {low}, {lines.let(f'ashr <16 x i32> {top}, splat (i32 24)')}"
            )
            result = lines.let(f"add <16 x i32> {result}, {product}")
    return "\n".join([head, *lines.text, f"  ret <16 x i32> {result}", "}", *sorted(lines.declarations)])
