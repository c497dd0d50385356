"""Observe attribute access of objects during a trace.

A trace records which attributes the traced function reads and writes. For the time of the trace, the classes of the
objects that the function reaches get a ``__getattribute__`` and a ``__setattr__`` that notify the watcher of the
context. The original methods are restored afterwards. Accesses of other threads are not recorded.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from enum import Enum
from types import ModuleType
from typing import Any

from weft.nn.module import Module
from weft.tensors.tensor import Tensor
from weft.tensors.watch import watcher

_HEAP, _IMMUTABLE = 1 << 9, 1 << 8
"""CPython's ``Py_TPFLAGS_HEAPTYPE`` (made by a class statement) and ``Py_TPFLAGS_IMMUTABLETYPE``."""
_NAMES = ("__getattribute__", "__setattr__", "__delattr__")
_FOREIGN = frozenset(sys.stdlib_module_names) | {"numpy", "weft"}

_lock = threading.Lock()
_observed: dict[type, int] = {}
_before: dict[type, dict[str, Any]] = {}


def is_foreign(module: str | None) -> bool:
    """Return whether a module belongs to weft, NumPy or the standard library, not to the user's program."""
    return (module or "").partition(".")[0] in _FOREIGN


def is_observable(value: Any) -> bool:
    """Return whether attribute access of a value can be observed: a Module, or an instance of a user's class."""
    kind = type(value)
    if isinstance(value, Module):
        return True
    if isinstance(value, Tensor | Enum | type | ModuleType | BaseException) or is_foreign(kind.__module__):
        return False
    return bool(kind.__flags__ & _HEAP) and not kind.__flags__ & _IMMUTABLE


def observe(value: Any) -> type | None:
    """Observe the class of a value; return the class for ``stop``, or ``None`` where it cannot be changed."""
    kind = Module if isinstance(value, Module) else type(value)
    with _lock:
        if kind not in _observed:
            methods = {name: kind.__dict__[name] for name in _NAMES if name in kind.__dict__}
            try:
                _install(kind)
            except (TypeError, AttributeError):  # a metaclass that allows no changes
                return None
            _before[kind] = methods
            _observed[kind] = 0
        _observed[kind] += 1
    return kind


def stop(kind: type) -> None:
    """End an observation of a class; the last ``stop`` restores the class."""
    with _lock:
        _observed[kind] -= 1
        if _observed[kind]:
            return
        del _observed[kind]
        methods = _before.pop(kind)
        for name in _NAMES:
            if name in methods:
                setattr(kind, name, methods[name])
            else:
                delattr(kind, name)


def _install(kind: type) -> None:
    read: Callable[..., Any] = kind.__getattribute__
    write: Callable[..., None] = kind.__setattr__
    delete: Callable[..., None] = kind.__delattr__

    def getattribute(self: Any, name: str) -> Any:
        value = read(self, name)
        watch = watcher.get()
        if watch is not None:
            watch.looked(self, name, value)
        return value

    def setattr_(self: Any, name: str, value: Any) -> None:
        watch = watcher.get()
        if watch is not None:
            watch.changing(self, name)
        write(self, name, value)

    def delattr_(self: Any, name: str) -> None:
        watch = watcher.get()
        if watch is not None:
            watch.changing(self, name)
        delete(self, name)

    for name, function in zip(_NAMES, (getattribute, setattr_, delattr_), strict=True):
        setattr(kind, name, function)
