"""``Variable``: PyTorch's older name for a tensor that may require grad."""

from __future__ import annotations

from typing import Any

from weft.errors import ArgumentTypeError, mistake
from weft.tensors.tensor import Tensor


class _VariableType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_VariableType):
    """The tensor itself, as a leaf that requires grad with ``requires_grad=True``; every tensor is an instance.

    >>> import weft as wf
    >>> isinstance(wf.autograd.Variable(wf.ones(2)), wf.Tensor)
    True
    """

    def __new__(cls, data: Any, requires_grad: bool = False) -> Any:
        """See the class."""
        if not isinstance(data, Tensor):
            raise ArgumentTypeError(
                mistake("Variable", "data", f"a {type(data).__name__}", "a tensor", "use weft.tensor(data)")
            )
        return data.detach().requires_grad_() if requires_grad else data
