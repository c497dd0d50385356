"""Attributes of one module that are computed when they are read: properties on a class of the module's own."""

from __future__ import annotations

from typing import Any

from weft.nn.module import Module
from weft.tensors.tensor import Tensor


class Computation:
    """What gives an attribute of a module, and takes what is assigned to it."""

    def compute(self, module: Any) -> Tensor:
        """The attribute's value."""
        raise NotImplementedError

    def assign(self, module: Any, value: Tensor) -> None:
        """Take a value that is assigned to the attribute."""
        raise NotImplementedError


def computations(module: Module) -> dict[str, Any]:
    """The computations of a module by the attribute's name."""
    found: dict[str, Any] = module.__dict__.get("_computations", {})
    return found


def attach(module: Module, name: str, computation: Computation) -> None:
    """Let a computation give an attribute; the module's class becomes one derived from it."""
    module.__dict__["_computations"] = {**computations(module), name: computation}
    _reclass(module)


def detach(module: Module, name: str) -> None:
    """Make an attribute a plain one again, and with the last one the class what it was."""
    left = {key: value for key, value in computations(module).items() if key != name}
    module.__dict__["_computations"] = left
    if not left:
        del module.__dict__["_computations"]
    _reclass(module)


def _reclass(module: Module) -> None:
    base = getattr(type(module), "_computed_base", type(module))
    names = tuple(computations(module))
    object.__setattr__(module, "__class__", _class(base, names) if names else base)


def _property(name: str) -> property:
    def value(self: Any) -> Tensor:
        made: Tensor = computations(self)[name].compute(self)
        return made

    def assign(self: Any, given: Tensor) -> None:
        computations(self)[name].assign(self, given)

    return property(value, assign)


def _rebuilt(base: type, names: tuple[str, ...]) -> Module:
    """A module for a copy or a pickle to fill."""
    made: Module = Module.__new__(_class(base, names))
    return made


def _class(base: type, names: tuple[str, ...]) -> type:
    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name in names:
            object.__setattr__(self, name, value)
        else:
            base.__setattr__(self, name, value)  # type: ignore[call-arg]  # a Module's own, which takes two arguments

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        return _rebuilt, (base, names), self.__dict__

    members: dict[str, Any] = {name: _property(name) for name in names}
    members |= {"__setattr__": __setattr__, "__reduce_ex__": __reduce_ex__, "__module__": base.__module__}
    return type(f"Parametrized{base.__name__}", (base,), {**members, "_computed_base": base})
