"""Hooks of modules: functions around ``forward``, and on the gradients of a module's inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.autograd.hooks import RemovableHandle, checked
from weft.autograd.mode import is_enabled
from weft.autograd.node import Barrier
from weft.errors import UnsupportedError
from weft.nn.module_types import ModuleTree
from weft.tensors.tensor import Tensor

Entry = tuple[Callable[..., Any], bool]
"""A hook, and whether it takes keyword arguments too."""


class ModuleHooks:
    """The hooks of one module, each kind in the order in which they run."""

    def __init__(self) -> None:
        self.before: dict[int, Entry] = {}
        self.after: dict[int, Entry] = {}
        self.backward_before: dict[int, Entry] = {}
        self.backward: dict[int, Entry] = {}

    def add(self, kind: str, where: str, hook: Any, prepend: bool, keywords: bool = False) -> RemovableHandle:
        """Register a hook of a kind and return its handle."""
        return RemovableHandle(getattr(self, kind), (checked(where, hook), keywords), prepend)

    def call(self, module: ModuleTree, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call ``forward`` with the hooks around it."""
        for hook, keywords in list(self.before.values()):
            replaced = hook(module, inputs, options) if keywords else hook(module, inputs)
            if replaced is not None and keywords:
                inputs, options = replaced
            elif replaced is not None:
                inputs = replaced if isinstance(replaced, tuple) else (replaced,)
        watch = _Watch(self, module) if (self.backward or self.backward_before) and is_enabled() else None
        if watch is not None:
            inputs = watch.enter(inputs)
        result = module.forward(*inputs, **options)
        for hook, keywords in list(self.after.values()):
            replaced = hook(module, inputs, options, result) if keywords else hook(module, inputs, result)
            if replaced is not None:
                result = replaced
        return result if watch is None else watch.leave(result)


class _Watch:
    """A call of a module with backward hooks: barriers in the tape around it collect the gradients for the hooks."""

    def __init__(self, hooks: ModuleHooks, module: ModuleTree) -> None:
        self.hooks = hooks
        self.module = module
        self.watched: list[tuple[Tensor, int]] = []
        self.places: list[int] = []
        self.count = 0
        self.grad_output: tuple[Any, ...] | None = None

    def enter(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Pass the inputs through a barrier, whose gradient rule runs the hooks."""
        self.count = len(inputs)
        self.places = _differentiable(inputs)
        if not self.places:
            return inputs
        tensors = [inputs[place] for place in self.places]
        self.watched = [(tensor, tensor._data.version) for tensor in tensors]
        changed = list(inputs)
        through = Barrier(self._input_gradients, tensors).through(tensors)
        for place, tensor in zip(self.places, through, strict=True):
            changed[place] = tensor
        return tuple(changed)

    def leave(self, result: Any) -> Any:
        """Pass the outputs through a barrier, which records their gradients."""
        for tensor, version in self.watched:
            if tensor._data.version != version:
                name = type(self.module).__name__
                raise UnsupportedError(
                    f"{name}: forward changed its input in place, which backward hooks on the module do not allow, "
                    f"expected an unchanged input; build the module with inplace=False"
                )
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        places = _differentiable(outputs)
        if not places:
            return result
        tensors = [outputs[place] for place in places]

        def rule(grads: tuple[Any, ...]) -> Sequence[Any]:
            return self._output_gradients(grads, places, len(outputs))

        for place, tensor in zip(places, Barrier(rule, tensors).through(tensors), strict=True):
            outputs[place] = tensor
        return type(result)(outputs) if isinstance(result, tuple | list) else outputs[0]

    def _output_gradients(self, grads: tuple[Any, ...], places: list[int], count: int) -> Sequence[Any]:
        full = _spread(grads, places, count)
        for hook, _ in list(self.hooks.backward_before.values()):
            replaced = hook(self.module, full)
            if replaced is not None:
                full = replaced if isinstance(replaced, tuple) else (replaced,)
        self.grad_output = full
        if not self.places:
            self._run((None,) * self.count)
        return [full[place] for place in places]

    def _input_gradients(self, grads: tuple[Any, ...]) -> Sequence[Any]:
        full = self._run(_spread(grads, self.places, self.count))
        return [full[place] for place in self.places]

    def _run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.hooks.backward.values()):
            replaced = hook(self.module, grad_input, self.grad_output)
            if replaced is not None:
                grad_input = replaced if isinstance(replaced, tuple) else (replaced,)
        return grad_input


def _differentiable(values: Sequence[Any]) -> list[int]:
    """Return the positions of the tensors that require gradients."""
    return [at for at, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]


def _spread(grads: Sequence[Any], places: Sequence[int], count: int) -> tuple[Any, ...]:
    """Return ``count`` values: gradients at their positions, ``None`` elsewhere."""
    full: list[Any] = [None] * count
    for place, grad in zip(places, grads, strict=True):
        full[place] = grad
    return tuple(full)
