"""Leaked tracers: find the object that holds a traced tensor after its trace, and name it in an error.

A traced tensor has no value. If the program keeps it (in an attribute, in a list), a later use would fail far from the
mistake. A weak reference watches each traced value; a value that is alive after the trace is an error.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from types import CellType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any
from weakref import ref

from weft.errors import UnsupportedError
from weft.graph import Tracer
from weft.nn.module import Module
from weft.tensors.tensor import Tensor

_OWN = ("weft.autograd", "weft.compiler", "weft.graph")
"""Packages whose objects belong to the trace and not to the user's program."""

DEPTH = 8
"""How many levels of nested containers are searched for a named owner."""


def refuse_escaped(name: str, made: Sequence[ref[Tracer]]) -> None:
    """Raise ``UnsupportedError`` where a traced value is alive; the message names its holder."""
    if not any(reference() is not None for reference in made):
        return
    gc.collect()  # tapes may be reference cycles
    alive = [value for reference in made if (value := reference()) is not None]
    if not alive:
        return
    tracer = alive[0]
    given = f"a traced tensor {tracer.dtype.name}{list(tracer.shape)}"
    where = _holder(tracer, [alive, made]) or "an object that Python cannot name"
    del alive
    raise UnsupportedError(
        f"{name}: {given} is kept in {where} after the call, expected no traced tensor outside of the jitted function; "
        f"return it, mark it with weft.capture(name, tensor), or copy it into a buffer with copy_()"
    )


def refuse_kept(name: str, tensors: Sequence[Tensor]) -> None:
    """Raise ``UnsupportedError`` where the program keeps a tensor that the trace created and wrote in place.

    The compiled program would create such a tensor anew at each call.
    """
    for tensor in tensors:
        where = _holder(tensor, [tensors])
        if where:
            raise UnsupportedError(
                f"{name}: a tensor {tensor.dtype.name}{list(tensor.shape)} is created in the jitted function, "
                f"written in place and kept in {where}, expected a tensor that exists before the call; create it there"
            )


def _holder(value: Any, ignored: list[Any]) -> str:
    """Return the nearest named owner from which a value is reached, in words; empty where there is none."""
    seen = {id(container) for container in ignored} | {id(value), id(ignored)}
    level: list[tuple[Any, str]] = [(value, "")]
    for _ in range(DEPTH):
        following: list[tuple[Any, str]] = []
        for target, path in level:
            referrers = gc.get_referrers(target)
            seen.update((id(level), id(following), id(referrers)))
            for referrer in referrers:
                if id(referrer) in seen or isinstance(referrer, FrameType | GeneratorType):
                    continue
                seen.add(id(referrer))
                named = _named(referrer, target)
                if named:
                    return f"{path}{named}"
                following.append((referrer, f"{path}{_step(referrer, target)}"))
        level = following
    return ""


def _named(owner: Any, target: Any) -> str:
    """Return the owner of an attribute, a global or a closure variable in words; empty for other owners."""
    if isinstance(owner, ModuleType):
        return _key_of(owner.__dict__, target, "the global `{}` of " + owner.__name__)
    if isinstance(owner, dict) and "__name__" in owner and "__spec__" in owner:
        return _key_of(owner, target, f"the global `{{}}` of {owner['__name__']}")
    if isinstance(owner, CellType):
        functions = [referrer for referrer in gc.get_referrers(owner) if isinstance(referrer, tuple)]
        for cells in functions:
            for function in gc.get_referrers(cells):
                if isinstance(function, FunctionType) and function.__closure__ is cells:
                    variable = function.__code__.co_freevars[cells.index(owner)]
                    return f"the variable `{variable}` of {function.__qualname__}"
        return ""
    if isinstance(owner, FunctionType):
        return f"a default or an attribute of {owner.__qualname__}"
    if isinstance(owner, dict):
        return _of_object(owner, target)
    if isinstance(owner, list | tuple | set | Tensor | type) or type(owner).__module__.startswith(_OWN):
        return ""
    if hasattr(owner, "__dict__"):
        return _key_of(vars(owner), target, f"the attribute `{{}}` of {type(owner).__name__}")
    return ""


def _of_object(table: dict[Any, Any], target: Any) -> str:
    """Return the object whose attributes, or whose table of parameters or buffers, a dict is, in words."""
    for owner in gc.get_referrers(table):
        if getattr(owner, "__dict__", None) is table:
            if type(owner).__module__.startswith(_OWN):
                return ""
            return _key_of(table, target, f"the attribute `{{}}` of {type(owner).__name__}")
        tables = owner if isinstance(owner, dict) else getattr(owner, "__dict__", {})
        if isinstance(tables, dict) and any(
            tables.get(name) is table for name in ("_buffers", "_parameters")
        ):
            modules = [owner] if isinstance(owner, Module) else gc.get_referrers(owner)
            kind = next(
                (type(module).__name__ for module in modules if isinstance(module, Module)), "a module"
            )
            return _key_of(table, target, f"the attribute `{{}}` of {kind}")
    return ""


def _key_of(table: dict[Any, Any], target: Any, form: str) -> str:
    return next((form.format(key) for key, value in table.items() if value is target), "")


def _step(owner: Any, target: Any) -> str:
    """Return how an unnamed container holds an element, in words."""
    if isinstance(owner, list | tuple):
        at = next((at for at, item in enumerate(owner) if item is target), None)
        return "" if at is None else f"item {at} of a {type(owner).__name__} in "
    if isinstance(owner, dict):
        found = next((key for key, value in owner.items() if value is target), None)
        return "" if found is None else f"entry {found!r} of a dict in "
    if isinstance(owner, set | frozenset):
        return "a set in "
    return ""
