"""Tracers that outlive their trace: who holds them, in the words of the user's program.

A traced tensor has no value, so one that is kept (in an attribute, in a list) would fail somewhere else, later. Each
traced value is watched by a weak reference; one that is alive after the trace is an error that names its holder.
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
"""Packages whose objects are part of the trace, not of the user's program."""

DEPTH = 8
"""Containers within containers that are searched for one with a name."""


def refuse_escaped(name: str, made: Sequence[ref[Tracer]]) -> None:
    """``UnsupportedError`` naming who holds a traced value, where one is alive."""
    if not any(reference() is not None for reference in made):
        return
    gc.collect()  # a tape may hold itself
    alive = [value for reference in made if (value := reference()) is not None]
    if not alive:
        return
    tracer = alive[0]
    what = f"a traced tensor {tracer.dtype.name}{list(tracer.shape)}"
    where = _holder(tracer, [alive, made]) or "an object that Python cannot name"
    del alive
    raise UnsupportedError(
        f"{name}: {what} is kept in {where} after the call, expected no traced tensor outside of the jitted function; "
        f"return it, mark it with weft.capture(name, tensor), or copy it into a buffer with copy_()"
    )


def refuse_kept(name: str, tensors: Sequence[Tensor]) -> None:
    """``UnsupportedError`` where a tensor that the trace made and wrote is kept: it would start anew at each call."""
    for tensor in tensors:
        where = _holder(tensor, [tensors])
        if where:
            raise UnsupportedError(
                f"{name}: a tensor {tensor.dtype.name}{list(tensor.shape)} is made in the jitted function, "
                f"written in place and kept in {where}, expected one that was there before; make it before the call"
            )


def _holder(value: Any, ignored: list[Any]) -> str:
    """The nearest named thing from which a value is reached."""
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
    """An owner whose part has a name: an attribute, a global or a variable of an enclosing function."""
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
    """A dict that is an object's attributes, or one of a module's tables."""
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
    """How a container without a name holds a part."""
    if isinstance(owner, list | tuple):
        at = next((at for at, item in enumerate(owner) if item is target), None)
        return "" if at is None else f"item {at} of a {type(owner).__name__} in "
    if isinstance(owner, dict):
        found = next((key for key, value in owner.items() if value is target), None)
        return "" if found is None else f"entry {found!r} of a dict in "
    if isinstance(owner, set | frozenset):
        return "a set in "
    return ""
