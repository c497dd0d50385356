"""What the tape asks of an operand: its history, and its type."""

from __future__ import annotations

from typing import Any

from weft.autograd.base import TensorBase
from weft.autograd.node import Edge
from weft.dtypes import of_scalar
from weft.ops import TensorType
from weft.tensors.array import type_of_data


def edge_of(value: Any) -> Edge | None:
    """Return where a tensor came from; ``None`` for a number or a tensor without history."""
    if not isinstance(value, TensorBase):
        return None
    if value._view is None:
        if value._edge is not None:
            return value._edge
        if not value._leaf_requires_grad:
            return None
    return value.edge


def type_of(value: Any) -> TensorType:
    """Return the type of an operand."""
    if isinstance(value, TensorBase):
        return type_of_data(value._data)
    return TensorType((), of_scalar(value), True)
