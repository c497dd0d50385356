"""Hooks of modules: functions around ``forward``, and on the gradients of a module's inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from weft.autograd.hooks import RemovableHandle, checked
from weft.autograd.mode import is_enabled
from weft.autograd.node import Barrier
from weft.errors import UnsupportedError
from weft.tensors.tensor import Tensor

if TYPE_CHECKING:
    from weft.nn.module import Module

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
        """Register a hook of a kind."""
        return RemovableHandle(getattr(self, kind), (checked(where, hook), keywords), prepend)

    def call(self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """``forward`` with the hooks around it."""
        for hook, keywords in list(self.before.values()):
            found = hook(module, inputs, options) if keywords else hook(module, inputs)
            if found is not None and keywords:
                inputs, options = found
            elif found is not None:
                inputs = found if isinstance(found, tuple) else (found,)
        watch = _Watch(self, module) if (self.backward or self.backward_before) and is_enabled() else None
        if watch is not None:
            inputs = watch.enter(inputs)
        result = module.forward(*inputs, **options)
        for hook, keywords in list(self.after.values()):
            found = hook(module, inputs, options, result) if keywords else hook(module, inputs, result)
            if found is not None:
                result = found
        return result if watch is None else watch.leave(result)


class _Watch:
    """One call of a module with backward hooks: barriers around it collect its gradients."""

    def __init__(self, hooks: ModuleHooks, module: Module) -> None:
        self.hooks = hooks
        self.module = module
        self.watched: list[tuple[Tensor, int]] = []
        self.places: list[int] = []
        self.count = 0
        self.grad_output: tuple[Any, ...] | None = None

    def enter(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs behind a barrier, whose gradient runs the hooks."""
        self.count = len(inputs)
        self.places = [i for i, one in enumerate(inputs) if isinstance(one, Tensor) and one.requires_grad]
        if not self.places:
            return inputs
        tensors = [inputs[place] for place in self.places]
        self.watched = [(one, one._data.version) for one in tensors]
        changed = list(inputs)
        through = Barrier(self._input_gradients, tensors).through(tensors)
        for place, tensor in zip(self.places, through, strict=True):
            changed[place] = tensor
        return tuple(changed)

    def leave(self, result: Any) -> Any:
        """The outputs behind a barrier, which takes their gradients down."""
        for tensor, version in self.watched:
            if tensor._data.version != version:
                name = type(self.module).__name__
                raise UnsupportedError(
                    f"{name}: forward wrote into its input in place, expected not, with backward hooks on the module; "
                    f"build it with inplace=False"
                )
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        places = [i for i, one in enumerate(outputs) if isinstance(one, Tensor) and one.requires_grad]
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
            found = hook(self.module, full)
            if found is not None:
                full = found if isinstance(found, tuple) else (found,)
        self.grad_output = full
        if not self.places:
            self._run((None,) * self.count)
        return [full[place] for place in places]

    def _input_gradients(self, grads: tuple[Any, ...]) -> Sequence[Any]:
        full = self._run(_spread(grads, self.places, self.count))
        return [full[place] for place in self.places]

    def _run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.hooks.backward.values()):
            found = hook(self.module, grad_input, self.grad_output)
            if found is not None:
                grad_input = found if isinstance(found, tuple) else (found,)
        return grad_input


def _spread(grads: Sequence[Any], places: Sequence[int], count: int) -> tuple[Any, ...]:
    """Gradients at their places among ``count``; None elsewhere."""
    full: list[Any] = [None] * count
    for place, grad in zip(places, grads, strict=True):
        full[place] = grad
    return tuple(full)
