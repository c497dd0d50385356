"""Arithmetic on operands by binding ops, for gradients and composites that are written as formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup


def binder(name: str) -> Callable[..., Any]:
    """Return a function that binds the op of a name, which may be declared later, to its operands."""

    def bound(*operands: Any) -> Any:
        return bind(lookup(name), *operands)

    return bound


add, sub, mul, div = (binder(name) for name in ("add", "sub", "mul", "div"))
sigmoid, tanh = binder("sigmoid"), binder("tanh")
