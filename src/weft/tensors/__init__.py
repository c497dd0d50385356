"""Eager tensors: handles, host conversion, creation. Importing this floor sets the default interpreter stack."""

import weft.autograd.tape  # noqa: F401  (registers the stack: eager execution under the tape)
from weft.tensors.described import device
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor, tensor

__all__ = ["EAGER", "Tensor", "device", "tensor"]
