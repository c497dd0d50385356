"""Levels: an active transform is an interpreter on top of the stack below, followed by a tape of its own.

``grad(f)`` within ``vmap`` within ``grad`` is a stack ``eager, tape, level, tape, level, tape, level, tape``. A tensor
of a level holds (``Held``) a tensor of the stack below; the level translates an op into ops on those. A tensor from
further below is a constant to the level's tape and is passed on, so that an outer gradient still sees it. So levels
never confuse the values that each of them differentiates or maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weft.autograd.engine import flow
from weft.autograd.mode import grad_mode, is_enabled
from weft.autograd.operands import edge_of
from weft.autograd.tape import Tape
from weft.dtypes import DType
from weft.errors import DTypeError, GradError, UnsupportedError, mistake
from weft.ops import OPS, Geometry, Interpreter, OpSpec, bind, interpreter_stack, interpreting
from weft.ops.registry.interpreters import modes, without_modes
from weft.tensors.tensor import Tensor


class Held:
    """The data of a level's tensor: a tensor of the stack below, with the data of the level.

    ``captured``: whether it was created outside of the transformed function, so that a write would be visible there.
    """

    __slots__ = ("captured", "dtype", "level", "shape", "value")

    dtype: DType
    shape: tuple[int, ...]

    def __init__(self, level: Level, value: Tensor, captured: bool = False) -> None:
        self.level = level
        self.value = value
        self.captured = captured
        self.dtype = value._data.dtype  # cached, since each op reads it
        self.shape = value._data.shape

    @property
    def device_name(self) -> str:
        """The name of the device."""
        return str(self.value.device)

    @property
    def _below(self) -> Any:
        if not self.level.entries:
            raise UnsupportedError(
                f"a tensor of a finished {self.level.name} is used outside of it, expected a result of the transformed "
                f"function; return the tensor from the function"
            )
        return self.value._data

    @property
    def geometry(self) -> Geometry:
        """The geometry of the elements."""
        geometry: Geometry = self._below.geometry
        return geometry

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the dimensions."""
        return self.geometry.strides

    @property
    def offset(self) -> int:
        """The offset of the first element in the storage."""
        return self.geometry.offset

    @property
    def storage(self) -> Any:
        """The storage of the held tensor."""
        return self._below.storage

    @property
    def alias(self) -> Any:
        """The identity that all views of one storage share."""
        return self._below.alias

    @property
    def version(self) -> int:
        """The number of in-place writes to the storage."""
        version: int = self.value._data.version
        return version

    def readable(self, where: str) -> Tensor:
        """Return the tensor whose elements the host may read; ``where`` names the caller in errors."""
        return self.value

    def detached(self) -> Held:
        """Return a value on the same memory without a history at any level."""
        return Held(self.level, self.value.detach(), self.captured)

    def differentiated(self) -> bool:
        """Return whether a level or a tape below computes derivatives of the value."""
        inner = self.value._data
        return self.value.requires_grad or (isinstance(inner, Held) and inner.differentiated())

    def printed(self) -> str:
        """Return the text of a tensor with this value."""
        return f"{self.level.name}({self.value!r})"

    def __repr__(self) -> str:
        return f"<{self.level.name} of {self.value._data!r}>"


class Level:
    """The base of levels, and the level of ``grad`` and ``vjp``: ops pass through, and its tape records them."""

    executes = True
    enables_grad = True
    """Whether the level's tape records in any outer grad mode, which then applies only to the stack below."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries = 0
        self._records_below = True

    @contextmanager
    def entered(self, rests: bool = False) -> Iterator[None]:
        """Push the level on the stack in a ``with`` block, with a tape that records unless it ``rests``.

        The level is entered again for its backward pass. Modes such as autocast stay on top of the stack: they apply to
        the ops of the function, not to the ops of the transform.
        """
        before, mode = self._records_below, is_enabled()
        above = () if rests else modes()
        self._records_below = mode or not self.enables_grad
        self.entries += 1
        try:
            with (
                grad_mode(mode or self.enables_grad),
                without_modes(),
                interpreting(*interpreter_stack(), self, LevelTape(self, rests), *above),
            ):
                yield
        finally:
            self.entries -= 1
            self._records_below = before

    # Between this level and the one below.

    def lift(self, tensor: Tensor, captured: bool = True) -> Held:
        """Return a tensor of the stack below as a constant of this level."""
        return Held(self, tensor, captured)

    def owns(self, tensor: Any) -> bool:
        """Return whether a tensor belongs to this level."""
        data = tensor._data
        return isinstance(data, Held) and data.level is self

    def to_level(self, tensor: Tensor) -> Tensor:
        """Return a tensor of this level unchanged, and any other tensor as a constant of this level."""
        return tensor if self.owns(tensor) else Tensor.wrap(self.lift(tensor))

    def below(self, tensor: Tensor) -> Tensor:
        """Return the tensor of the stack below that a tensor of this level holds; any other tensor unchanged."""
        held: Tensor = tensor._data.value if self.owns(tensor) else tensor
        return held

    def leaf(self, where: str, tensor: Any) -> Tensor:
        """Return a captured tensor as a leaf of this level's tape, which requires grad."""
        check_floating(where, tensor)
        return Tensor.wrap(self.lift(self.below(tensor))).requires_grad_()

    def flow(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor], leaves: Sequence[Tensor], keep: bool
    ) -> list[Tensor | None]:
        """Return the gradients of this level's leaves, as tensors of the stack below.

        This level's tape does not record the backward pass; the tapes below do.

        Args:
            outputs: tensors of this level.
            seeds: the gradients of the outputs.
            leaves: leaves of this level's tape.
            keep: whether the tape is kept for another backward pass.
        """
        pairs = [
            (edge, self.to_level(seed))
            for output, seed in zip(outputs, seeds, strict=True)
            if (edge := edge_of(output))
        ]
        ends = [edge_of(leaf) for leaf in leaves]
        with self.entered(rests=True):
            found = flow(
                [edge for edge, _ in pairs], [seed for _, seed in pairs], keep, True, {end for end in ends if end}
            )  # fmt: skip
            made = [None if end is None else found.get(end) for end in ends]
            return [None if value is None else self.below(value) for value in made]

    # The interpreter.

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on this level's values, by ops of the stack below."""
        if self._records_below or not is_enabled():
            return self.apply(op, operands, attributes, into, below)
        with grad_mode(False):  # the transform was called under no_grad: the stack below does not record
            return self.apply(op, operands, attributes, into, below)

    def apply(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op; ``process`` calls this in the grad mode of the stack below."""
        raw = values_of(operands)
        if into is not None:
            self.refuse_captured(op, into)
            below[-1].process(op, raw, attributes, values_of(into), below[:-1])
            return into
        outputs = below[-1].process(op, raw, attributes, None, below[:-1])
        captured = is_captured_view(op, operands, outputs)
        return tuple([Held(self, output, captured) for output in outputs])

    def refuse_captured(self, op: OpSpec, into: Sequence[Held]) -> None:
        """Raise ``UnsupportedError`` where a captured tensor would be written."""
        if any(target.captured for target in into):
            raise UnsupportedError(
                f"{op.name}: a captured tensor of the function that {self.name} transforms is written in place, "
                f"expected a tensor that is created inside; clone() it there, or return the new value"
            )


class LevelTape(Tape):
    """The tape of a level, to which tensors of other levels are constants."""

    def __init__(self, level: Level, rests: bool = False) -> None:
        self._level = level
        self._rests = rests

    @property
    def recording(self) -> bool:
        """Whether ops on tensors that require grad at this level are recorded."""
        return not self._rests and is_enabled()

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on tensors of this level, tensors of levels below, and Python scalars."""
        level = self._level
        inside = tuple(
            [level.to_level(operand) if isinstance(operand, Tensor) else operand for operand in operands]
        )
        if into is None:
            return super().process(op, inside, attributes, None, below)
        if self.recording and op.gradient is not None and any(edge_of(value) for value in inside):
            level.refuse_captured(op, [level.lift(target) for target in into if not level.owns(target)])
        super().process(op, inside, attributes, tuple([level.to_level(target) for target in into]), below)
        return into

    def adopt(self, tensor: Tensor) -> Tensor:
        """Return a new tensor with data from the host as a tensor that was created at this level."""
        return Tensor.wrap(self._level.lift(tensor, captured=False))


def values_of(operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return the tensors that a level's values hold; Python scalars unchanged."""
    return tuple([operand.value if isinstance(operand, Held) else operand for operand in operands])


def set_apart(values: Sequence[Any], targets: Sequence[Tensor]) -> tuple[Any, ...]:
    """Return the values, with copies of those that share memory with the targets and that gradients may read later."""
    aliases = {id(target._data.alias) for target in targets}

    def is_overwritten(value: Any) -> bool:
        return isinstance(value, Tensor) and id(value._data.alias) in aliases and _is_kept(value)

    return tuple([bind(OPS["copy"], value) if is_overwritten(value) else value for value in values])


def _is_kept(tensor: Tensor) -> bool:
    return tensor.requires_grad or (isinstance(tensor._data, Held) and tensor._data.differentiated())


def is_captured_view(op: OpSpec, operands: Sequence[Any], outputs: Sequence[Tensor]) -> bool:
    """Return whether an op has returned a view of a captured tensor."""
    if op.view is None or not operands[0].captured:
        return False
    same: bool = outputs[0]._data.alias is operands[0].value._data.alias
    return same


def check_floating(where: str, value: Any) -> None:
    """Raise ``GradError`` or ``DTypeError`` for a value that is no floating point tensor."""
    if not isinstance(value, Tensor):
        raise GradError(
            mistake(where, "a differentiated argument", f"of type {type(value).__name__}", "a tensor",
                    "choose others with argnums, or pass weft.tensor(...)")
        )  # fmt: skip
    if value.dtype.kind != "float":
        raise DTypeError(
            mistake(where, "a differentiated argument's dtype", value.dtype.name, "a floating point type",
                    "choose others with argnums, or convert it with .to(weft.float32)")
        )  # fmt: skip
