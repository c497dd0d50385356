"""``Bindable``: jitted functions as methods of objects, in copies and in pickles.

A jitted method has programs of its own for each instance, which are stored in the instance. Copies and unpickled
functions have no programs: they compile at their first call.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from copy import deepcopy
from types import FunctionType, MethodType
from typing import Any, Self

from weft.errors import UnsupportedError, mistake
from weft.nn.module import Module

PREFIX = "_weft_jit_"
"""The prefix of the instance attribute that holds a method's jitted function."""


class Bindable:
    """A wrapper of a function that binds to instances, can be copied, and is pickled by reference."""

    __name__: str
    __wrapped__: Callable[..., Any]
    _method_of: Self | None
    """The unbound wrapper, where this one is bound to an instance."""
    _attribute: str
    """The class attribute that the wrapper stands under."""
    _home: str
    """The qualified name of that class attribute."""

    def _options(self) -> tuple[Any, ...]:
        """Return the arguments of the constructor behind the function."""
        raise NotImplementedError

    def _with_function(self, fn: Callable[..., Any]) -> Self:
        """Return a wrapper of another function with the same options."""
        return type(self)(fn, *self._options())  # type: ignore[call-arg]

    def __get__(self, instance: Any, owner: type | None = None) -> Self:
        """Return the jitted function of an instance, which the instance holds from its first use on."""
        if instance is None:
            return self
        attributes = getattr(instance, "__dict__", None)
        if attributes is None:
            raise UnsupportedError(
                mistake("jit", f"the method {self.__name__}", f"of a {type(instance).__name__} without __dict__",
                        "an object that can hold its compiled programs",
                        "add '__dict__' to __slots__, or jit a function that takes the object's tensors")
            )  # fmt: skip
        key = f"{PREFIX}{self._home}"
        bound: Self | None = attributes.get(key)
        if bound is None:
            bound = self._with_function(self.__wrapped__.__get__(instance, owner))
            bound._method_of, bound._attribute = self, self._attribute
            attributes[key] = bound
        return bound

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute, self._home = name, f"{owner.__qualname__}.{name}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a wrapper without programs; a bound method is bound to the copy of its object."""
        fn: Any = self.__wrapped__
        if self._method_of is not None:
            return self._method_of.__get__(deepcopy(fn.__self__, memo))
        if isinstance(fn, MethodType):
            return self._with_function(MethodType(fn.__func__, deepcopy(fn.__self__, memo)))
        return self._with_function(deepcopy(fn, memo) if isinstance(fn, Module) else fn)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a reference to the function, as functions are pickled, and the options."""
        fn: Any = self.__wrapped__
        if self._method_of is not None:
            return getattr, (fn.__self__, self._attribute)
        module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "")
        if isinstance(fn, FunctionType):
            found = _by_name(module, name)
            if found is self:  # the function is decorated: its name stands for the wrapper
                return _by_name, (module, name)
            if found is not fn:
                raise UnsupportedError(
                    mistake("pickle", "a jitted function", f"of {name}, which cannot be found by its name",
                            "a function that a module names", "define it at the top level of a module")
                )  # fmt: skip
        return type(self), (fn, *self._options())


def _by_name(module: str | None, name: str) -> Any:
    """Return the object that a module has under a dotted name; ``None`` where there is none."""
    found: Any = sys.modules.get(module or "") or (importlib.import_module(module) if module else None)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
