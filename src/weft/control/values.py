"""What control flow takes and gives: tensors in trees, and predicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.autograd.mode import is_enabled
from weft.autograd.operands import edge_of
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops import OPS, bind
from weft.tensors.eager import EAGER
from weft.tensors.host import to_numpy
from weft.tensors.tensor import Tensor

LEAVES = 6
"""Leaves of a tree that an error names."""


def tensors(where: str, what: str, leaves: Sequence[Any]) -> list[Tensor]:
    """The leaves, all of which are tensors."""
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ArgumentError(mistake(where, what, f"a {type(leaf).__name__}", "a tensor"))
    return list(leaves)


def predicate(where: str, what: str, value: Any) -> Tensor:
    """A 0-d tensor of bool."""
    if not isinstance(value, Tensor):
        given = f"a {type(value).__name__}"
    elif value.dtype is dtypes.bool_ and not value.shape:
        return value
    else:
        given = f"{value.dtype.name}{list(value.shape)}"
    fix = "compare, and reduce by any() or all()"
    raise ArgumentTypeError(mistake(where, what, given, "a 0-d tensor of bool", fix))


def as_now(operands: Sequence[Tensor]) -> list[Tensor]:
    """Operands of a body as they are now, for a gradient that computes the body again: they may be written later.

    In a graph a copy costs nothing.
    """
    if not (is_enabled() and any(edge_of(operand) is not None for operand in operands)):
        return list(operands)
    return [bind(OPS["copy"], operand) for operand in operands]


def held(value: Any) -> bool:
    """What a predicate on a device holds."""
    return bool(to_numpy(value, EAGER))


def shown(found: Sequence[str]) -> str:
    """The leaves of a tree, by how Python reaches them."""
    names = [f"result{path}" for path in found[:LEAVES]]
    return f"{len(found)} tensors ({', '.join(names)}{', …' if len(found) > LEAVES else ''})"
