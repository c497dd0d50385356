"""The form of the function table: a row, how rows are added, and the type of a call.

A *primitive* has a WGSL and an LLVM column. A *defined* function has a definition instead, itself an
expression, so that every target computes the same polynomial: drivers' own ``log`` and ``tanh`` are thousands
of units in the last place off. float64, which only ``cpu`` has, takes ``double``: the C library's function.
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
    as the arguments, or a type's name. ``wgsl``: a template of ``{0} {1} …`` (arguments), ``{T}`` (type) and ``{W}``
    (what tells helpers of several elements apart; helpers are declared by ``expr.wgsl_helpers``).
    ``llvm``: kind letter to template, with ``{T}`` the argument type and ``{S}`` its intrinsic suffix.
    ``numpy``: the reference on arrays, or the name of a NumPy function.

    ``definition`` and ``derivative`` are expressions over the parameters; derivatives also over ``g``, the value
    that flows back. A definition that differs by type is a mapping from kind letters, and from a type's name where
    one type of a kind differs. ``wide`` is a definition for targets that have 64-bit integers. ``shortcut`` is a
    condition and a value: what targets whose ``fma`` rounds once compute of float32 where the condition holds, instead
    of the definition. An empty derivative passes nothing on; where it is missing or ``None``, a definition without
    ``double`` is differentiated, and anything else is an error.
    ``provided`` functions of float32 are called by name in LLVM IR: the device's compiler writes them by what the
    processor has. ``single`` functions work on float32's bits and take no float64. ``accuracy`` is the largest error in
    float32 units in the last place, over the range that the tests state.
    """

    name: str
    parameters: tuple[str, ...]
    kinds: str
    reference: str | Callable[..., Any]
    wgsl: str | None = None
    llvm: Mapping[str, str] | None = None
    definition: str | Mapping[str, str] | None = None
    wide: str | None = None
    shortcut: tuple[str, str] | None = None
    double: str | None = None
    derivative: tuple[str | None, ...] | None = None
    result: str = "same"
    single: bool = False
    provided: bool = False
    accuracy: float = 0.0

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
    first = given[0]
    if function.name == "where":
        if first is not dtypes.bool_ or given[1] is not given[2]:
            raise ExpressionError(f"where: types ({_names(given)}) given, expected (bool, T, T)")
        return given[1]
    for dtype in given:
        if dtype is not first:
            raise ExpressionError(
                f"{function.name}: types ({_names(given)}) given, expected equal ones; cast them"
            )
    if first.kind[0] not in function.kinds:
        kinds = " or ".join(_KINDS[letter] for letter in function.kinds)
        raise ExpressionError(f"{function.name}: type {first.name} given, expected {kinds}")
    if function.single and first.bits == 64:
        raise ExpressionError(f"{function.name}: type {first.name} given, expected float32")
    return first if function.result == "same" else dtypes.BY_NAME[function.result]


def _names(given: tuple[DType, ...]) -> str:
    return ", ".join(dtype.name for dtype in given)


_KINDS = {"f": "a float", "i": "a signed integer", "u": "an unsigned integer", "b": "a bool"}

FUNCTIONS: dict[str, Function] = {}


def add(name: str, parameters: str, kinds: str, reference: str | Callable[..., Any], **columns: Any) -> None:
    """Put a row into the table."""
    FUNCTIONS[name] = Function(name, tuple(parameters.split()), kinds, reference, **columns)


def piece(
    name: str, parameters: str, reference: str | Callable[..., Any], definition: str, provided: bool = False
) -> None:
    """Put a row into the table that only definitions use: for float32, on the range that they keep to."""
    add(name, parameters, "f", reference, definition=definition, single=True, provided=provided)


def each(float_: str = "", int_: str = "", uint: str = "", bool_: str = "") -> dict[str, str]:
    """An LLVM column by kind; unsigned integers take the signed template where they have none."""
    named = {"f": float_, "i": int_, "u": uint or int_, "b": bool_}
    return {kind: template for kind, template in named.items() if template}


def intrinsic(name: str, arity: int = 1) -> dict[str, str]:
    """An LLVM column that calls a floating-point intrinsic."""
    args = ", ".join(f"{{T}} {{{i}}}" for i in range(arity))
    return {"f": f"call {{T}} @llvm.{name}.{{S}}({args})"}


def horner(variable: str, *coefficients: float) -> str:
    """The polynomial with these coefficients, lowest power first, as nested multiply-adds.

    >>> horner("x", 1.0, 2.0, 3.0)
    'fma(fma(3.0, x, 2.0), x, 1.0)'
    """
    text = repr(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        text = f"fma({text}, {variable}, {coefficient!r})"
    return text
