"""Eager tensors: the class ``Tensor``, creation, conversion. Importing the package sets the default interpreters."""

import weft.autograd.tape
import weft.tensors.einops  # noqa: F401  (registers the backend for einops)
from weft.tensors.described import device
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor, tensor

__all__ = ["EAGER", "Tensor", "device", "tensor"]
