"""Symbolic sizes of custom kernels: parse ``x: f32[n, 2*m]``, solve dimensions from shapes, and evaluate sizes exactly.

Arithmetic uses fractions, so ``ceil(n / 64)`` is exact for every ``n``. A size may contain the operators
``+ - * / // %`` and the functions of ``FUNCTIONS``; it is parsed as Python, but never executed as Python.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ExpressionError, ShapeError, mistake

FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "ceil": lambda a: Fraction(math.ceil(a)), "floor": lambda a: Fraction(math.floor(a)),
    "ceil_div": lambda a, b: Fraction(math.ceil(a / b)), "min": min, "max": max,
}  # fmt: skip
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b), ast.Mod: operator.mod, ast.USub: operator.neg,
}  # fmt: skip

TYPES: dict[str, DType] = {
    "f64": dtypes.float64, "f32": dtypes.float32, "f16": dtypes.float16, "bf16": dtypes.bfloat16,
    "i64": dtypes.int64, "i32": dtypes.int32, "i16": dtypes.int16, "i8": dtypes.int8, "u32": dtypes.uint32,
    "u8": dtypes.uint8,
    **dtypes.BY_NAME,
}  # fmt: skip
"""Element types by the names of WGSL and by weft's own."""

_DECLARATION = re.compile(r"\s*([A-Za-z_]\w*)\s*(?::\s*(\w+)\s*)?(?:\[(.*)\])?\s*", re.DOTALL)


@dataclass(frozen=True)
class Declared:
    """A declared input or output: its name, its element type and the text of each size; ``None`` where omitted."""

    name: str
    dtype: DType | None
    sizes: tuple[str, ...] | None

    @property
    def names(self) -> frozenset[str]:
        """The names of dimensions in its sizes."""
        return frozenset(name for size in self.sizes or () for name in names_in(size))


def declaration(kernel: str, text: str) -> Declared:
    """Parse a declaration ``"x: f32[n, m]"``; without ``[...]`` any shape fits, without ``: f32`` any type.

    >>> declaration("saxpy", "x: f32[n, 2*m]").sizes
    ('n', '2*m')
    >>> declaration("saxpy", "x[n]").dtype, declaration("saxpy", "x: f32").sizes, declaration("saxpy", "x").sizes
    (None, None, None)
    """
    found = _DECLARATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ArgumentError(mistake(kernel, "a declaration", repr(text), "the form 'x: f32[n, m]'"))
    name, type_name, inside = found.groups()
    if type_name is not None and type_name not in TYPES:
        raise ArgumentError(mistake(kernel, f"the type of {name}", type_name, f"one of {', '.join(TYPES)}"))
    sizes = None if inside is None else tuple(part for part in _split(inside) if part)
    for size in sizes or ():
        names_in(size)  # raises where it does not parse
    return Declared(name, TYPES[type_name] if type_name else None, sizes)


def _split(text: str) -> list[str]:
    """Split a text at commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


@lru_cache(maxsize=4096)
def _tree(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        column = (getattr(error, "offset", None) or 1) - 1
        raise ExpressionError(f"size {text!r} does not parse:\n    {text}\n    {' ' * column}^") from None


@lru_cache(maxsize=4096)
def names_in(text: str) -> frozenset[str]:
    """Return the names of dimensions in a size; ``ExpressionError`` for a text that is no size."""
    found: set[str] = set()

    def visit(node: ast.expr) -> None:
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                return
            case ast.Name(id=name):
                found.add(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                visit(left)
                visit(right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                visit(operand)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                for argument in args:
                    visit(argument)
            case _:
                raise ExpressionError(
                    f"{ast.unparse(node)!r} cannot stand in a size, expected integers, names, + - * / // % and "
                    f"{', '.join(FUNCTIONS)}:\n    {text}\n    {' ' * node.col_offset}^"
                )

    visit(_tree(text))
    return frozenset(found)


def evaluate(kernel: str, text: str, values: Mapping[str, int]) -> int:
    """Return the value of a size; ``ShapeError`` for a value that is no integer, and for a division by zero."""

    def value(node: Any) -> Fraction:
        match node:
            case ast.Constant(value=int(number)):
                return Fraction(number)
            case ast.Name(id=name):
                return Fraction(values[name])
            case ast.BinOp(left=left, op=op, right=right):
                return Fraction(_OPERATORS[type(op)](value(left), value(right)))
            case ast.UnaryOp(operand=operand):
                return -value(operand)
            case _:
                return FUNCTIONS[node.func.id](*map(value, node.args))

    given = ", ".join(f"{name}={values[name]}" for name in sorted(names_in(text)))
    try:
        result = value(_tree(text))
    except ZeroDivisionError:
        raise ShapeError(f"{kernel}: the size {text} divides by zero ({given})") from None
    except TypeError:
        raise ExpressionError(
            f"{kernel}: the size {text} calls a function with too many or few values"
        ) from None
    if result.denominator != 1:
        raise ShapeError(
            mistake(kernel, f"the size {text} ({given})", result, "an integer", "use ceil or floor")
        )
    return int(result)


def solve(
    kernel: str,
    declared: Sequence[Declared],
    shapes: Sequence[tuple[int, ...]],
    known: Mapping[str, int],
) -> dict[str, int]:
    """Return the value of every dimension from the shapes of the inputs; ``ShapeError`` for a shape that does not fit.

    A name that stands alone takes its value from the first shape that has it; all other sizes are checked.
    """
    values: dict[str, int] = dict(known)
    origin = {name: f"parameter {name}" for name in known}
    fitting = [
        (argument, shape)
        for argument, shape in zip(declared, shapes, strict=True)
        if argument.sizes is not None
    ]
    for argument, shape in fitting:
        sizes = argument.sizes or ()
        if len(shape) != len(sizes):
            raise ShapeError(
                mistake(kernel, f"argument {argument.name}", f"of shape {shape}, {len(shape)} dimensions",
                        f"[{', '.join(sizes)}], {len(sizes)} dimensions")
            )  # fmt: skip
        for axis, (size, given) in enumerate(zip(sizes, shape, strict=True)):
            if size.isidentifier() and size not in values:
                values[size] = given
                origin[size] = f"{argument.name}'s dimension {axis}"
    for argument, shape in fitting:
        for axis, (size, given) in enumerate(zip(argument.sizes or (), shape, strict=True)):
            missing = names_in(size) - values.keys()
            if missing:
                raise ShapeError(
                    f"{kernel}: dimension {axis} of argument {argument.name} is {size}, and no input gives "
                    f"{', '.join(sorted(missing))}; name it alone in one input's shape, or make it a parameter"
                )
            expected = evaluate(kernel, size, values)
            if given != expected:
                whence = "; ".join(
                    f"{name}={values[name]} from {origin[name]}" for name in sorted(names_in(size))
                )
                raise ShapeError(
                    mistake(kernel, f"dimension {axis} ({size}) of argument {argument.name}", given,
                            f"{expected} ({whence})" if whence else expected)
                )  # fmt: skip
    return values
