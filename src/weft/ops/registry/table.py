"""The table of ops, which the family modules fill, and derived ops: gradients of pointwise expressions."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from weft.errors import ArgumentError
from weft.ops.registry.spec import OpSpec

OPS: dict[str, OpSpec] = {}
derive: list[Callable[[OpSpec, int], OpSpec | None]] = []
"""Holds the function that derives the gradient op of an op and an operand; the pointwise family adds it."""


def declare(name: str, **columns: Any) -> OpSpec:
    """Add an op to the table."""
    if name in OPS:
        raise ArgumentError(f"op {name!r} is declared twice")
    OPS[name] = OpSpec(name, **columns)
    return OPS[name]


def lookup(name: str) -> OpSpec:
    """Return the op of a name; a derived gradient (``"mul.grad0"``) is declared at its first lookup."""
    if name in OPS:
        return OPS[name]
    base, dot, part = name.rpartition(".grad")
    if dot and part.isdigit():
        found = derive[0](lookup(base), int(part))
        if found is not None:
            return found
    raise ArgumentError(f"op {name!r} is not one of {', '.join(sorted(OPS))}")


copyreg.pickle(OpSpec, lambda op: (lookup, (op.name,)))
