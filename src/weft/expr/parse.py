"""From source text to ``Expr``: Python's own grammar by ``ast``, a whitelist of its nodes, types bottom-up.

Allowed are arithmetic, comparisons, ``and or not``, ``a if c else b``, calls of table functions and of type
names (casts), and assignments to local names before the last expression. Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import ast
import inspect
import math
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ExpressionError
from weft.expr.node import Expr, Operand, call, cast, const, variable

_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.FloorDiv: "floordiv",
    ast.Mod: "mod", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "shr",
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip
_UNARY: dict[type[ast.AST], str] = {ast.USub: "neg", ast.Not: "not", ast.Invert: "not"}
_ALIASES = {"min": "minimum", "max": "maximum", "select": "where"}
_FOLD: dict[str, Callable[..., bool | int | float]] = {
    "neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
}  # fmt: skip
_CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e, "ln2": math.log(2.0)}
_parsing = threading.Lock()  # Python 3.11 adds up the recursion depths of parsers in all threads, and raises
_MOST_NESTED = 100
_MOST_MULTIPLIED = 8  # x ** 8 is x multiplied, x ** 9 calls pow


def parse(source: str, types: Mapping[str, DType]) -> Expr:
    """Parse ``source`` to a typed expression over variables of the given types.

    Raises:
        ExpressionError: With the source line and a caret under the part at fault.

    >>> from weft import float32
    >>> parse("x * sigmoid(x)", {"x": float32})
    mul(x, sigmoid(x))
    """
    return _parse(source, tuple(types.items()))


@lru_cache(maxsize=4096)
def _parse(source: str, types: tuple[tuple[str, DType], ...]) -> Expr:
    text = inspect.cleandoc(source)
    try:
        with _parsing:
            tree = ast.parse(text, mode="exec")
        return _Parser(text, dict(types)).block(tree)
    except ExpressionError:
        raise
    except SyntaxError as error:
        column = (error.offset or 1) - 1
        raise ExpressionError(_with_caret(text, error.lineno or 1, column, str(error.msg))) from None
    except ValueError as error:  # a null byte in the text
        raise ExpressionError(_with_caret(text, 1, 0, str(error))) from None
    except (RecursionError, MemoryError):
        raise ExpressionError(_with_caret(text, 1, 0, _TOO_DEEP)) from None


_TOO_DEEP = f"nested more than {_MOST_NESTED} levels deep; assign parts to names on earlier lines, `part = …`"


def _with_caret(text: str, line: int, column: int, message: str) -> str:
    lines = text.splitlines() or [""]
    shown = lines[min(line, len(lines)) - 1]
    start = max(0, column - 60)  # of a long line only the part around the error is shown
    return f"{message}\n    {shown[start : start + 100]}\n    {' ' * (column - start)}^"


class _Parser:
    """Converts a source text to a typed expression; ``scope`` holds variables and the local names assigned so far."""

    def __init__(self, text: str, types: dict[str, DType]) -> None:
        self.text = text
        self.scope: dict[str, Operand] = {name: variable(name, dtype) for name, dtype in types.items()}
        self.depth = 0

    def fail(self, node: ast.AST, message: str) -> ExpressionError:
        line, offset = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        lines = self.text.splitlines() or [""]
        before = lines[line - 1].encode()[:offset]  # ast counts bytes
        return ExpressionError(_with_caret(self.text, line, len(before.decode(errors="replace")), message))

    def block(self, module: ast.Module) -> Expr:
        if not module.body or not isinstance(module.body[-1], ast.Expr):
            raise self.fail(module.body[-1] if module.body else module, "an expression must end with a value")
        for statement in module.body[:-1]:
            if not (
                isinstance(statement, ast.Assign)
                and len(statement.targets) == 1
                and isinstance(statement.targets[0], ast.Name)
            ):
                raise self.fail(statement, "only assignments to a name may stand before the value")
            self.scope[statement.targets[0].id] = self.value(statement.value)
        result = self.value(module.body[-1].value)
        if not isinstance(result, Expr):
            raise self.fail(module.body[-1], "the value is a bare number; write its type, float32(1)")
        return result

    def value(self, node: ast.AST) -> Operand:
        method = getattr(self, f"on_{type(node).__name__}", None)
        if method is None:
            raise self.fail(node, f"{type(node).__name__} is not part of the expression language")
        if self.depth == _MOST_NESTED:
            raise self.fail(node, _TOO_DEEP)
        self.depth += 1
        result: Operand = method(node)
        self.depth -= 1
        return result

    def on_Constant(self, node: ast.Constant) -> Operand:
        if not isinstance(node.value, bool | int | float):
            raise self.fail(node, f"a constant of type {type(node.value).__name__} is not a number")
        return node.value

    def on_Name(self, node: ast.Name) -> Operand:
        if node.id in self.scope:
            return self.scope[node.id]
        if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        raise self.fail(node, f"{node.id!r} is not one of {', '.join((*self.scope, *_CONSTANTS))}")

    def on_BinOp(self, node: ast.BinOp) -> Operand:
        return self.apply(node, _BINARY.get(type(node.op)), node.left, node.right)

    def on_UnaryOp(self, node: ast.UnaryOp) -> Operand:
        return self.apply(node, _UNARY.get(type(node.op)), node.operand)

    def on_Compare(self, node: ast.Compare) -> Operand:
        values = [self.value(term) for term in (node.left, *node.comparators)]
        parts: list[Operand] = []
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            name = _BINARY.get(type(op))
            if name is None:
                raise self.fail(node, f"{type(op).__name__} is not part of the expression language")
            parts.append(self.checked(node, name, left, right))
        result = parts[0]
        for part in parts[1:]:
            result = self.checked(node, "and", result, part)
        return result

    def on_BoolOp(self, node: ast.BoolOp) -> Operand:
        result = self.boolean(node.values[0])
        for part in node.values[1:]:
            result = self.checked(node, _BINARY[type(node.op)], result, self.boolean(part))
        return result

    def boolean(self, node: ast.AST) -> Operand:
        """Return an operand of ``and``, ``or`` or ``not``, which take bools; ``& | ~`` work on bits."""
        found = self.value(node)
        dtype = found.dtype if isinstance(found, Expr) else dtypes.of_scalar(found)
        if dtype is not dtypes.bool_:
            raise self.fail(
                node, f"`and`, `or` and `not` take bools, {dtype.name} given; write `!= 0`, or `&`, `|`"
            )
        return found

    def on_IfExp(self, node: ast.IfExp) -> Operand:
        return self.apply(node, "where", node.test, node.body, node.orelse)

    def on_Call(self, node: ast.Call) -> Operand:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.fail(node, "a call is a function's name and positional arguments")
        target = dtypes.BY_NAME.get(node.func.id)
        if target is None:
            return self.apply(node, _ALIASES.get(node.func.id, node.func.id), *node.args)
        if len(node.args) != 1:
            raise self.fail(node, f"{node.func.id}(…) is a cast and takes one value")
        given = self.value(node.args[0])
        if isinstance(given, Expr):
            return cast(given, target)
        try:
            return const(given, target)
        except ExpressionError as error:
            raise self.fail(node, str(error)) from None

    def apply(self, node: ast.AST, name: str | None, *operands: ast.AST) -> Operand:
        if name is None:
            raise self.fail(node, "this operator is not part of the expression language")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.checked(node, name, self.boolean(node.operand))
        return self.checked(node, name, *[self.value(operand) for operand in operands])

    def checked(self, node: ast.AST, name: str, *operands: Operand) -> Operand:
        """Return the call of a function, or its value for numbers; type errors point to ``node``."""
        literals = [operand for operand in operands if not isinstance(operand, Expr)]
        if name in _FOLD and len(literals) == len(operands):
            return self.folded(node, _FOLD[name], literals)
        try:
            if name == "pow" and (product := _power(*operands)) is not None:
                return product
            return call(name, *operands)
        except ExpressionError as error:
            raise self.fail(node, str(error)) from None

    def folded(
        self, node: ast.AST, function: Callable[..., bool | int | float], numbers: list[bool | int | float]
    ) -> Operand:
        try:
            return function(*numbers)
        except OverflowError as error:  # a float and an integer beyond every float
            raise self.fail(node, str(error)) from None


def _power(base: Operand, exponent: Operand) -> Expr | None:
    """Return ``base ** exponent`` as products for a small whole exponent (exact for integers), else ``None``."""
    if not isinstance(base, Expr) or isinstance(exponent, Expr) or base.dtype.kind == "bool":
        return None
    if isinstance(exponent, float) and (base.dtype.kind != "float" or not exponent.is_integer()):
        return None
    if not (-2 if base.dtype.kind == "float" else 0) <= exponent <= _MOST_MULTIPLIED:
        return None
    if exponent == 0:
        return const(1, base.dtype)
    product: Expr | None = None
    power, left = base, abs(int(exponent))
    while left:
        if left & 1:
            product = power if product is None else product * power
        left >>= 1
        if left:
            power = power * power
    assert product is not None
    return product if exponent > 0 else call("div", 1.0, product)
