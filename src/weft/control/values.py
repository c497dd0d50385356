"""Checks of the arguments and results of control flow: trees of tensors, and predicates."""

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
"""The most leaves of a tree that an error names."""


def tensors(where: str, name: str, leaves: Sequence[Any]) -> list[Tensor]:
    """Return the leaves; ``ArgumentError`` for a leaf that is no tensor."""
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ArgumentError(mistake(where, name, f"a {type(leaf).__name__}", "a tensor"))
    return list(leaves)


def predicate(where: str, name: str, value: Any) -> Tensor:
    """Return a 0-d bool tensor; ``ArgumentTypeError`` for any other value."""
    if not isinstance(value, Tensor):
        given = f"a {type(value).__name__}"
    elif value.dtype is dtypes.bool_ and not value.shape:
        return value
    else:
        given = f"{value.dtype.name}{list(value.shape)}"
    fix = "compare, and reduce by any() or all()"
    raise ArgumentTypeError(mistake(where, name, given, "a 0-d tensor of bool", fix))


def as_now(operands: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of operands where gradients are recorded, since a gradient runs the body again on these values.

    The operands may be written in place before that. In a graph a copy costs nothing.
    """
    if not (is_enabled() and any(edge_of(operand) is not None for operand in operands)):
        return list(operands)
    return [bind(OPS["copy"], operand) for operand in operands]


def held(value: Any) -> bool:
    """Return the value of a predicate on a device."""
    return bool(to_numpy(value, EAGER))


def shown(found: Sequence[str]) -> str:
    """Return the paths of a tree's leaves in words."""
    names = [f"result{path}" for path in found[:LEAVES]]
    return f"{len(found)} tensors ({', '.join(names)}{', …' if len(found) > LEAVES else ''})"
