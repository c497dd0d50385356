"""``TensorMethods``: the methods and operators of ``Tensor`` that come from the op table.

``methods.pyi``, generated from the same table, says the same to type checkers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy

from weft.ops import FUNCTIONS, OPS, FunctionSpec, OpSpec, TensorType, bind
from weft.ops.registry.functions import in_place_doc
from weft.ops.registry.kinds import OPERANDS, is_tensor
from weft.ops.registry.signatures import checked
from weft.ops.registry.targets import check_target
from weft.tensors.creation import tensor


class TensorMethods:
    """The class that the methods of the table of functions are set on."""

    __slots__ = ()


def operand(owner: Any, value: Any) -> Any:
    """Return an operator's operand as a tensor or a Python number; ``NotImplemented`` for other values.

    NumPy's numbers become Python numbers, and its arrays tensors on the device of ``owner`` (float64 as float32).
    """
    if is_tensor(value) or isinstance(value, bool | int | float):
        return value.item() if isinstance(value, numpy.generic) else value
    if isinstance(value, numpy.generic | numpy.ndarray):
        if value.dtype.kind not in "biuf":
            return NotImplemented
        return tensor_of(value, owner) if value.ndim else value.item()
    return NotImplemented


def tensor_of(array: Any, owner: Any) -> Any:
    """Return a NumPy array as a tensor on the device of another."""
    return tensor(array, device=str(owner.device))


def _operator(spec: FunctionSpec, name: str) -> Callable[..., Any]:
    """Return the method of an operator: ``__add__``, ``__radd__``, ``__iadd__``, ``__neg__`` …."""
    body, op, plan = spec.front.body, spec.op, spec.plan

    def forward(self: Any, other: Any) -> Any:
        if type(other) not in OPERANDS:
            other = operand(self, other)
            if other is NotImplemented:
                return NotImplemented
        return body(self, other)

    def reflected(self: Any, other: Any) -> Any:
        if type(other) not in OPERANDS:
            other = operand(self, other)
            if other is NotImplemented:
                return NotImplemented
        return body(other, self)

    def inplace(self: Any, other: Any) -> Any:
        if type(other) not in OPERANDS:
            other = operand(self, other)
            if other is NotImplemented:
                return NotImplemented
        return _into(op, self, other) if op is not None else _planned(plan, self, other)

    def alone(self: Any) -> Any:
        return body(self)

    if name in ("__neg__", "__pos__", "__abs__", "__invert__"):
        return alone
    if name.startswith("__i") and name[3:] in _BINARY:
        return inplace
    return reflected if name.startswith("__r") and name[3:] in _BINARY else forward


_BINARY = ("add__", "sub__", "mul__", "truediv__", "pow__", "matmul__", "and__", "or__", "xor__", "floordiv__", "mod__",
           "lshift__", "rshift__")  # fmt: skip


def _into(op: OpSpec, target: Any, *operands: Any) -> Any:
    """Run an op in place on its first operand."""
    bind(op, target, *operands, into=(target,))
    return target


def _planned(plan: Any, target: Any, *arguments: Any, **keywords: Any) -> Any:
    """Run in place the op and operands that a function's plan returns for the arguments."""
    op, *operands = plan(target, *arguments, **keywords)
    bind(op, *operands, into=(target,))
    return target


def _inplace(spec: FunctionSpec) -> Callable[..., Any]:
    """Return the in-place version of a function, as a method."""
    function: Any = spec.method if callable(spec.method) else spec.function
    op, plan, body = spec.op, spec.plan, function.front.body

    def plain(self: Any, *operands: Any) -> Any:
        return _into(op, self, *operands)

    def with_arguments(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return _planned(plan, self, *arguments, **keywords)

    def copied(self: Any, *arguments: Any, **keywords: Any) -> Any:
        source = (
            bind(OPS["copy"], self) if self.requires_grad else self
        )  # the gradient may read the old value
        made = body(source, *arguments, **keywords)
        check_target(f"{spec.name}_", TensorType(tuple(made.shape), made.dtype), self)
        return self.copy_(made)

    method = with_arguments if plan is not None else copied if op is None else plain
    given = inspect.signature(function)
    parameters = [parameter for name, parameter in given.parameters.items() if name not in ("out", "inplace")]
    method.__doc__ = in_place_doc(spec.name)
    method.__name__ = method.__qualname__ = f"{spec.name}_"
    return checked(method, keywords=spec.front.keywords, signature=given.replace(parameters=parameters))


def _install() -> None:
    """Set the methods and operators of all functions of the table on ``TensorMethods``."""
    for spec in FUNCTIONS.values():
        if spec.method and not hasattr(TensorMethods, spec.name):
            setattr(TensorMethods, spec.name, spec.method if callable(spec.method) else spec.function)
        if spec.inplace:
            setattr(TensorMethods, f"{spec.name}_", _inplace(spec))
        for name in spec.operators:
            method = _operator(spec, name)
            method.__name__ = method.__qualname__ = name
            setattr(TensorMethods, name, method)


_install()
