"""``TensorMethods``: the methods and operators that the op table gives to ``Tensor``.

``methods.pyi``, generated from the same table, says the same to type checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.ops import FUNCTIONS, FunctionSpec, OpSpec, bind


class TensorMethods:
    """Filled from the table of functions below."""

    __slots__ = ()


def _number(value: Any) -> Any:
    """NumPy's scalars as Python numbers."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 else value


def _is_operand(value: Any) -> bool:
    return isinstance(value, TensorMethods | bool | int | float)


def _operator(spec: FunctionSpec, name: str) -> Callable[..., Any]:
    function, op, plan = spec.function, spec.op, spec.plan

    def forward(self: Any, other: Any) -> Any:
        other = _number(other)
        return function(self, other) if _is_operand(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        other = _number(other)
        return function(other, self) if _is_operand(other) else NotImplemented

    def inplace(self: Any, other: Any) -> Any:
        other = _number(other)
        if not _is_operand(other):
            return NotImplemented
        return _into(op, self, other) if op is not None else _planned(plan, self, other)

    def alone(self: Any) -> Any:
        return function(self)

    if name in ("__neg__", "__pos__", "__abs__", "__invert__"):
        return alone
    if name.startswith("__i") and name[3:] in _BINARY:
        return inplace
    return reflected if name.startswith("__r") and name[3:] in _BINARY else forward


_BINARY = ("add__", "sub__", "mul__", "truediv__", "pow__", "matmul__", "and__", "or__", "xor__", "floordiv__", "mod__",
           "lshift__", "rshift__")  # fmt: skip


def _into(op: OpSpec, target: Any, *operands: Any) -> Any:
    bind(op, target, *operands, into=(target,))
    return target


def _planned(plan: Any, target: Any, *arguments: Any, **keywords: Any) -> Any:
    op, *operands = plan(target, *arguments, **keywords)
    bind(op, *operands, into=(target,))
    return target


def _inplace(spec: FunctionSpec) -> Callable[..., Any]:
    op, plan = spec.op, spec.plan

    def plain(self: Any, *operands: Any) -> Any:
        return _into(op, self, *map(_number, operands))

    def with_arguments(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return _planned(plan, self, *map(_number, arguments), **keywords)

    method = plain if plan is None else with_arguments
    method.__doc__ = f"``{spec.name}`` that overwrites the tensor and gives it."
    return method


def _install() -> None:
    for spec in FUNCTIONS.values():
        if spec.method and not hasattr(TensorMethods, spec.name):
            setattr(TensorMethods, spec.name, spec.method if callable(spec.method) else spec.function)
        if spec.inplace:
            method = _inplace(spec)
            method.__name__ = method.__qualname__ = f"{spec.name}_"
            setattr(TensorMethods, f"{spec.name}_", method)
        for name in spec.operators:
            method = _operator(spec, name)
            method.__name__ = method.__qualname__ = name
            setattr(TensorMethods, name, method)


_install()
