"""What kernels leave to the processor at hand: the width of vectors, and functions that are instructions on some."""

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
"""The first version of LLVM that makes an instruction of ``llvm.ldexp`` where there is AVX-512."""


def vectors(features: str) -> str:
    """Features to add to those found: vectors of 64 bytes on processors whose clock they do not slow down.

    LLVM prefers 32 bytes on all Intel processors. From Ice Lake on, which has AVX-512 VBMI2, the clock stays.
    """
    return ",-prefer-256-bit" if "+avx512vbmi2" in features.split(",") else ""


def completed(source: str, features: str, version: int) -> str:
    """A kernel's IR with the provided functions that it declares; ``version`` is LLVM's."""
    instruction = "+avx512f" in features.split(",") and version >= _LDEXP

    def defined(found: re.Match[str]) -> str:
        return _definition(found["name"], int(found["lanes"] or 1), instruction)

    return _DECLARED.sub(defined, source)


@lru_cache(maxsize=None)
def _definition(name: str, lanes: int, instruction: bool) -> str:
    function = FUNCTIONS[name]
    kind, whole = suffix("float", lanes), vector_type("float", lanes)
    arguments = ", ".join(f"{whole} %{parameter}" for parameter in function.parameters)
    lines = Lines()
    if instruction and name == "scaled":
        numbers, ints = vector_type("i32", lanes), suffix("i32", lanes)
        # a NaN leaves the conversion open, and any choice of the exponent gives NaN then
        power = lines.let(f"call {numbers} @llvm.lrint.{ints}.{kind}({whole} %n)")
        power = lines.let(f"freeze {numbers} {power}")
        result = lines.let(f"call {whole} @llvm.ldexp.{kind}.{ints}({whole} %x, {numbers} {power})")
    else:
        body = definition(name, (dtypes.float32,) * len(function.parameters), wide=True)
        assert body is not None, "provided functions are defined ones"
        given = {
            parameter: IRValue(f"%{parameter}", dtypes.float32, lanes) for parameter in function.parameters
        }
        result = Emitter(lines, _no_load).inline(body, given).text
    head = f"define internal {whole} @{PROVIDED}{name}.{kind}({arguments}) alwaysinline nounwind"
    return "\n".join([f"{head} {{", *lines.text, f"  ret {whole} {result}", "}", *sorted(lines.declarations)])


def _no_load(emitter: Emitter, node: Expr) -> IRValue:
    raise KernelError(f"llvm: provided functions load nothing, {node!r} given")
