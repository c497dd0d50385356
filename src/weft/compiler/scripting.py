"""What ``torch.jit`` has beside: scripting, which weft does not need. The names are attributes of ``weft.jit``.

TorchScript compiles Python's text so that models run without Python and faster. Here the function stays Python, and
what makes it fast is ``weft.jit`` or ``weft.compile``; so the decorators give the function back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from weft.absent import refused
from weft.nn.module import Module

F = TypeVar("F")

Attribute = Any
"""PyTorch's mark of a scripted class's attribute."""


def script(obj: F, *_: Any, **__: Any) -> F:
    """The function, class or module itself, which stays Python; compile it with ``weft.jit`` or ``weft.compile``."""
    return obj


def script_if_tracing(fn: F) -> F:
    """The function itself."""
    return fn


def export(fn: F) -> F:
    """The method itself."""
    return fn


def ignore(drop: Any = False, **_: Any) -> Any:
    """The method itself: ``@ignore`` and ``@ignore()`` mark what TorchScript leaves to Python, as all is here."""
    return drop if callable(drop) else unused


def unused(fn: F) -> F:
    """The method itself."""
    return fn


def is_scripting() -> bool:
    """Whether TorchScript compiles the function: False."""
    return False


def is_tracing() -> bool:
    """Whether TorchScript traces the function: False; ``weft.compiler.is_compiling`` tells of ``weft.jit``."""
    return False


def annotate(the_type: Any, the_value: F) -> F:
    """The value."""
    return the_value


def interface(obj: F) -> F:
    """The class itself."""
    return obj


class ScriptModule(Module):
    """TorchScript's modules, for programs that ask whether a module is one of them: none is."""

    def __init__(self) -> None:
        refused("jit.ScriptModule", "modules stay Python; derive from weft.nn.Module")()


class ScriptFunction:
    """TorchScript's functions, for programs that ask whether a function is one of them: none is."""

    def __init__(self, *_: Any) -> None:
        refused("jit.ScriptFunction", "functions stay Python")()


_FILES = "weft writes no TorchScript; save parameters with weft.save, a compiled call with weft.jit(f).plan(…).save"

NAMES: dict[str, Any] = {
    "Attribute": Attribute, "Final": Final, "RecursiveScriptModule": ScriptModule, "ScriptFunction": ScriptFunction,
    "ScriptModule": ScriptModule, "annotate": annotate, "export": export, "ignore": ignore, "interface": interface,
    "is_scripting": is_scripting, "is_tracing": is_tracing, "script": script, "script_if_tracing": script_if_tracing,
    "unused": unused,
    "freeze": refused("jit.freeze", "modules stay Python; compile one with weft.compile(module)"),
    "load": refused("jit.load", _FILES),
    "optimize_for_inference": refused("jit.optimize_for_inference", "compile the module with weft.compile(module)"),
    "save": refused("jit.save", _FILES),
    "trace": refused("jit.trace", "write weft.compile(module), which traces it at its first call"),
    "trace_module": refused("jit.trace_module", "write weft.compile(module), which traces it at its first call"),
}  # fmt: skip
"""The attributes of ``weft.jit``."""


def attach(target: Callable[..., Any]) -> None:
    """Make the names attributes of ``weft.jit``, which is a function here and a module in PyTorch."""
    for name, value in NAMES.items():
        setattr(target, name, value)
