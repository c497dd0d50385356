"""Count expressions of a ``KernelSpec`` as Python functions of the parameters' values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from weft import dtypes
from weft.errors import KernelError
from weft.expr import Expr, parse
from weft.target import KernelSpec

Values = Sequence[int | float]
Count = Callable[[Values], int]

_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "idiv": operator.floordiv,
    "floordiv": operator.floordiv, "irem": operator.mod, "ceil_div": lambda a, b: -(-a // b),
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq,
    "and": operator.and_, "or": operator.or_, "maximum": max, "minimum": min,
    "where": lambda condition, a, b: a if condition else b,
}  # fmt: skip


def count(spec: KernelSpec, text: str) -> Count:
    """The function of a count expression; ``KernelError`` for what is not integer arithmetic on parameters.

    >>> spec = KernelSpec("k", "llvm", (), (), (), (1, 1, 1), ("12", "1", "1"), "")
    >>> count(spec, "12")(())
    12
    """
    if text.isdecimal():
        number = int(text)
        return lambda values: number
    integers = {p.name: dtypes.int64 for p in spec.parameters if p.dtype.is_integer}
    order = {p.name: position for position, p in enumerate(spec.parameters)}
    return _compiled(spec, parse(text, integers), order)


def _compiled(spec: KernelSpec, node: Expr, order: dict[str, int]) -> Count:
    if node.function == "const":
        value = node.data
        return lambda values: value
    if node.function == "variable":
        return operator.itemgetter(order[node.data])
    function = _FUNCTIONS.get(node.function)
    if function is None:
        raise KernelError(
            f"{spec.name}: a count uses {node.function}, expected one of {', '.join(_FUNCTIONS)} on integers"
        )
    args = [_compiled(spec, arg, order) for arg in node.args]
    if len(args) == 2:
        first, second = args
        return lambda values: function(first(values), second(values))
    return lambda values: function(*(arg(values) for arg in args))
