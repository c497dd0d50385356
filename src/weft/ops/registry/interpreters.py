"""``bind`` and the interpreter stack.

Every op passes through ``bind(op, *operands, **attributes)``. Operands are values and Python scalars; attributes are
plain hashable data. The top interpreter of a context-local stack processes the op and may pass it down: the tape
records and passes down, eager mode executes, tracing appends a node, the abstract interpreter computes types only. This
floor knows values only by the ``Value`` protocol; upper floors implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from weft.errors import UnsupportedError
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup


class Interpreter(Protocol):
    """A way to carry out ops; ``executes`` is False at the bottom of a stack that computes no values."""

    executes: bool

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Return the outputs of an op; ``into`` are values that are overwritten with the outputs."""


_default: tuple[Interpreter, ...] = ()
_stack: ContextVar[tuple[Interpreter, ...] | None] = ContextVar("weft_interpreters", default=None)


Direct = Callable[[OpSpec, tuple[Any, ...], dict[str, Any], "tuple[Any, ...] | None"], Any]
"""Carries out an op on the default stack and returns its output, or a tuple of several outputs."""


def _no_stack(*_: Any) -> Any:
    raise UnsupportedError("no interpreter is registered, expected one; import weft.tensors")


_direct: Direct = _no_stack


def set_default_stack(*interpreters: Interpreter, direct: Direct) -> None:
    """Set the default stack, bottom first; called once, by the floor that executes ops.

    ``direct`` carries out an op with the effect of the default stack, in one step.
    """
    global _default, _direct
    _default, _direct = interpreters, direct


def interpreter_stack() -> tuple[Interpreter, ...]:
    """Return the interpreters of this context, bottom first."""
    stack = _stack.get()
    if stack is not None:
        return stack
    if not _default:
        _no_stack()
    return _default


def set_context_stack(interpreters: tuple[Interpreter, ...] | None) -> tuple[Interpreter, ...] | None:
    """Set the stack of this context, ``None`` for the default stack; return the stack that was set before."""
    before = _stack.get()
    _stack.set(interpreters)
    return before


@contextmanager
def interpreting(*interpreters: Interpreter) -> Iterator[None]:
    """Use another stack, bottom first, within this context."""
    before = _stack.get()
    try:  # around the change too: Ctrl-C may come right behind it
        _stack.set(interpreters)
        yield
    finally:
        _stack.set(before)


class Mode(Protocol):
    """An interpreter that changes which ops are bound, and not how ops are carried out: autocast, for example.

    Traces and recomputations run under the modes of the call that they are made for, gradients under no mode.
    """

    mode: bool

    def afresh(self) -> Interpreter:
        """Return the same mode without its caches."""

    def call(
        self, precision: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a function whose arguments, rather than the operands of its ops, are converted to ``precision``."""

    def key(self) -> Any:
        """Return a hashable key; modes of equal keys have the same effect."""


def _is_mode(interpreter: Any) -> bool:
    return getattr(interpreter, "mode", False) is True


def modes() -> tuple[Any, ...]:
    """Return the modes of this context without their caches, bottom first."""
    stack = _stack.get()
    found: list[Any] = [] if stack is None else [mode for mode in stack if _is_mode(mode)]
    return tuple([mode.afresh() for mode in found])


def mode_keys() -> tuple[Any, ...]:
    """Return the keys of the modes of this context, on which compiled programs depend."""
    stack = _stack.get()
    found: list[Any] = [] if stack is None else [mode for mode in stack if _is_mode(mode)]
    return tuple([mode.key() for mode in found])


def top_mode() -> Any:
    """Return the top mode of this context, or ``None``."""
    stack = _stack.get()
    return (
        None
        if stack is None
        else next((interpreter for interpreter in reversed(stack) if _is_mode(interpreter)), None)
    )


@contextmanager
def without_modes() -> Iterator[None]:
    """Run the body of a ``with`` statement under no mode."""
    stack = _stack.get()
    if stack is None or not any(map(_is_mode, stack)):
        yield
        return
    with interpreting(*[interpreter for interpreter in stack if not _is_mode(interpreter)]):
        yield


def on_default_stack() -> bool:
    """Return whether this context has the default stack, which records and executes ops and does nothing else.

    Fused ops are bound on the default stack alone; other interpreters have rules for the ops that a fused op stands
    for.
    """
    return _stack.get() is None


def transforming() -> bool:
    """Return whether a function is being transformed (``weft.func``), so that values are those of the transform."""
    return any(hasattr(interpreter, "adopt") for interpreter in interpreter_stack())


def lifted(value: Any) -> Any:
    """Return a value that was filled from the host as the interpreters of this context represent values."""
    for interpreter in interpreter_stack():
        adopt = getattr(interpreter, "adopt", None)
        if adopt is not None:
            value = adopt(value)
    return value


@contextmanager
def executing() -> Iterator[None]:
    """Run the body of a ``with`` statement on the default stack, also within a trace."""
    with interpreting(*_default):
        yield


@contextmanager
def atomic_writes() -> Iterator[None]:
    """Make the in-place writes in the body of a ``with`` statement atomic: all at its end, or none on an error.

    For steps that overwrite several tensors. The body must not read values on the host. A stack whose bottom has no
    ``gathering`` (tracing, which writes nothing) carries out the ops as usual.
    """
    stack = interpreter_stack()
    gathering = getattr(stack[0], "gathering", None)
    if gathering is None:
        yield
        return
    gathered = gathering()
    with interpreting(gathered, *stack[1:]):
        yield
    gathered.finish()


def bind(op: OpSpec, *operands: Any, into: tuple[Any, ...] | None = None, **attributes: Any) -> Any:
    """Carry out an op and return its output, or a tuple of several outputs.

    ``into`` are values that are overwritten with the outputs and returned. Errors carry the op's name, and a call that
    fails changes nothing.
    """
    stack = _stack.get()
    if stack is None:
        return _direct(op, operands, attributes, into)
    if op.fused:
        return _unfused(op, operands, attributes, into)
    outputs = stack[-1].process(op, operands, attributes, into, stack[:-1])
    return outputs[0] if len(outputs) == 1 else outputs


def _unfused(
    op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None
) -> Any:
    """Carry out a fused op as the ops that it stands for, for which all interpreters have rules."""
    assert op.run is not None
    outputs = op.run(*operands, **attributes)
    if into is not None:
        for made, target in zip(outputs, into, strict=True):
            bind(lookup("cast"), made, dtype=target.dtype, into=(target,))
        outputs = into
    return outputs[0] if len(outputs) == 1 else outputs
