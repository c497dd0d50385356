"""Parameters that are functions of others: ``register_parametrization``, as ``torch.nn.utils.parametrize``.

A module with parametrizations gets a subclass of its class, whose properties compute the tensors. The trained tensor is
``module.parametrizations.NAME.original``, or ``original0``, ``original1`` … where the parametrization's
``right_inverse`` returns several tensors; state dicts have these keys, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.nn.collections import ModuleDict
from weft.nn.containers import ModuleList
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.nn.utils.computed import Computation, attach, computations, detach
from weft.tensors.tensor import Tensor

_cache: ContextVar[dict[tuple[int, str], Tensor] | None] = ContextVar("parametrized", default=None)


@contextmanager
def cached() -> Iterator[None]:
    """Within the block, compute each parametrized tensor once."""
    if _cache.get() is not None:
        yield
        return
    token = _cache.set({})
    try:
        yield
    finally:
        _cache.reset(token)


class ParametrizationList(ModuleList):
    """The parametrizations of a tensor, in the order of their application, and the original tensors."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            inverse = self._inverse(original.detach())
        several = isinstance(inverse, tuple | list)
        self.__dict__["is_tensor"], self.__dict__["ntensors"] = not several, len(inverse) if several else 1
        if not several:
            if inverse.shape == original.shape and inverse.dtype is original.dtype:
                with no_grad():
                    original.copy_(inverse)
                self._hold("original", original)
            else:
                self._hold("original", self._like(inverse, original))
            return
        for place, value in enumerate(inverse):
            self._hold(f"original{place}", self._like(value.clone(), original))

    def _hold(self, name: str, value: Tensor) -> None:
        register: Any = self.register_parameter if isinstance(value, Parameter) else self.register_buffer
        register(name, value)

    @staticmethod
    def _like(value: Tensor, original: Tensor) -> Tensor:
        return Parameter(value, original.requires_grad) if isinstance(original, Parameter) else value

    def _inverse(self, value: Any) -> Any:
        for module in reversed(list(self)):
            inverse = getattr(module, "right_inverse", None)
            if inverse is not None:
                value = inverse(value)
        return value

    @property
    def originals(self) -> tuple[Tensor, ...]:
        """The tensors that the first parametrization takes."""
        if self.is_tensor:
            return (self.original,)
        return tuple(getattr(self, f"original{place}") for place in range(self.ntensors))

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the tensor becomes ``value``, by the parametrizations' ``right_inverse``."""
        for module in self:
            if not hasattr(module, "right_inverse"):
                name = type(module).__name__
                raise ArgumentError(
                    f"{name}: has no right_inverse, expected the method where a parametrized tensor is assigned"
                )
        with no_grad():
            inverse = self._inverse(value)
            values = (inverse,) if self.is_tensor else tuple(inverse)
            for original, new in zip(self.originals, values, strict=True):
                if tuple(original.shape) != tuple(new.shape):
                    where = "a parametrized tensor"
                    raise ShapeError(
                        mistake(where, "the shape", tuple(new.shape), f"{tuple(original.shape)}")
                    )
            for original, new in zip(self.originals, values, strict=True):
                original.copy_(new)

    def forward(self) -> Tensor:
        """Compute the tensor: apply the first parametrization to the originals, and each other to the result."""
        first, *others = list(self)
        result: Tensor = first(*self.originals)
        for module in others:
            result = module(result)
        return result


class _Parametrized(Computation):
    """The computed attribute of a parametrized tensor."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Any) -> Tensor:
        """Return the tensor; within ``cached`` it is computed once."""
        known, key = _cache.get(), (id(module), self.name)
        if known is not None and key in known:
            return known[key]
        tensor: Tensor = module.parametrizations[self.name]()
        if known is not None:
            known[key] = tensor
        return tensor

    def assign(self, module: Any, value: Tensor) -> None:
        """Set the originals for a value."""
        module.parametrizations[self.name].right_inverse(value)


def _names(module: Module) -> tuple[str, ...]:
    return tuple(name for name, value in computations(module).items() if isinstance(value, _Parametrized))


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether a module has a parametrized tensor, or one of the given name."""
    names = _names(module)
    return bool(names) if tensor_name is None else tensor_name in names


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Replace a parameter or buffer of a module by a parametrization's result for it, and return the module.

    Raises ``ArgumentError`` where the module has no tensor of the name, and, unless ``unsafe``, where the
    parametrization changes the shape or the type.

    >>> import weft as wf
    >>> class Symmetric(wf.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = register_parametrization(wf.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    where = "register_parametrization"
    if not isinstance(parametrization, Module):
        raise ArgumentTypeError(mistake(where, "parametrization", type(parametrization).__name__, "a Module"))
    names = _names(module)
    if tensor_name in names:
        applied: Any = module.parametrizations[tensor_name]
        if not (unsafe or applied.unsafe):
            with no_grad():
                before = getattr(module, tensor_name)
                _check(where, before, parametrization(before))
        applied.append(parametrization)
        return module
    table = next((t for t in (module._parameters, module._buffers) if t.get(tensor_name) is not None), None)
    if table is None:
        raise ArgumentError(
            mistake(where, "tensor_name", repr(tensor_name), "a parameter or buffer of the module")
        )
    original: Any = table[tensor_name]
    before = original.detach().clone()
    parametrizations = ParametrizationList([parametrization], original, unsafe)
    if not unsafe:
        with no_grad():
            try:
                _check(where, before, parametrizations())
            except ArgumentError:
                original.copy_(before)
                raise
    if not names:
        module.parametrizations = ModuleDict()
    del table[tensor_name]
    module.parametrizations[tensor_name] = parametrizations
    attach(module, tensor_name, _Parametrized(tensor_name))
    return module


def _check(where: str, before: Tensor, after: Any) -> None:
    if not isinstance(after, Tensor) or after.shape != before.shape or after.dtype is not before.dtype:
        given = (
            f"{after.dtype.name} {tuple(after.shape)}" if isinstance(after, Tensor) else type(after).__name__
        )
        raise ArgumentError(
            mistake(where, "parametrization", f"a function to {given}",
                    f"a function to {before.dtype.name} {tuple(before.shape)}, as the tensor", "unsafe=True skips this")
        )  # fmt: skip


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor a parameter or buffer again, and return the module.

    Its value is the parametrized value, or, with ``leave_parametrized=False``, the original; several originals raise
    ``ArgumentError`` then.
    """
    where = "remove_parametrizations"
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(mistake(where, "tensor_name", repr(tensor_name), "a parametrized tensor"))
    applied: Any = module.parametrizations[tensor_name]
    original = applied.originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
            if applied.is_tensor and value.shape == original.shape and value.dtype is original.dtype:
                original.copy_(value)
            else:
                original = ParametrizationList._like(value, original)
    elif not applied.is_tensor:
        raise ArgumentError(
            mistake(
                where, "leave_parametrized", False, f"True with {applied.ntensors} originals of one tensor"
            )
        )
    del module.parametrizations[tensor_name]
    detach(module, tensor_name)
    if not _names(module):
        del module.parametrizations
    register: Any = module.register_parameter if isinstance(original, Parameter) else module.register_buffer
    register(tensor_name, original)
    return module
