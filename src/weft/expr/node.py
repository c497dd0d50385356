"""``Expr``: the one node type of scalar expressions, immutable and interned (equal nodes are the same object).

A node is a constant, a variable, a load from a buffer, or a function of the table applied to nodes. Because nodes are
interned, common subexpressions are the same node, which a renderer writes once. The intern table holds nodes weakly, so
unreferenced nodes are freed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Union
from weakref import WeakValueDictionary

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ExpressionError
from weft.expr.functions import FUNCTIONS, result_dtype

Operand = Union["Expr", bool, int, float]

_interned: WeakValueDictionary[Any, Expr] = WeakValueDictionary()
_interning = threading.RLock()  # reentrant: garbage collection inside may run code that makes nodes

_LONGEST_TEXT = 4000  # the longest repr of a node, in characters: common subexpressions are repeated in it


LOADS = 1 << 62
"""The bit of ``Expr.leaves`` of expressions that load from a buffer."""


def leaf(name: str) -> int:
    """Return the bit of a variable or a buffer in ``Expr.leaves``; several names may share a bit."""
    return 1 << hash(name) % 62


class Expr:
    """A typed scalar expression.

    ``function`` is ``"const"``, ``"variable"``, ``"load"`` or a name of the function table. ``data`` is a constant's
    value, a variable's name or a load's buffer; the argument of a load is its element index. Arithmetic operators build
    nodes; Python numbers take the other operand's type.
    """

    __slots__ = ("__weakref__", "args", "data", "dtype", "function", "leaves", "simple")

    function: str
    args: tuple[Expr, ...]
    dtype: DType
    data: Any
    leaves: int
    """The bits (``leaf``) of all variables and buffers below: ``transform`` skips nodes without the wanted bits."""
    simple: Expr | bool
    """The cached result of ``simplify``: another node, True for this node itself, False before the first call."""

    def __new__(cls, function: str, args: tuple[Expr, ...], dtype: DType, data: Any = None) -> Expr:
        """Return the node with these fields: the interned node, or a new node."""
        # repr distinguishes 0.0 from -0.0, and treats NaN as equal to itself
        key = (function, args, dtype, repr(data) if isinstance(data, float) else data)
        found = _interned.get(key)
        if found is not None:
            return found
        made = super().__new__(cls)
        made.function, made.args, made.dtype, made.data = function, args, dtype, data
        made.simple = False
        leaves = leaf(data) if function == "variable" else leaf(data) | LOADS if function == "load" else 0
        for arg in args:
            leaves |= arg.leaves
        made.leaves = leaves
        with _interning:
            return _interned.setdefault(key, made)

    def rebuild(self, args: tuple[Expr, ...], data: str | None = None) -> Expr:
        """Return this node with other arguments, and with ``data`` where given; itself where both are the same.

        >>> from weft import float32
        >>> x, y = variable("x", float32), variable("y", float32)
        >>> (x * 2.0).rebuild((y, const(2.0, float32)))
        mul(y, 2.0)
        """
        data = self.data if data is None else data
        if args == self.args and data == self.data:
            return self
        return Expr(self.function, args, self.dtype, data)

    def __reduce__(self) -> tuple[Any, ...]:
        order = {node: position for position, node in enumerate(walk(self))}
        rows = tuple(
            (node.function, tuple(order[arg] for arg in node.args), node.dtype, node.data) for node in order
        )
        return (_unpickled, (rows,))

    def __repr__(self) -> str:
        texts: dict[Expr, str] = {}
        for node in walk(self):
            text = _text(node, [texts[arg] for arg in node.args])
            texts[node] = text if len(text) <= _LONGEST_TEXT else f"{node.function}(…)"
        return texts[self]

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
        """Return the expression ``self == other`` (the operator ``==`` compares nodes)."""
        return call("eq", self, other)


def _unpickled(rows: tuple[tuple[str, tuple[int, ...], DType, Any], ...]) -> Expr:
    made: list[Expr] = []
    for function, args, dtype, data in rows:
        made.append(Expr(function, tuple(made[arg] for arg in args), dtype, data))
    return made[-1]


def _text(node: Expr, args: list[str]) -> str:
    if node.function == "const":
        return repr(node.data)
    if node.function == "variable":
        return str(node.data)
    if node.function == "load":
        return f"{node.data}[{args[0]}]"
    return f"{node.dtype.name if node.function == 'cast' else node.function}({', '.join(args)})"


def const(value: bool | int | float, dtype: DType) -> Expr:
    """Return a constant of a type; raises ``ExpressionError`` for a number that the type cannot hold.

    >>> const(2, dtypes.float32)
    2.0
    """
    try:
        converted = _PYTHON_TYPE[dtype.kind](value)
    except (OverflowError, ValueError) as error:
        raise ExpressionError(
            f"constant {_shortened(value)} is not a value of type {dtype.name}: {error}"
        ) from None
    if dtype.is_integer:
        low = 0 if dtype.kind == "uint" else -(1 << (dtype.bits - 1))
        high = low + (1 << dtype.bits) - 1
        if not low <= converted <= high:
            raise ExpressionError(
                f"constant {_shortened(value)} is not a value of type {dtype.name}, which goes from {low} to {high}"
            )
    return Expr("const", (), dtype, converted)


_PYTHON_TYPE: dict[str, type[bool] | type[int] | type[float]] = {
    "bool": bool, "float": float, "int": int, "uint": int,
}  # fmt: skip


def _shortened(value: bool | int | float) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of {value.bit_length()} bits"  # str() of huge integers is refused by Python
    return repr(value)


def variable(name: str, dtype: DType) -> Expr:
    """Return a named scalar: an operand's element, a kernel parameter or an axis.

    >>> variable("x", dtypes.float32) * 2.0
    mul(x, 2.0)
    """
    return Expr("variable", (), dtype, name)


def load(buffer: str, index: Expr, dtype: DType) -> Expr:
    """Return the load of the element of ``buffer`` at ``index`` (int64, in elements), widened to ``dtype``.

    >>> load("a", variable("i", INDEX) + 1, dtypes.float32)
    a[add(i, 1)]
    """
    return Expr("load", (index,), dtype, buffer)


def cast(value: Expr, dtype: DType) -> Expr:
    """Return ``value`` converted to ``dtype`` by the rules of C; every nonzero number converts to True.

    >>> cast(variable("n", dtypes.int32), dtypes.float32)
    float32(n)
    """
    return value if value.dtype is dtype else Expr("cast", (value,), dtype)


def where(condition: Expr, a: Operand, b: Operand) -> Expr:
    """Return the choice of ``a`` where the condition holds, else ``b``; both are computed.

    >>> x = variable("x", dtypes.float32)
    >>> where(x < 0, -x, x)
    where(lt(x, 0.0), neg(x), x)
    """
    return call("where", condition, a, b)


def _suggestion(name: str) -> str:
    from difflib import get_close_matches  # only errors need it

    near = get_close_matches(name, FUNCTIONS, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "weft.expr.FUNCTIONS lists all functions"


def call(name: str, *operands: Operand) -> Expr:
    """Return a function of the table applied to nodes and Python numbers; numbers take the nodes' type.

    Raises:
        ExpressionError: For an unknown function, or arguments that it does not take.

    >>> call("maximum", variable("x", dtypes.float32), 0)
    maximum(x, 0.0)
    """
    function = FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(f"there is no function {name!r} in expressions, {_suggestion(name)}")
    if len(operands) != len(function.parameters):
        raise ExpressionError(
            f"{name}: {len(operands)} arguments given, expected {len(function.parameters)} "
            f"({', '.join(function.parameters)})"
        )
    dtype = _type_of(operands[1:] if name == "where" else operands)
    if dtype is None:
        given = ", ".join(
            repr(operand) if isinstance(operand, Expr) else _shortened(operand) for operand in operands
        )
        raise ExpressionError(f"{name}: the type of ({given}) is not known; write a cast, float32(1)")
    args = [operand if isinstance(operand, Expr) else _literal(name, operand, dtype) for operand in operands]
    if name == "where" and not isinstance(operands[0], Expr):
        args[0] = _literal(name, operands[0], dtypes.bool_)
    return Expr(name, tuple(args), result_dtype(function, tuple([arg.dtype for arg in args])))


def _type_of(operands: tuple[Operand, ...]) -> DType | None:
    return next((operand.dtype for operand in operands if isinstance(operand, Expr)), None)


def _literal(function: str, value: bool | int | float, dtype: DType) -> Expr:
    if (isinstance(value, float) and dtype.kind != "float") or (dtype.kind == "bool" and value not in (0, 1)):
        raise ExpressionError(
            f"{function}: {_shortened(value)} meets a value of type {dtype.name}; cast one of them"
        )
    return const(value, dtype)


def walk(*roots: Expr) -> Iterator[Expr]:
    """Yield all nodes under the roots, each once, in post-order: arguments before the nodes that use them.

    >>> x = variable("x", dtypes.float32)
    >>> list(walk(x * x + 1.0))
    [x, mul(x, x), 1.0, add(mul(x, x), 1.0)]
    """
    begun: set[int] = set()
    ended: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack[-1]
        name = id(node)
        if name not in begun:
            begun.add(name)
            left = [arg for arg in node.args if id(arg) not in begun]
            if left:
                stack.extend(reversed(left))
                continue
        stack.pop()
        if name not in ended:
            ended.add(name)
            yield node


def variables(*roots: Expr) -> tuple[Expr, ...]:
    """Return the variables under the roots, in the order of first use.

    >>> variables(variable("y", dtypes.float32) - variable("x", dtypes.float32))
    (y, x)
    """
    return tuple(node for node in walk(*roots) if node.function == "variable")


INDEX = dtypes.int64
"""The type of element indices and sizes; targets without 64-bit integers compute them in 32 bits."""
