"""``Gradients``: the part of ``Tensor`` with ``.grad``, ``backward`` and hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from weft.autograd.engine import backward
from weft.autograd.hooks import LeafHooks, RemovableHandle
from weft.autograd.hooks import checked as checked_hook
from weft.autograd.node import Accumulator
from weft.errors import GradError, ShapeError, mistake

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class Gradients:
    """The gradient of a tensor, and hooks that are called with it."""

    __slots__ = ()

    @property
    def grad(self: Any) -> Tensor | None:
        """The sum of the gradients that ``backward`` added for this leaf, ``None`` before the first."""
        before = _grads_before.get()
        if before is not None and id(self) not in before:
            before[id(self)] = (self, self._grad)
        grad: Tensor | None = self._grad
        return grad

    @grad.setter
    def grad(self: Any, value: Tensor | None) -> None:
        if value is not None and (value.shape, value.dtype) != (self.shape, self.dtype):
            raise ShapeError(
                mistake(
                    "grad",
                    "the value",
                    f"{value.dtype.name}{list(value.shape)}",
                    f"{self.dtype.name}{list(self.shape)}",
                )
            )
        before = _grads_before.get()
        if before is not None and id(self) not in before:
            before[id(self)] = (self, self._grad)
        self._grad = value

    def backward(
        self: Any, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Add the gradients of this tensor to ``.grad`` of the leaves that it depends on."""
        backward(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self: Any) -> None:
        """Keep the gradient of this non-leaf tensor in ``.grad`` in the backward pass."""
        if self.edge is None:
            raise GradError(
                mistake("retain_grad", "the tensor", "without requires_grad", "one that requires grad")
            )
        if self._edge is not None and not isinstance(self._edge.node, Accumulator):
            self._edge.node.retains[self._edge.output] = weakref.ref(self)

    def register_hook(self: Any, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` with each gradient of this tensor; a returned tensor replaces the gradient.

        Hooks run in the order of registration, before ``.grad`` is written. The handle's ``remove()`` unregisters it.

        >>> import weft as wf
        >>> x = wf.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad * 10)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.])
        """
        edge = self.edge
        if edge is None:
            raise GradError(
                mistake("register_hook", "the tensor", "without requires_grad", "one that requires grad")
            )
        function = checked_hook("register_hook", hook)
        if isinstance(edge.node, Accumulator):
            return RemovableHandle(self._leaf_hooks().before, function)
        if edge.node.hooks is None:
            edge.node.hooks = {}
        return RemovableHandle(edge.node.hooks.setdefault(edge.output, {}), function)

    def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` after each addition of a backward pass to ``.grad`` of this leaf."""
        if not self._leaf_requires_grad or not self.is_leaf:
            raise GradError(
                mistake("register_post_accumulate_grad_hook", "the tensor", "computed, or without requires_grad",
                        "a leaf that requires grad")
            )  # fmt: skip
        function = checked_hook("register_post_accumulate_grad_hook", hook)
        return RemovableHandle(self._leaf_hooks().after, function)

    def _leaf_hooks(self: Any) -> LeafHooks:
        if getattr(self, "_hooks", None) is None:
            self._hooks = LeafHooks()
        hooks: LeafHooks = self._hooks
        return hooks

    def _retained_grad(self: Any, value: Tensor) -> None:
        self.grad = value if self.grad is None else self.grad + value


_grads_before: ContextVar[dict[int, tuple[Tensor, Tensor | None]] | None] = ContextVar(
    "weft_grads_before", default=None
)


@contextmanager
def keeping_grads() -> Iterator[dict[int, tuple[Tensor, Tensor | None]]]:
    """Restore every ``.grad`` at the end of the context: gradients computed in a trace are values of the graph only.

    Yields the tensors whose ``.grad`` was read or written, with its value before, by identity. They are passed on to an
    enclosing trace.
    """
    grads: dict[int, tuple[Tensor, Tensor | None]] = {}
    outer = _grads_before.get()
    token = _grads_before.set(grads)
    try:
        yield grads
    finally:
        _grads_before.reset(token)
        for number, (tensor_, before) in grads.items():
            tensor_._grad = before
            if outer is not None:
                outer.setdefault(number, (tensor_, before))
