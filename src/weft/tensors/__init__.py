"""Eager tensors: handles, host conversion, creation. Importing this floor sets the default interpreter stack."""

import weft.autograd.tape
import weft.tensors.einops  # noqa: F401  (waits for einops)
from weft.tensors.described import device
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor, tensor

__all__ = ["EAGER", "Tensor", "device", "tensor"]
