"""``Parameter``: a tensor that a module registers, trains and saves."""

from __future__ import annotations

from typing import Any, ClassVar

from weft.errors import ArgumentTypeError, mistake
from weft.tensors.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that becomes part of a module when assigned to one of its attributes.

    It shares the memory of ``data``. Raises ``ArgumentTypeError`` for something else than a tensor, ``DTypeError``
    for integers with ``requires_grad``.

    >>> import weft as wf
    >>> wf.nn.Parameter(wf.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    _copies_grad: ClassVar[bool] = False  # as PyTorch's: a copied layer starts without gradients

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """See the class."""
        if not isinstance(data, Tensor):
            raise ArgumentTypeError(
                mistake("Parameter", "data", f"a {type(data).__name__}", "a tensor", "use weft.tensor(data)")
            )
        made = cls.wrap(data._data)
        made.requires_grad_(requires_grad)
        assert isinstance(made, Parameter)
        return made

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass  # made by __new__; Tensor's __init__ refuses

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
