"""The other names of ``torch.jit``, as attributes of ``weft.jit``, for programs that use TorchScript.

TorchScript compiles Python source, so that models run faster and without Python. weft has no scripting: ``weft.jit``
and ``weft.compile`` trace the function, so the decorators return the function unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from weft.absent import refused
from weft.nn.module import Module

F = TypeVar("F")

Attribute = Any
"""A placeholder of ``torch.jit.Attribute``."""


def script(obj: F, *_: Any, **__: Any) -> F:
    """Return the function, class or module unchanged; compile it with ``weft.jit`` or ``weft.compile``."""
    return obj


def script_if_tracing(fn: F) -> F:
    """Return the function unchanged."""
    return fn


def export(fn: F) -> F:
    """Return the method unchanged."""
    return fn


def ignore(drop: Any = False, **_: Any) -> Any:
    """Return the method unchanged; ``@ignore`` and ``@ignore()`` mark methods that TorchScript does not compile."""
    return drop if callable(drop) else unused


def unused(fn: F) -> F:
    """Return the method unchanged."""
    return fn


def is_scripting() -> bool:
    """Return False: TorchScript never compiles the function."""
    return False


def is_tracing() -> bool:
    """Return False: TorchScript never traces the function. See ``weft.compiler.is_compiling`` for ``weft.jit``."""
    return False


def annotate(the_type: Any, the_value: F) -> F:
    """Return the value."""
    return the_value


def interface(obj: F) -> F:
    """Return the class unchanged."""
    return obj


class ScriptModule(Module):
    """A class without instances, for ``isinstance`` tests of programs that use TorchScript."""

    def __init__(self) -> None:
        refused("jit.ScriptModule", "modules are Python classes; derive from weft.nn.Module")()


class ScriptFunction:
    """A class without instances, for ``isinstance`` tests of programs that use TorchScript."""

    def __init__(self, *_: Any) -> None:
        refused("jit.ScriptFunction", "functions are not scripted")()


_FILES = "weft writes no TorchScript; save parameters with weft.save, a compiled call with weft.jit(f).plan(…).save"

NAMES: dict[str, Any] = {
    "Attribute": Attribute, "Final": Final, "RecursiveScriptModule": ScriptModule, "ScriptFunction": ScriptFunction,
    "ScriptModule": ScriptModule, "annotate": annotate, "export": export, "ignore": ignore, "interface": interface,
    "is_scripting": is_scripting, "is_tracing": is_tracing, "script": script, "script_if_tracing": script_if_tracing,
    "unused": unused,
    "freeze": refused("jit.freeze", "modules are not scripted; compile the module with weft.compile(module)"),
    "load": refused("jit.load", _FILES),
    "optimize_for_inference": refused("jit.optimize_for_inference", "compile the module with weft.compile(module)"),
    "save": refused("jit.save", _FILES),
    "trace": refused("jit.trace", "write weft.compile(module), which traces it at its first call"),
    "trace_module": refused("jit.trace_module", "write weft.compile(module), which traces it at its first call"),
}  # fmt: skip
"""The attributes of ``weft.jit``."""


def attach(target: Callable[..., Any]) -> None:
    """Set the names as attributes of ``weft.jit``, which is a function in weft and a module in PyTorch."""
    for name, value in NAMES.items():
        setattr(target, name, value)
