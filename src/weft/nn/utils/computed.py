"""Attributes of a module object that are computed when read: properties of a class made for the object."""

from __future__ import annotations

from typing import Any

from weft.nn.module import Module
from weft.tensors.tensor import Tensor


class Computation:
    """The getter and the setter of a computed attribute."""

    def compute(self, module: Any) -> Tensor:
        """Return the attribute's value."""
        raise NotImplementedError

    def assign(self, module: Any, value: Tensor) -> None:
        """Handle the assignment of a value to the attribute."""
        raise NotImplementedError


def computations(module: Module) -> dict[str, Any]:
    """Return the computations of a module by the attribute's name."""
    by_name: dict[str, Any] = module.__dict__.get("_computations", {})
    return by_name


def attach(module: Module, name: str, computation: Computation) -> None:
    """Make an attribute computed; the module's class becomes a subclass with a property for it."""
    module.__dict__["_computations"] = {**computations(module), name: computation}
    _reclass(module)


def detach(module: Module, name: str) -> None:
    """Make an attribute ordinary again; without computed attributes the module has its original class."""
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
        result: Tensor = computations(self)[name].compute(self)
        return result

    def assign(self: Any, given: Tensor) -> None:
        computations(self)[name].assign(self, given)

    return property(value, assign)


def _rebuilt(base: type, names: tuple[str, ...]) -> Module:
    """Return an empty module, which a copy or a pickle fills."""
    module: Module = Module.__new__(_class(base, names))
    return module


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
