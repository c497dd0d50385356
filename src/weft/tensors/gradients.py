"""``Gradients``: the part of ``Tensor`` that has ``.grad``, ``backward`` and hooks."""

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
    """Gradients of a tensor, and what is called when they are known."""

    __slots__ = ()

    @property
    def grad(self: Any) -> Tensor | None:
        """The gradient that ``backward`` added up for this leaf, ``None`` before."""
        kept = _kept_grads.get()
        if kept is not None and id(self) not in kept:
            kept[id(self)] = (self, self._grad)
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
        kept = _kept_grads.get()
        if kept is not None and id(self) not in kept:
            kept[id(self)] = (self, self._grad)
        self._grad = value

    def backward(
        self: Any, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Add the gradients of this tensor to ``.grad`` of the leaves that it depends on."""
        backward(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self: Any) -> None:
        """Keep the gradient of this non-leaf tensor in ``.grad`` when ``backward`` passes it."""
        if self.edge is None:
            raise GradError(
                mistake("retain_grad", "the tensor", "without requires_grad", "one that requires grad")
            )
        if self._edge is not None and not isinstance(self._edge.node, Accumulator):
            self._edge.node.retains[self._edge.output] = weakref.ref(self)

    def register_hook(self: Any, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` whenever the gradient of this tensor is known; what it gives replaces the gradient.

        Hooks run in the order of registration, before ``.grad`` is written. The handle's ``remove()`` takes it away.

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
        """Call ``hook(tensor)`` whenever a backward pass has added to ``.grad`` of this leaf."""
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


_kept_grads: ContextVar[dict[int, tuple[Tensor, Tensor | None]] | None] = ContextVar(
    "weft_kept_grads", default=None
)


@contextmanager
def keeping_grads() -> Iterator[dict[int, tuple[Tensor, Tensor | None]]]:
    """At its end every ``.grad`` is what it was before: gradients made in a trace are values of the graph only.

    Gives the tensors whose ``.grad`` was looked at or written, with what it was, by identity; a trace around this one
    learns of them too.
    """
    kept: dict[int, tuple[Tensor, Tensor | None]] = {}
    around = _kept_grads.get()
    token = _kept_grads.set(kept)
    try:
        yield kept
    finally:
        _kept_grads.reset(token)
        for number, (tensor_, before) in kept.items():
            tensor_._grad = before
            if around is not None:
                around.setdefault(number, (tensor_, before))
