"""The form of the function table: its rows, functions that add rows, and the result type of a call.

A *primitive* function has a WGSL and an LLVM column. A *defined* function has a definition instead, an expression, so
that every target computes the same polynomial: drivers' own ``log`` and ``tanh`` have errors of thousands of units in
the last place. For float64, which only ``cpu`` has, ``double`` names the C library's function.
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

    Attributes:
        name: The function's name.
        parameters: The names of its parameters.
        kinds: The letters of accepted argument kinds: ``f``loat, ``i``nt, ``u``int, ``b``ool.
        reference: The reference on NumPy arrays, or the name of a NumPy function.
        wgsl: A template with ``{0} {1} …`` (arguments), ``{T}`` (type) and ``{W}`` (the suffix of vector helpers, which
            ``expr.wgsl_helpers`` declares).
        llvm: Templates by kind letter, with ``{T}`` for the argument type and ``{S}`` for its intrinsic suffix.
        definition: An expression over the parameters; where it differs by type, a mapping from kind letters, and from
            type names where a type differs from its kind.
        wide: A definition for targets with 64-bit integers.
        shortcut: A condition and a value that replaces the definition for float32 where the condition holds, on
            targets with a correctly rounded ``fma``.
        double: The C library's function for float64.
        derivative: For each parameter an expression over the parameters and the adjoint ``g``; empty for the derivative
            0. Where it is missing, a definition without ``double`` is differentiated; other functions raise an error.
        result: ``"same"`` as the arguments, or a type's name.
        single: Whether the function works on the bits of float32 and accepts no float64.
        provided: Whether LLVM IR calls the function for float32 by name, so that the device's compiler defines it
            according to the processor's features.
        accuracy: The largest error, in float32 units in the last place, over the range that the tests state.
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
    """Return the type of the function's value; raises ``ExpressionError`` for argument types not accepted."""
    first = given[0]
    if function.name == "where":
        if first is not dtypes.bool_ or given[1] is not given[2]:
            raise ExpressionError(f"where: types ({_names(given)}) given, expected (bool, T, T)")
        return given[1]
    for dtype in given:
        if dtype is not first:
            raise ExpressionError(
                f"{function.name}: types ({_names(given)}) given, expected equal types; cast them"
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
    """Add a row to the table."""
    FUNCTIONS[name] = Function(name, tuple(parameters.split()), kinds, reference, **columns)


def piece(
    name: str, parameters: str, reference: str | Callable[..., Any], definition: str, provided: bool = False
) -> None:
    """Add a row that only definitions use: for float32, on a limited range of arguments."""
    add(name, parameters, "f", reference, definition=definition, single=True, provided=provided)


def by_kind(float_: str = "", int_: str = "", uint: str = "", bool_: str = "") -> dict[str, str]:
    """Return an LLVM column by kind; unsigned integers use the signed template where they have none."""
    named = {"f": float_, "i": int_, "u": uint or int_, "b": bool_}
    return {kind: template for kind, template in named.items() if template}


def intrinsic(name: str, arity: int = 1) -> dict[str, str]:
    """Return an LLVM column that calls a floating point intrinsic."""
    args = ", ".join(f"{{T}} {{{i}}}" for i in range(arity))
    return {"f": f"call {{T}} @llvm.{name}.{{S}}({args})"}


def horner(variable: str, *coefficients: float) -> str:
    """Return the polynomial with these coefficients, lowest power first, as nested multiply-adds.

    >>> horner("x", 1.0, 2.0, 3.0)
    'fma(fma(3.0, x, 2.0), x, 1.0)'
    """
    text = repr(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        text = f"fma({text}, {variable}, {coefficient!r})"
    return text
