"""What the tape asks of an operand: where it came from, and its type."""

from __future__ import annotations

from typing import Any

from weft.autograd.node import Edge
from weft.dtypes import of_scalar
from weft.ops import TensorType
from weft.tensors.array import Array, types
from weft.tensors.tensor import Tensor


def edge_of(value: Any) -> Edge | None:
    """Where a tensor came from; ``None`` for what needs no gradient (a number, a tensor without history)."""
    if not isinstance(value, Tensor):
        return None
    if value._view is None:
        if value._edge is not None:
            return value._edge
        if not value._leaf_requires_grad:
            return None
    return value.edge


def type_of(value: Any) -> TensorType:
    """The type of an operand."""
    if isinstance(value, Tensor):
        return type_of_data(value._data)
    return TensorType((), of_scalar(value), True)


def type_of_data(data: Any) -> TensorType:
    """The type of an array or a traced value."""
    known = types.get(data.key) if type(data) is Array else None
    return TensorType(data.shape, data.dtype) if known is None else known
