"""``jvp``: forward-mode derivatives. A tensor of this level carries a tangent, and an op computes value and tangent.

The tangent belongs to memory, not to a tensor: a *cell* holds the tangent of an op's result, and the tangent of a view
is the same view of the cell's tangent. So a write through a view changes the tangents of other views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import ArgumentTypeError, mistake
from weft.func.forward_rules import ForwardCall, rule_of
from weft.func.level import Held, Level, check_floating, is_captured_view, set_apart, values_of
from weft.func.reverse import filled_like, outside
from weft.func.trees import matching, tensors_of, with_aux
from weft.ops import OPS, Interpreter, OpSpec, TensorType, bind, interpreting
from weft.ops.registry.targets import check_targets
from weft.ops.views.ops import Path, apply_path
from weft.tensors.tensor import Tensor

Function = Callable[..., Any]


class Cell:
    """The tangent of an op's result, ``None`` where it is zero, and the type of the result."""

    __slots__ = ("tangent", "type")

    def __init__(self, type_: TensorType, tangent: Tensor | None) -> None:
        self.type = type_
        self.tangent = tangent


class Dual(Held):
    """A dual tensor: a tensor of the stack below, and its tangent as a view (``path``) of its cell's tangent."""

    __slots__ = ("cell", "path")

    level: Forward

    def __init__(
        self, level: Forward, value: Tensor, cell: Cell, path: Path = (), captured: bool = False
    ) -> None:
        super().__init__(level, value, captured)
        self.cell = cell
        self.path = path

    def tangent(self) -> Tensor | None:
        """Return the present tangent as a tensor of the stack below, which must be the active stack."""
        tangent = self.cell.tangent
        if tangent is None or not self.path:
            return tangent
        seen: Tensor = apply_path(
            tangent if tangent.is_contiguous() else bind(OPS["copy"], tangent), self.path
        )
        return seen

    def write(self, tangent: Tensor | None) -> None:
        """Replace the tangent; the cell gets a new tensor, so that other cells' tangents do not change."""
        cell = self.cell
        if not self.path:
            cell.tangent = tangent
            return
        if cell.tangent is None and tangent is None:
            return
        base = zeros(cell.type, self.value) if cell.tangent is None else cell.tangent
        part = zeros(TensorType(self.shape, self.dtype), self.value) if tangent is None else tangent
        cell.tangent = bind(OPS["update_view"], base, part, path=self.path)

    def differentiated(self) -> bool:
        """Return whether this level or a level below computes derivatives of the value."""
        return self.cell.tangent is not None or super().differentiated()

    def detached(self) -> Dual:
        """Return a tensor on the same memory without a tangent."""
        return self.level.lift(self.value.detach(), self.captured)


class Forward(Level):
    """The level of forward mode: runs an op on the values, and the op's rule (``forward_rules.py``) on the tangents."""

    enables_grad = False

    def lift(self, tensor: Tensor, captured: bool = True) -> Dual:
        """Return a tensor of the stack below as a dual tensor with a zero tangent."""
        return self.dual(tensor, None, captured)

    def dual(self, tensor: Tensor, tangent: Tensor | None, captured: bool = False) -> Dual:
        """Return a dual tensor of a tensor of the stack below and its tangent."""
        return Dual(self, tensor, Cell(TensorType(tensor.shape, tensor.dtype), tangent), (), captured)

    def tangent_of(self, tensor: Tensor) -> Tensor:
        """Return the tangent of a tensor as a tensor of the stack below; to be called outside of the level."""
        found = tensor._data.tangent() if self.owns(tensor) else None
        return filled_like(self.below(tensor), 0) if found is None else found

    def apply(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on values and tangents."""
        values = values_of(operands)
        with interpreting(*below):
            tangents = [operand.tangent() if isinstance(operand, Dual) else None for operand in operands]
            moved = op.gradient is not None and any(tangent is not None for tangent in tangents)
            if into is not None:
                return self._write(op, values, tangents if moved else None, attributes, into, below)
            outputs = below[-1].process(op, values, attributes, None, below[:-1])
            source = operands[0] if op.view is not None else None
            if source is not None and outputs[0]._data.alias is source.value._data.alias:
                path = (*source.path, (op.name, tuple(attributes.items())))
                captured = is_captured_view(op, operands, outputs)
                return (Dual(self, outputs[0], source.cell, path, captured),)
            found = _moved(op, values, tangents, outputs, attributes) if moved else [None] * len(outputs)
            return tuple([self.dual(output, tangent) for output, tangent in zip(outputs, found, strict=True)])

    def _write(
        self,
        op: OpSpec,
        values: tuple[Any, ...],
        tangents: list[Tensor | None] | None,
        attributes: dict[str, Any],
        into: tuple[Dual, ...],
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op into targets; the tangents are computed before the values are overwritten."""
        self.refuse_captured(op, into)
        targets = values_of(into)
        if tangents is None:
            below[-1].process(op, values, attributes, targets, below[:-1])
            for target in into:
                target.write(None)
            return into
        values = set_apart(values, targets)
        outputs = below[-1].process(op, values, attributes, None, below[:-1])
        check_targets(op, [TensorType(output.shape, output.dtype) for output in outputs], into)
        found = _moved(op, values, tangents, outputs, attributes)
        for target, output, tangent in zip(into, outputs, found, strict=True):
            bind(OPS["cast"], output, dtype=target.dtype, into=(target.value,))
            if tangent is not None and tangent.dtype is not target.dtype:
                tangent = bind(OPS["cast"], tangent, dtype=target.dtype)
            target.write(tangent)
        return into


def zeros(type_: TensorType, like: Tensor) -> Tensor:
    """Return zeros of a type on the device of another tensor."""
    made: Tensor = bind(OPS["full"], 0, shape=type_.shape, dtype=type_.dtype, device=str(like.device))
    return made


def _moved(
    op: OpSpec,
    values: Sequence[Any],
    tangents: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    attributes: dict[str, Any],
) -> Sequence[Tensor | None]:
    return rule_of(op)(ForwardCall(op, values, tangents, outputs, attributes))


def jvp(func: Function, primals: Any, tangents: Any, *, has_aux: bool = False) -> tuple[Any, ...]:
    """Return ``func(*primals)`` and its derivative in the direction of ``tangents``, as ``torch.func.jvp``.

    Args:
        func: a function of trees of tensors that returns a tree of tensors.
        primals: a tuple of arguments, trees of floating point tensors.
        tangents: a tuple of the same structure, shapes and types.
        has_aux: ``func`` returns a pair (output, aux), and ``aux`` is returned undifferentiated.

    Returns:
        (output, derivative), or (output, derivative, aux); the derivative has the structure and shapes of the output.

    Raises:
        ArgumentTypeError: primals and tangents differ in structure.
        ShapeError: they differ in shapes.
        DTypeError: a primal is not floating point.

    >>> import weft as wf
    >>> x, v = wf.tensor([1.0, 2.0]), wf.tensor([1.0, 0.0])
    >>> wf.func.jvp(lambda x: x * x, (x,), (v,))
    (tensor([1., 4.]), tensor([2., 0.]))
    >>> wf.func.jvp(wf.func.grad(lambda x: (x**3).sum()), (x,), (v,))
    (tensor([ 3., 12.]), tensor([6., 0.]))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise ArgumentTypeError(
                mistake(
                    "jvp", name, f"of type {type(given).__name__}", "a tuple, one entry for each argument"
                )
            )
    values, rebuild = tensors_of("jvp", "primals", primals)
    for value in values:
        check_floating("jvp", value)
    directions = matching("jvp", "tangents", tangents, primals)
    level = Forward("jvp")
    duals = [
        Tensor.wrap(level.dual(value, direction)) for value, direction in zip(values, directions, strict=True)
    ]
    with level.entered():
        result, aux = with_aux("jvp", func(*rebuild(duals)), has_aux)
        outputs, rebuild_result = tensors_of("jvp", "the function's result", result)
    output = rebuild_result([level.below(output) for output in outputs])
    derivative = rebuild_result([level.tangent_of(output) for output in outputs])
    return (output, derivative, outside(level, aux)) if has_aux else (output, derivative)
