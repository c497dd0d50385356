"""``TensorBase``: the base class of ``Tensor``, which is all that the tape and the engine know of tensors.

A base tensor has a raw value (an array on a device, or a traced value) and its history: where it came from on the tape,
and of which tensor it is a view.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeGuard

from weft.autograd.hooks import LeafHooks
from weft.autograd.node import Accumulator, Edge, GradientNode
from weft.errors import DTypeError, GradError, mistake
from weft.ops import OPS
from weft.tensors.array import type_of_data

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class View(NamedTuple):
    """The base of a view, and the view ops that lead to it; ``untracked``: made under ``no_grad``."""

    base: Tensor
    path: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    untracked: bool


class TensorBase:
    """A raw value with its gradient history."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_accumulator",
        "_data",
        "_edge",
        "_generation",
        "_grad",
        "_hooks",
        "_leaf_requires_grad",
        "_view",
    )

    _data: Any
    _edge: Edge | None
    _view: View | None
    _generation: int
    _leaf_requires_grad: bool
    _accumulator: weakref.ref[Accumulator] | None
    _grad: Tensor | None
    _hooks: LeafHooks  # absent until a hook is registered

    @classmethod
    def wrap(cls, data: Any, edge: Edge | None = None) -> Self:
        """Return a tensor of this class around a raw value, with ``edge`` as its history."""
        made = object.__new__(cls)
        made._data = data
        made._edge = edge
        made._view = None
        made._generation = 0
        made._leaf_requires_grad = False
        made._accumulator = None
        made._grad = None
        return made

    @property
    def edge(self) -> Edge | None:
        """The node of the tape that made the tensor; ``None`` where no gradient can reach the tensor."""
        view = self._view
        if view is not None and self._generation != view.base._generation:
            self._rebuild_view_edge(view)
        if self._edge is not None:
            return self._edge
        if not self._leaf_requires_grad:
            return None
        accumulator = None if self._accumulator is None else self._accumulator()
        if accumulator is None:
            accumulator = Accumulator(self)  # type: ignore[arg-type]
            self._accumulator = weakref.ref(accumulator)
        return Edge(accumulator, 0)

    def _rebuild_view_edge(self, view: View) -> None:
        """Give a view the history that its base has after a write in place."""
        edge, source = view.base.edge, type_of_data(view.base._data)
        if edge is not None:
            if view.base._view is not None:
                raise GradError(
                    "a view: its base got another shape in place (unsqueeze_, transpose_, …) after it was taken, "
                    "expected a view that is taken after the change of shape"
                )
            for name, attributes in view.path:
                op, options = OPS[name], dict(attributes)
                (result,) = op.infer(source, **options)
                edge, source = Edge(GradientNode(op, options, (edge,), (source,), (result,)), 0), result
        self._edge = edge
        self._generation = view.base._generation

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the tensor are recorded for ``backward``."""
        return self._leaf_requires_grad or self.edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Record operations on this leaf from now on, or stop; returns the tensor."""
        if self.edge is not None and self._edge is not None:
            if requires_grad:
                return self
            raise GradError("requires_grad_: the tensor has a history, expected a leaf; use detach()")
        if requires_grad and self._data.dtype.kind != "float":
            raise DTypeError(
                mistake(
                    "requires_grad_", "the tensor's dtype", self._data.dtype.name, "a floating point type"
                )
            )
        self._leaf_requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was not computed from tensors that require grad."""
        return self.edge is None or self._edge is None

    @property
    def grad_fn(self) -> Any:
        """The recorded operation that made the tensor, ``None`` for a leaf."""
        return None if self.edge is None or self._edge is None else self._edge.node

    def detach_(self) -> Self:
        """Remove the tensor's history; returns the tensor. Raises ``GradError`` for a view."""
        if self._view is not None and not self.is_leaf:
            raise GradError("detach_: the tensor is a view, whose history is its base's; use detach()")
        self._edge = None
        self._leaf_requires_grad = False
        return self


def is_tensor(value: Any) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor; type checkers see the whole class of tensors."""
    return isinstance(value, TensorBase)
