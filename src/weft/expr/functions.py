"""The table of scalar functions: what each accepts, its derivative, and how each target writes it.

A *primitive* has a WGSL and an LLVM column. A *defined* function has a definition instead, itself an
expression, so that every target computes the same polynomial: drivers' own ``log`` and ``tanh`` are thousands
of units in the last place off. float64, which only ``cpu`` has, takes ``double``: the C library's function.

Definitions and derivatives are expressions over the parameters; derivatives also over ``g``, the value that
flows back. An empty derivative passes nothing on; a missing one makes differentiating an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ExpressionError


@dataclass(frozen=True)
class Function:
    """A row of the table.

    ``kinds``: letters of the argument kinds taken (``f``loat, ``i``nt, ``u``int, ``b``ool); ``result``: ``"same"``
    as the arguments, or a type's name. ``wgsl``: a template of ``{0} {1} …`` (arguments) and ``{T}`` (type).
    ``llvm``: kind letter to template, with ``{T}`` the argument type and ``{S}`` its intrinsic suffix.
    ``numpy``: the reference on arrays, or the name of a NumPy function.
    """

    name: str
    parameters: tuple[str, ...]
    kinds: str
    reference: str | Callable[..., Any]
    wgsl: str | None = None
    llvm: Mapping[str, str] | None = None
    definition: str | None = None
    double: str | None = None
    derivative: tuple[str, ...] | None = None
    result: str = "same"
    accuracy: float = 0.0  # float32 units in the last place, over the tested range

    @property
    def numpy(self) -> Callable[..., Any]:
        """The NumPy reference."""
        if callable(self.reference):
            return self.reference
        import numpy

        function: Callable[..., Any] = getattr(numpy, self.reference)
        return function


def result_dtype(function: Function, given: tuple[DType, ...]) -> DType:
    """The type of the function's value; ``ExpressionError`` for argument types that it does not take."""
    names = ", ".join(dtype.name for dtype in given)
    if function.name == "where":
        if given[0] is not dtypes.bool_ or given[1] is not given[2]:
            raise ExpressionError(f"where: types ({names}) given, expected (bool, T, T)")
        return given[1]
    if any(dtype is not given[0] for dtype in given):
        raise ExpressionError(f"{function.name}: types ({names}) given, expected equal ones; cast them")
    if given[0].kind[0] not in function.kinds:
        raise ExpressionError(f"{function.name}: type {names} given, expected one of kinds {function.kinds!r}")
    return given[0] if function.result == "same" else dtypes.BY_NAME[function.result]


FUNCTIONS: dict[str, Function] = {}


def _add(name: str, parameters: str, kinds: str, reference: Any, **columns: Any) -> None:
    FUNCTIONS[name] = Function(name, tuple(parameters.split()), kinds, reference, **columns)


def _each(float_: str = "", int_: str = "", uint: str = "", bool_: str = "") -> dict[str, str]:
    named = {"f": float_, "i": int_, "u": uint or int_, "b": bool_}
    return {kind: template for kind, template in named.items() if template}


def _intrinsic(name: str, arity: int = 1) -> dict[str, str]:
    args = ", ".join(f"{{T}} {{{i}}}" for i in range(arity))
    return {"f": f"call {{T}} @llvm.{name}.{{S}}({args})"}


# Arithmetic.
_add("add", "x y", "fiu", "add", wgsl="({0} + {1})", derivative=("g", "g"),
     llvm=_each("fadd contract {T} {0}, {1}", "add {T} {0}, {1}"))  # fmt: skip
_add("sub", "x y", "fiu", "subtract", wgsl="({0} - {1})", derivative=("g", "-g"),
     llvm=_each("fsub contract {T} {0}, {1}", "sub {T} {0}, {1}"))  # fmt: skip
_add("mul", "x y", "fiu", "multiply", wgsl="({0} * {1})", derivative=("g * y", "g * x"),
     llvm=_each("fmul contract {T} {0}, {1}", "mul {T} {0}, {1}"))  # fmt: skip
_add("div", "x y", "f", "divide", wgsl="({0} / {1})", derivative=("g / y", "-g * x / (y * y)"),
     llvm=_each("fdiv contract {T} {0}, {1}"))  # fmt: skip
_add("neg", "x", "fi", "negative", wgsl="(-{0})", derivative=("-g",),
     llvm=_each("fneg {T} {0}", "sub {T} zeroinitializer, {0}"))  # fmt: skip
_add("fma", "x y z", "f", lambda x, y, z: x * y + z, wgsl="fma({0}, {1}, {2})",
     llvm=_intrinsic("fma", 3), derivative=("g * y", "g * x", "g"))  # fmt: skip
_add("abs", "x", "fi", "abs", wgsl="abs({0})", derivative=("g * sign(x)",),
     llvm={**_intrinsic("fabs"), "i": "call {T} @llvm.abs.{S}({T} {0}, i1 false)"})  # fmt: skip
_add("sqrt", "x", "f", "sqrt", wgsl="sqrt({0})", llvm=_intrinsic("sqrt"), derivative=("g / (2.0 * sqrt(x))",))
_add("floor", "x", "f", "floor", wgsl="floor({0})", llvm=_intrinsic("floor"), derivative=("",))
_add("ceil", "x", "f", "ceil", wgsl="ceil({0})", llvm=_intrinsic("ceil"), derivative=("",))
_add("trunc", "x", "f", "trunc", wgsl="trunc({0})", llvm=_intrinsic("trunc"), derivative=("",))
_add("round", "x", "f", "rint", wgsl="round({0})", llvm=_intrinsic("nearbyint"), derivative=("",))

# Integer division. ``idiv`` and ``irem`` truncate and are for non-negative operands: element indices.
_add("idiv", "x y", "iu", "floor_divide", wgsl="({0} / {1})",
     llvm=_each("", "sdiv {T} {0}, {1}", "udiv {T} {0}, {1}"))  # fmt: skip
_add("irem", "x y", "iu", "mod", wgsl="({0} % {1})",
     llvm=_each("", "srem {T} {0}, {1}", "urem {T} {0}, {1}"))  # fmt: skip

# Comparisons and logic. ``and or xor not`` are bitwise on integers and logical on bool.
for _name, _sign, _float, _int, _uint in (
    ("eq", "==", "oeq", "eq", "eq"), ("ne", "!=", "une", "ne", "ne"), ("lt", "<", "olt", "slt", "ult"),
    ("le", "<=", "ole", "sle", "ule"), ("gt", ">", "ogt", "sgt", "ugt"), ("ge", ">=", "oge", "sge", "uge"),
):  # fmt: skip
    _add(
        _name, "x y", "fiub" if _name in ("eq", "ne") else "fiu",
        {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
         "gt": "greater", "ge": "greater_equal"}[_name],
        wgsl=f"({{0}} {_sign} {{1}})", result="bool", derivative=("", ""),
        llvm=_each(f"fcmp {_float} {{T}} {{0}}, {{1}}", f"icmp {_int} {{T}} {{0}}, {{1}}",
                   f"icmp {_uint} {{T}} {{0}}, {{1}}", f"icmp {_uint} {{T}} {{0}}, {{1}}"),
    )  # fmt: skip
for _name, _sign in (("and", "&"), ("or", "|"), ("xor", "^")):
    _template = f"{_name} {{T}} {{0}}, {{1}}"
    # WGSL has no ^ on bool; != is the same there, and the renderer takes the template of the kind
    _add(_name, "x y", "iub", f"bitwise_{_name}", wgsl=f"({{0}} {_sign} {{1}})", derivative=("", ""),
         llvm=_each("", _template, _template, _template))  # fmt: skip
_add("not", "x", "iub", "invert", wgsl="(~{0})", derivative=("",),
     llvm=_each("", "xor {T} {0}, {ONES}", "xor {T} {0}, {ONES}", "xor {T} {0}, {ONES}"))  # fmt: skip
_add("shl", "x y", "iu", "left_shift", wgsl="({0} << u32({1}))", llvm=_each("", "shl {T} {0}, {1}"))
_add("shr", "x y", "iu", "right_shift", wgsl="({0} >> u32({1}))",
     llvm=_each("", "ashr {T} {0}, {1}", "lshr {T} {0}, {1}"))  # fmt: skip
_add("where", "c x y", "fiub", "where", wgsl="select({2}, {1}, {0})",
     derivative=("", "where(c, g, 0.0)", "where(c, 0.0, g)"),
     llvm=_each(*["select {C} {0}, {T} {1}, {T} {2}"] * 4))  # fmt: skip

# Bit patterns of float32.
_add("bits", "x", "f", lambda x: x.view("uint32"), wgsl="bitcast<u32>({0})", result="uint32",
     llvm={"f": "bitcast {T} {0} to {U}"})  # fmt: skip
_add("from_bits", "x", "u", lambda x: x.view("float32"), wgsl="bitcast<f32>({0})", result="float32",
     llvm={"u": "bitcast {T} {0} to {F}"})  # fmt: skip

# Special values and choices, written so that NaN survives (WGSL's own min, max and sign may lose it).
_add("isnan", "x", "f", "isnan", result="bool", derivative=("",), llvm={"f": "fcmp uno {T} {0}, {0}"},
     definition="(bits(x) & 0x7fffffff) > 0x7f800000")  # fmt: skip
_add("isinf", "x", "f", "isinf", result="bool", derivative=("",),
     definition="abs(x) == inf")  # fmt: skip
_add("maximum", "x y", "fiu", "maximum",
     definition="where((x > y) | (x != x), x, y)",
     derivative=("g * where(x > y, 1.0, where(x == y, 0.5, 0.0))",
                 "g * where(y > x, 1.0, where(x == y, 0.5, 0.0))"))  # fmt: skip
_add("minimum", "x y", "fiu", "minimum",
     definition="where((x < y) | (x != x), x, y)",
     derivative=("g * where(x < y, 1.0, where(x == y, 0.5, 0.0))",
                 "g * where(y < x, 1.0, where(x == y, 0.5, 0.0))"))  # fmt: skip
_add("sign", "x", "fi", "sign", derivative=("",),
     definition="where(x > 0, x * 0 + 1, where(x < 0, x * 0 - 1, x))")  # fmt: skip
