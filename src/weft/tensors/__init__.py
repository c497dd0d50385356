"""Eager tensors: handles, host conversion, creation; importing this floor sets the default interpreter stack."""

from weft.ops import set_default_stack
from weft.tensors.eager import Eager

EAGER = Eager()

from weft.autograd.tape import Tape  # noqa: E402  (the tape wraps tensors, which need EAGER's module)
from weft.tensors.tensor import Tensor, device, tensor  # noqa: E402

set_default_stack(EAGER, Tape())

__all__ = ["EAGER", "Tensor", "device", "tensor"]
