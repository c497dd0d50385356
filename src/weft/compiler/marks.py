"""``compiler.disable`` and its like: what programs say to ``torch.compile`` about single functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from weft.compiler.jit import JitFunction
from weft.ops import interpreter_stack

F = TypeVar("F", bound=Callable[..., Any])


def is_compiling() -> bool:
    """Whether the function that asks is traced, by ``weft.jit`` or ``weft.compile``.

    >>> import weft as wf
    >>> wf.compiler.is_compiling()
    False
    """
    return not interpreter_stack()[0].executes


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it was before ``weft.jit`` or ``weft.compile``; as a decorator too.

    weft compiles only what is given to these two. A function that is called inside of theirs is part of their graph:
    what cannot be (reading a value, say) raises there.
    """
    if fn is None:
        return disable
    return fn.__wrapped__ if isinstance(fn, JitFunction) else getattr(fn, "_orig_mod", fn)


def allow_in_graph(fn: F) -> F:
    """The function itself: every function is part of the graph that calls it."""
    return fn


def assume_constant_result(fn: F) -> F:
    """The function itself, whose plain results are constants of the graph anyway."""
    return fn


def reset() -> None:
    """Accept the call; ``clear_cache()`` of a jitted function forgets its programs."""


def cudagraph_mark_step_begin() -> None:
    """Accept the call: results do not lie in memory that the next step uses."""
