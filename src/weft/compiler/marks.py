"""``compiler.disable`` and other annotations of ``torch.compiler`` for single functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from weft.compiler.jit import JitFunction
from weft.ops import interpreter_stack

F = TypeVar("F", bound=Callable[..., Any])


def is_compiling() -> bool:
    """Return whether the calling function is being traced by ``weft.jit`` or ``weft.compile``.

    >>> import weft as wf
    >>> wf.compiler.is_compiling()
    False
    """
    return not interpreter_stack()[0].executes


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Return the original function of a jitted or compiled function; may be used as a decorator.

    weft compiles only functions that are passed to ``jit`` or ``compile``. A function that a compiled function calls is
    traced with it: an operation that cannot be traced (such as reading a value) raises there.

    >>> import weft as wf
    >>> doubled = wf.jit(lambda x: x * 2)
    >>> wf.compiler.disable(doubled)(21)
    42
    """
    if fn is None:
        return disable
    return fn.__wrapped__ if isinstance(fn, JitFunction) else getattr(fn, "_orig_mod", fn)


def allow_in_graph(fn: F) -> F:
    """Return the function itself: a traced function traces every function that it calls.

    >>> import weft as wf
    >>> wf.compiler.allow_in_graph(abs) is abs
    True
    """
    return fn


def assume_constant_result(fn: F) -> F:
    """Return the function itself: its Python results are constants of the graph in any case.

    >>> import weft as wf
    >>> wf.compiler.assume_constant_result(abs) is abs
    True
    """
    return fn


def reset() -> None:
    """Do nothing; ``clear_cache()`` of a jitted function removes its programs."""


def cudagraph_mark_step_begin() -> None:
    """Do nothing: the next step never overwrites the memory of results."""
