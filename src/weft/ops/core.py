"""``OpSpec``, ``bind`` and the interpreter stack.

Every op passes through ``bind(op, *operands, **attributes)``: operands are values (and Python scalars),
attributes are plain hashable data. The top interpreter of a context-local stack processes it and may pass it
down: the tape records and passes down; eager executes, tracing appends a node, abstract computes types only.
This floor knows values only by the ``Value`` protocol; upper floors register what implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from weft.dtypes import DType
from weft.errors import UnsupportedError, WeftError
from weft.kernels import Operand, Program
from weft.ops.geometry import Geometry
from weft.ops.rules import NONE, Rules
from weft.target import TargetProfile


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of a tensor without its data; a Python scalar operand has ``shape None``."""

    shape: tuple[int, ...]
    dtype: DType
    scalar: bool = False

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


@runtime_checkable
class Value(Protocol):
    """What ops take and give: a tensor, an array on a device, a traced or an abstract value."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""

    @property
    def dtype(self) -> DType:
        """Element type."""


class Gradient(Protocol):
    """What a gradient rule is given: the op call that it differentiates."""

    types: tuple[TensorType, ...]
    """Types of the operands."""
    output_types: tuple[TensorType, ...]
    needs: tuple[bool, ...]
    """Which operands' gradients are wanted."""
    attributes: dict[str, Any]

    def input(self, index: int) -> Any:
        """Operand ``index``, which the op declares in ``saves``; a Python scalar as it was given."""

    def output(self, index: int = 0) -> Any:
        """Output ``index``; the op declares ``saves_output``."""


Infer = Callable[..., "tuple[TensorType, ...]"]
Lower = Callable[[Sequence[Operand], Sequence[Operand], dict[str, Any], TargetProfile], Program]
View = Callable[..., "Geometry | None"]


@dataclass(frozen=True, eq=False)
class OpSpec:
    """One operation, declared once.

    ``infer(*types, **attributes)`` gives the outputs' types and raises on mistakes. ``lower`` gives the kernels;
    a *view* op has ``view(geometry, **attributes)`` instead, ``None`` where the view needs a copy first.
    ``reference(*arrays, **attributes)`` is the same in NumPy. ``gradient(context, *grads)`` gives one gradient
    or ``None`` per operand and may read the operands in ``saves`` and, with ``saves_output``, the outputs. ``saves``
    may be a function from which operands' gradients are wanted to the operands that these read.
    ``joint_gradient(operand_type, calls)`` gives the gradient of one operand for all calls of the op on it, each its
    attributes and the gradient of its output, where that costs less than the sum of theirs.
    ``rules`` names how the transforms above the op table treat it.
    ``elementwise`` ops may write over an operand. ``overwrites``: operands that may be the targets themselves, in
    order; ``lower`` then gets the target in the operand's place, and need not copy what stays as it is. ``reports``
    names the operand whose indices the kernel checks. ``run(*operands, **attributes)`` does an op that is made of
    others, by binding them: one that has no ``lower``, or whose tensors are too large for its own kernels.
    ``parts(shape, **attributes)``: for an op that gives several views of its operand, the paths of view ops to them.
    ``host``: it has no kernels; ``reference`` computes it on the host, from the operands' values, so that it cannot be
    traced.
    ``dense``: operands must lie in row-major order from the beginning of their storage, and are copied where they
    do not. ``attributes``: names and types of the attributes, where the annotations of ``infer`` or ``view`` do not say
    them (``attribute_types`` reads both); several where a call has one set of them or another.
    """

    name: str
    infer: Infer
    reference: Callable[..., Any]
    rules: Rules = NONE
    lower: Lower | None = None
    run: Callable[..., tuple[Any, ...]] | None = None
    view: View | None = None
    parts: Callable[..., Sequence[Any]] | None = None
    gradient: Callable[..., Sequence[Any]] | None = None
    joint_gradient: Callable[[TensorType, Sequence[tuple[dict[str, Any], Any]]], Any] | None = None
    saves: tuple[int, ...] | Callable[[tuple[bool, ...]], tuple[int, ...]] = ()
    saves_output: bool = False
    constants: tuple[int, ...] = ()
    elementwise: bool = False
    overwrites: tuple[int, ...] = ()
    host: bool = False
    dense: bool = False
    random: bool = False
    reports: str = ""
    attributes: tuple[Mapping[str, Any], ...] = ()
    doc: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    plain: bool = field(init=False, default=False)
    """Whether it is done by its kernels, on operands as they lie."""
    fused: bool = field(init=False, default=False)
    """Whether it stands for several ops, so that eager mode has one call; where more is done they are bound instead."""

    def __post_init__(self) -> None:
        composed = self.run is not None and self.lower is None
        special = self.dense or self.host or self.name == "transfer"
        plain = self.view is None and not composed and not special
        object.__setattr__(self, "plain", plain)
        whole = self.lower is not None or self.parts is not None
        object.__setattr__(self, "fused", self.run is not None and whole)

    def saved(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        """The operands that the gradient reads when those in ``needs`` are wanted."""
        return self.saves(needs) if callable(self.saves) else self.saves

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from weft.ops.table import lookup

        return (lookup, (self.name,))


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
    return () if stack is None else tuple([one.afresh() for one in stack if _is_mode(one)])  # type: ignore[attr-defined]


def mode_keys() -> tuple[Any, ...]:
    """What of the modes in force decides about a compiled program."""
    stack = _stack.get()
    return () if stack is None else tuple([one.key() for one in stack if _is_mode(one)])  # type: ignore[attr-defined]


def top_mode() -> Any:
    """The uppermost mode in force, or ``None``."""
    stack = _stack.get()
    return None if stack is None else next((one for one in reversed(stack) if _is_mode(one)), None)


@contextmanager
def without_modes() -> Iterator[None]:
    """Carry operations out as they are asked for, within this context."""
    stack = _stack.get()
    if stack is None or not any(map(_is_mode, stack)):
        yield
        return
    with interpreting(*[one for one in stack if not _is_mode(one)]):
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
    from weft.ops.table import lookup

    assert op.run is not None
    outputs = op.run(*operands, **attributes)
    if into is not None:
        for made, target in zip(outputs, into, strict=True):
            bind(lookup("cast"), made, dtype=target.dtype, into=(target,))
        outputs = into
    return outputs[0] if len(outputs) == 1 else outputs


def user_error(error: WeftError, op: OpSpec) -> WeftError:
    """The same error with the op's name in front, where it names no op or public function yet."""
    from weft.ops.functions import FUNCTIONS

    text = str(error)
    head = text.partition(":")[0]
    return error if head == op.name or head in FUNCTIONS else type(error)(f"{op.name}: {text}")
