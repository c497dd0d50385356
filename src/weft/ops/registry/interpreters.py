"""``OpSpec``, ``bind`` and the interpreter stack.

Every op passes through ``bind(op, *operands, **attributes)``: operands are values (and Python scalars),
attributes are plain hashable data. The top interpreter of a context-local stack processes it and may pass it
down: the tape records and passes down; eager executes, tracing appends a node, abstract computes types only.
This floor knows values only by the ``Value`` protocol; upper floors register what implements it.
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
    """One way to carry out ops; ``executes`` is False at the bottom of a stack that computes no values."""

    executes: bool

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """The outputs of one op; ``into`` are values that take the outputs in place of new ones."""


_default: tuple[Interpreter, ...] = ()
_stack: ContextVar[tuple[Interpreter, ...] | None] = ContextVar("weft_interpreters", default=None)


Direct = Callable[[OpSpec, tuple[Any, ...], dict[str, Any], "tuple[Any, ...] | None"], Any]
"""Does an op on the default stack: its output, or a tuple where it has several."""


def _no_stack(*_: Any) -> Any:
    raise UnsupportedError("no interpreter is registered, expected one; import weft.tensors")


_direct: Direct = _no_stack


def set_default_stack(*interpreters: Interpreter, direct: Direct) -> None:
    """The stack of contexts that set none, bottom first; called once by the floor that executes.

    ``direct`` does in one step what the stack does.
    """
    global _default, _direct
    _default, _direct = interpreters, direct


def interpreter_stack() -> tuple[Interpreter, ...]:
    """The interpreters in force in this context, bottom first."""
    stack = _stack.get()
    if stack is not None:
        return stack
    if not _default:
        _no_stack()
    return _default


def set_context_stack(interpreters: tuple[Interpreter, ...] | None) -> tuple[Interpreter, ...] | None:
    """Use another stack in this context from now on, ``None`` for the default one; gives what was set before."""
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
    """An interpreter that changes what is asked for and not how it is carried out: autocast, say.

    Traces and recomputations are made under the modes that their cause was under, gradients under none.
    """

    mode: bool

    def afresh(self) -> Interpreter:
        """The same mode, without what it remembers of values."""

    def call(
        self, precision: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a function that is a whole to the mode."""

    def key(self) -> Any:
        """What tells the mode from others, as a key."""


def _is_mode(interpreter: Any) -> bool:
    return getattr(interpreter, "mode", False) is True


def modes() -> tuple[Any, ...]:
    """The modes in force in this context, each afresh, bottom first."""
    stack = _stack.get()
    found: list[Any] = [] if stack is None else [mode for mode in stack if _is_mode(mode)]
    return tuple([mode.afresh() for mode in found])


def mode_keys() -> tuple[Any, ...]:
    """What of the modes in force decides about a compiled program."""
    stack = _stack.get()
    found: list[Any] = [] if stack is None else [mode for mode in stack if _is_mode(mode)]
    return tuple([mode.key() for mode in found])


def top_mode() -> Any:
    """The uppermost mode in force, or ``None``."""
    stack = _stack.get()
    return (
        None
        if stack is None
        else next((interpreter for interpreter in reversed(stack) if _is_mode(interpreter)), None)
    )


@contextmanager
def without_modes() -> Iterator[None]:
    """Carry operations out as they are asked for, within this context."""
    stack = _stack.get()
    if stack is None or not any(map(_is_mode, stack)):
        yield
        return
    with interpreting(*[interpreter for interpreter in stack if not _is_mode(interpreter)]):
        yield


def untouched() -> bool:
    """Whether operations of this context are recorded and executed, and nothing else is done with them.

    Then an op may stand for several, for which other interpreters have rules.
    """
    return _stack.get() is None


def transforming() -> bool:
    """Whether a function is being transformed (``weft.func``): values are then those of a level, not of a device."""
    return any(hasattr(interpreter, "adopt") for interpreter in interpreter_stack())


def adopted(value: Any) -> Any:
    """A value that was filled from the host, as the interpreters in force see one that is made within them."""
    for interpreter in interpreter_stack():
        adopt = getattr(interpreter, "adopt", None)
        if adopt is not None:
            value = adopt(value)
    return value


@contextmanager
def executing() -> Iterator[None]:
    """Run operations within this context, inside of a trace too."""
    with interpreting(*_default):
        yield


@contextmanager
def together() -> Iterator[None]:
    """What is written in place within is written at its end, all of it or, where something fails, nothing.

    For steps that rewrite several tensors. Nothing may be read on the host within it. Interpreters whose bottom has
    no ``gathering`` (tracing, which writes nothing) take the ops as always.
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
    """Carry out an op: gives its output, or a tuple where it has several.

    ``into``: values that are overwritten with the outputs and returned. Errors carry the op's name; nothing is
    changed by a call that fails.
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
    """An op as the ops that it stands for, for which all interpreters have rules."""
    assert op.run is not None
    outputs = op.run(*operands, **attributes)
    if into is not None:
        for made, target in zip(outputs, into, strict=True):
            bind(lookup("cast"), made, dtype=target.dtype, into=(target,))
        outputs = into
    return outputs[0] if len(outputs) == 1 else outputs
