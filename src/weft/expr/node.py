"""``Expr``: the one node type of scalar expressions, immutable and interned (equal nodes are the same object).

A node is a constant, a variable, a load from a buffer, or a function of the table applied to nodes. Because
nodes are interned, shared parts of an expression are found by identity: a renderer writes each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union
from weakref import WeakValueDictionary

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ExpressionError
from weft.expr.functions import FUNCTIONS, result_dtype

Operand = Union["Expr", bool, int, float]

_interned: WeakValueDictionary[Any, Expr] = WeakValueDictionary()


class Expr:
    """A typed scalar expression.

    ``function`` is ``"const"``, ``"variable"``, ``"load"`` or a name of the function table; ``data`` is the
    constant's value, the variable's name or the buffer's name; a load's one argument is its element index.
    Arithmetic operators build nodes; Python numbers take the other operand's type.
    """

    __slots__ = ("__weakref__", "args", "data", "dtype", "function")

    function: str
    args: tuple[Expr, ...]
    dtype: DType
    data: Any

    def __new__(cls, function: str, args: tuple[Expr, ...], dtype: DType, data: Any = None) -> Expr:
        key = (function, args, dtype, type(data), repr(data))
        found = _interned.get(key)
        if found is None:
            found = super().__new__(cls)
            found.function, found.args, found.dtype, found.data = function, args, dtype, data
            # setdefault: two threads may make the same node; both must end with one object
            found = _interned.setdefault(key, found)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return (Expr, (self.function, self.args, self.dtype, self.data))

    def __repr__(self) -> str:
        if self.function == "const":
            return repr(self.data)
        if self.function == "variable":
            return str(self.data)
        if self.function == "load":
            return f"{self.data}[{self.args[0]!r}]"
        name = self.dtype.name if self.function == "cast" else self.function
        return f"{name}({', '.join(map(repr, self.args))})"

    def __add__(self, other: Operand) -> Expr:
        return call("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return call("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return call("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return call("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return call("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return call("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return call("div", self, other)

    def __neg__(self) -> Expr:
        return call("neg", self)

    def __lt__(self, other: Operand) -> Expr:
        return call("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return call("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return call("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return call("ge", self, other)

    def __and__(self, other: Operand) -> Expr:
        return call("and", self, other)

    def __or__(self, other: Operand) -> Expr:
        return call("or", self, other)

    def equals(self, other: Operand) -> Expr:
        """The expression ``self == other`` (``==`` itself compares nodes)."""
        return call("eq", self, other)


def const(value: bool | int | float, dtype: DType) -> Expr:
    """A constant of a type; the value is brought to the type's kind."""
    converted = {"bool": bool, "float": float, "int": int, "uint": int}[dtype.kind](value)
    return Expr("const", (), dtype, converted)


def variable(name: str, dtype: DType) -> Expr:
    """A named scalar: an operand's element, a kernel parameter or an axis."""
    return Expr("variable", (), dtype, name)


def load(buffer: str, index: Expr, dtype: DType) -> Expr:
    """The element of ``buffer`` at ``index`` (int64, in elements), widened to ``dtype``."""
    return Expr("load", (index,), dtype, buffer)


def cast(value: Expr, dtype: DType) -> Expr:
    """``value`` converted to ``dtype`` as C converts, except that anything nonzero is True."""
    return value if value.dtype is dtype else Expr("cast", (value,), dtype)


def where(condition: Expr, a: Operand, b: Operand) -> Expr:
    """``a`` where the condition holds, else ``b``; both are computed."""
    return call("where", condition, a, b)


def call(name: str, *operands: Operand) -> Expr:
    """A function of the table applied to nodes and Python numbers; numbers take the nodes' type."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(f"function {name!r} is not one of {', '.join(sorted(FUNCTIONS))}")
    if len(operands) != len(function.parameters):
        raise ExpressionError(
            f"{name}: {len(operands)} arguments given, expected {len(function.parameters)} "
            f"({', '.join(function.parameters)})"
        )
    nodes = [operand for operand in operands if isinstance(operand, Expr)]
    typed = [node for node in nodes if not (name == "where" and node is operands[0])]
    if not typed:
        raise ExpressionError(f"{name}: the type of {operands!r} is not known; write a cast, float32(1)")
    dtype = typed[0].dtype
    args = tuple(
        operand if isinstance(operand, Expr) else _literal(name, operand, dtype) for operand in operands
    )
    return Expr(name, args, result_dtype(function, tuple(arg.dtype for arg in args)))


def _literal(function: str, value: bool | int | float, dtype: DType) -> Expr:
    if isinstance(value, float) and dtype.kind != "float":
        raise ExpressionError(f"{function}: {value!r} meets a value of type {dtype.name}; cast one of them")
    return const(value, dtype)


def walk(*roots: Expr) -> Iterator[Expr]:
    """All nodes under the roots, each once, arguments before what uses them."""
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))


def variables(*roots: Expr) -> tuple[Expr, ...]:
    """The variables under the roots, in the order of first use."""
    return tuple(node for node in walk(*roots) if node.function == "variable")


INDEX = dtypes.int64
"""The type of element indices and sizes; targets without 64-bit integers compute it in 32 bits."""
