"""The table of ops, filled by the family modules, and the derived ops: gradients of pointwise expressions."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from weft.errors import ArgumentError
from weft.ops.registry.spec import OpSpec

OPS: dict[str, OpSpec] = {}
derive: list[Callable[[OpSpec, int], OpSpec | None]] = []
"""What makes the gradient of an op with respect to an operand as an op; the pointwise family puts it here."""


def declare(name: str, **columns: Any) -> OpSpec:
    """Add an op to the table."""
    if name in OPS:
        raise ArgumentError(f"op {name!r} is declared twice")
    OPS[name] = OpSpec(name, **columns)
    return OPS[name]


def lookup(name: str) -> OpSpec:
    """The op of that name; derived gradients (``"mul.grad0"``) are made when first asked for."""
    if name in OPS:
        return OPS[name]
    base, dot, part = name.rpartition(".grad")
    if dot and part.isdigit():
        found = derive[0](lookup(base), int(part))
        if found is not None:
            return found
    raise ArgumentError(f"op {name!r} is not one of {', '.join(sorted(OPS))}")


copyreg.pickle(OpSpec, lambda op: (lookup, (op.name,)))
