"""From source text to ``Expr``: Python's own grammar by ``ast``, a whitelist of its nodes, types bottom-up.

Allowed are arithmetic, comparisons, ``and or not``, ``a if c else b``, calls of table functions and of type
names (casts), and assignments to local names before the last expression. Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
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
_FOLD = {"neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}
_CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e, "ln2": math.log(2.0)}


def parse(source: str, types: Mapping[str, DType]) -> Expr:
    """The typed expression of ``source`` over variables of the given types.

    Raises ``ExpressionError`` with the source line and a caret under the offending part.

    >>> from weft import float32
    >>> parse("x * sigmoid(x)", {"x": float32})
    mul(x, sigmoid(x))
    """
    return _parse(source, tuple(types.items()))


@lru_cache(maxsize=4096)
def _parse(source: str, types: tuple[tuple[str, DType], ...]) -> Expr:
    text = source.strip()
    try:
        module = ast.parse(text, mode="exec")
    except SyntaxError as error:
        raise ExpressionError(_pointed(text, error.lineno or 1, (error.offset or 1) - 1, str(error.msg))) from None
    return _Parser(text, dict(types)).block(module)


def _pointed(text: str, line: int, column: int, message: str) -> str:
    lines = text.splitlines() or [""]
    return f"{message}\n    {lines[min(line, len(lines)) - 1]}\n    {' ' * column}^"


class _Parser:
    """Types one source text; ``scope`` holds variables and the local names assigned so far."""

    def __init__(self, text: str, types: dict[str, DType]) -> None:
        self.text = text
        self.scope: dict[str, Operand] = {name: variable(name, dtype) for name, dtype in types.items()}

    def fail(self, node: ast.AST, message: str) -> ExpressionError:
        return ExpressionError(
            _pointed(self.text, getattr(node, "lineno", 1), getattr(node, "col_offset", 0), message)
        )

    def block(self, module: ast.Module) -> Expr:
        if not module.body or not isinstance(module.body[-1], ast.Expr):
            raise self.fail(module, "an expression must end with a value")
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
            raise self.fail(module, "the value is a bare number; write its type, float32(1)")
        return result

    def value(self, node: ast.AST) -> Operand:
        method = getattr(self, f"on_{type(node).__name__}", None)
        if method is None:
            raise self.fail(node, f"{type(node).__name__} is not part of the expression language")
        result: Operand = method(node)
        return result

    def on_Constant(self, node: ast.Constant) -> Operand:
        if not isinstance(node.value, bool | int | float):
            raise self.fail(node, f"{node.value!r} is not a number")
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
        terms = [node.left, *node.comparators]
        parts = [
            self.apply(node, _BINARY.get(type(op)), left, right)
            for op, left, right in zip(node.ops, terms, terms[1:], strict=False)
        ]
        result = parts[0]
        for part in parts[1:]:
            result = self.checked(node, "and", result, part)
        return result

    def on_BoolOp(self, node: ast.BoolOp) -> Operand:
        result = self.value(node.values[0])
        for part in node.values[1:]:
            result = self.checked(node, _BINARY[type(node.op)], result, self.value(part))
        return result

    def on_IfExp(self, node: ast.IfExp) -> Operand:
        return self.apply(node, "where", node.test, node.body, node.orelse)

    def on_Call(self, node: ast.Call) -> Operand:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.fail(node, "a call is a function's name and positional arguments")
        if node.func.id in dtypes.BY_NAME:
            if len(node.args) != 1:
                raise self.fail(node, f"{node.func.id}(…) is a cast and takes one value")
            target, given = dtypes.BY_NAME[node.func.id], self.value(node.args[0])
            return cast(given, target) if isinstance(given, Expr) else const(given, target)
        return self.apply(node, node.func.id, *node.args)

    def apply(self, node: ast.AST, name: str | None, *operands: ast.AST) -> Operand:
        if name is None:
            raise self.fail(node, "this operator is not part of the expression language")
        return self.checked(node, name, *(self.value(operand) for operand in operands))

    def checked(self, node: ast.AST, name: str, *operands: Operand) -> Operand:
        literals = [operand for operand in operands if not isinstance(operand, Expr)]
        if name in _FOLD and len(literals) == len(operands):
            folded: Operand = _FOLD[name](*literals)
            return folded
        try:
            return call(name, *operands)
        except ExpressionError as error:
            raise self.fail(node, str(error)) from None
