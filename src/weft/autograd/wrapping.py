"""``wrap``: a tensor around a raw value, for the interpreters and the functions that create tensors.

The class of tensors is assembled above this package, and registered here when it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.autograd.node import Edge
    from weft.tensors.tensor import Tensor

_new = object.__new__
_tensor_class: Any = object


def set_tensor_class(cls: type[Tensor]) -> None:
    """Register the class of which ``wrap`` makes tensors."""
    global _tensor_class
    _tensor_class = cls


def wrap(data: Any, edge: Edge | None = None) -> Tensor:
    """Return a tensor around a raw value, with ``edge`` as its history."""
    tensor: Tensor = _new(_tensor_class)
    tensor._data = data
    tensor._edge = edge
    tensor._view = tensor._accumulator = tensor._grad = None
    tensor._generation = 0
    tensor._leaf_requires_grad = False
    return tensor
