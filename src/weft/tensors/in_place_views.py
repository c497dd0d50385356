"""``InPlaceViews``: the part of ``Tensor`` that changes the tensor's own shape (``unsqueeze_``, ``transpose_``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.autograd.mode import is_grad_enabled
from weft.autograd.wrapping import wrap
from weft.errors import GradError

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class InPlaceViews:
    """Methods that make the tensor the view that the method without ``_`` returns, and return the tensor."""

    __slots__ = ()

    def _become(self: Any, name: str, *arguments: Any) -> Tensor:
        """Make the tensor the view that a method of it returns."""
        if self.is_leaf and self.requires_grad and is_grad_enabled():
            raise GradError(
                f"{name}_: the tensor is a leaf that requires grad, expected another; use {name}()"
            )
        source = self
        if self._view is None:  # the base of the view: the tensor before the change
            source = wrap(self._data, self._edge)
            source._generation = self._generation + 1  # earlier views rebuild their history
            source._leaf_requires_grad = self._leaf_requires_grad
        made = getattr(source, name)(*arguments)
        if made is not source:
            self._data, self._edge = made._data, made._edge
            self._view, self._generation = made._view, made._generation
        return self  # type: ignore[no-any-return]

    def unsqueeze_(self, dim: int) -> Tensor:
        """Add a dimension of size 1 to the tensor itself.

        >>> import weft as wf
        >>> wf.ones(3).unsqueeze_(0).shape
        (1, 3)
        """
        return self._become("unsqueeze", dim)

    def squeeze_(self, dim: Any = None) -> Tensor:
        """Remove dimensions of size 1 from the tensor itself."""
        return self._become("squeeze", *(() if dim is None else (dim,)))

    def transpose_(self, dim0: int, dim1: int) -> Tensor:
        """Exchange two dimensions of the tensor itself."""
        return self._become("transpose", dim0, dim1)

    def t_(self) -> Tensor:
        """Exchange the dimensions of the matrix itself."""
        return self._become("t")

    def swapaxes_(self, axis0: int, axis1: int) -> Tensor:
        """Exchange two dimensions of the tensor itself."""
        return self._become("swapaxes", axis0, axis1)

    def swapdims_(self, dim0: int, dim1: int) -> Tensor:
        """Exchange two dimensions of the tensor itself."""
        return self._become("swapdims", dim0, dim1)
