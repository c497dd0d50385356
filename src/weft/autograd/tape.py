"""The tape: the interpreter that unwraps tensors, passes the op down, and records what ``backward`` needs.

The tape also keeps the histories of views. A view knows its base and the path of view ops from there. A write in place
through a view gives the base a new history (``update_view``), and each view of that base rebuilds its history from the
base's when it is next read (``TensorBase.edge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weft.autograd.base import TensorBase, View
from weft.autograd.direct import carry_out
from weft.autograd.mode import is_enabled
from weft.autograd.node import Edge, GradientNode
from weft.autograd.operands import edge_of, type_of
from weft.autograd.wrapping import wrap
from weft.errors import GradError
from weft.ops import OPS, Interpreter, OpSpec, TensorType, set_default_stack
from weft.tensors.array import type_of_data
from weft.tensors.eager import EAGER

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class Tape:
    """Records differentiable ops while grad mode is on."""

    executes = True

    @property
    def recording(self) -> bool:
        """Whether ops of operands that require grad are recorded in this context."""
        return is_enabled()

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on tensors and Python scalars; ``into`` tensors are overwritten and returned."""
        recording = self.recording
        if op.view is not None and into is None:
            return (self._process_view(op, operands, attributes, below, recording),)
        raw = tuple([operand._data if isinstance(operand, TensorBase) else operand for operand in operands])
        if into is not None:
            return self._process_into(op, operands, raw, attributes, into, below, recording)
        outputs = below[-1].process(op, raw, attributes, None, below[:-1])
        node = None
        if recording and op.gradient is not None:
            for operand in operands:
                if isinstance(operand, TensorBase) and (
                    operand._edge is not None or operand._leaf_requires_grad or operand._view is not None
                ):
                    edges = [edge_of(o) for o in operands]
                    if any(edges):
                        node = record(op, operands, attributes, edges, outputs)
                    break
        if node is None:
            if len(outputs) == 1:
                return (wrap(outputs[0]),)
            return tuple([wrap(data) for data in outputs])
        return tuple(
            [wrap(data, Edge(node, i) if node.differentiable(i) else None) for i, data in enumerate(outputs)]
        )

    def _process_view(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        below: tuple[Interpreter, ...],
        recording: bool,
    ) -> Tensor:
        """Return a view, with its base and the path from there."""
        (source,) = operands
        given = source._data
        (data,) = below[-1].process(op, (given,), attributes, None, below[:-1])
        edge = None
        if recording and op.gradient is not None:
            origin = edge_of(source)
            if origin is not None:
                node = record(op, operands, attributes, (origin,), (data,))
                edge = Edge(node, 0) if node.differentiable(0) else None
        result = wrap(data, edge)
        if data.alias is given.alias:
            outer = source._view
            base, path = (source, ()) if outer is None else (outer.base, outer.path)
            untracked = not recording or (outer is not None and outer.untracked)
            result._view = View(base, (*path, (op.name, tuple(attributes.items()))), untracked)
            result._generation = base._generation
        return result

    def _process_into(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        raw: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Tensor, ...],
        below: tuple[Interpreter, ...],
        recording: bool,
    ) -> tuple[Any, ...]:
        edges: Sequence[Edge | None] = ()
        node = None
        if recording:
            for target in into:
                _refuse_leaf(op, target)
            edges = [edge_of(o) for o in operands] if op.gradient is not None else ()
            if any(edges):
                saved = _operands_to_save(op, operands, edges, into, below)
                node = record(op, saved, attributes, edges, None, tuple(type_of(t) for t in into))
        bases = [(_base(target), edge_of(_base(target))) if recording else None for target in into]
        outputs = below[-1].process(op, raw, attributes, tuple(target._data for target in into), below[:-1])
        if node is not None and op.saves_output:
            node.save_outputs(outputs)
        for index, (target, base) in enumerate(zip(into, bases, strict=True)):
            if base is not None:
                value = Edge(node, index) if node is not None and node.differentiable(index) else None
                _rebase(target, base[0], base[1], value)
        return into


def _operands_to_save(
    op: OpSpec,
    operands: tuple[Any, ...],
    edges: Sequence[Edge | None],
    into: tuple[Tensor, ...],
    below: tuple[Interpreter, ...],
) -> tuple[Any, ...]:
    """Return the operands as the gradient reads them: copies of those that the call overwrites, as in PyTorch."""
    saved = op.saved(tuple([edge is not None for edge in edges]))
    result = list(operands)
    for index in saved:
        if any(operands[index] is target for target in into):
            (copy,) = below[-1].process(OPS["copy"], (operands[index]._data,), {}, None, below[:-1])
            result[index] = wrap(copy)
    return tuple(result)


def record(
    op: OpSpec,
    operands: Sequence[Any],
    attributes: dict[str, Any],
    edges: Sequence[Edge | None],
    outputs: Sequence[Any] | None,
    output_types: tuple[TensorType, ...] = (),
) -> GradientNode:
    """Return a node for an op call, with the tensors saved that its gradient reads."""
    if outputs is not None:
        output_types = tuple([type_of_data(data) for data in outputs])
    node = GradientNode(op, attributes, edges, tuple([type_of(o) for o in operands]), output_types)
    node.save(operands, edges)
    if outputs is not None and op.saves_output:
        node.save_outputs(outputs)
    return node


def _base(target: Tensor) -> Tensor:
    """Return the base of a view, or the tensor itself."""
    return target if target._view is None else target._view.base


def _refuse_leaf(op: OpSpec, target: Tensor) -> None:
    """Raise ``GradError`` for a recorded write into a leaf, or into a view that was made under ``no_grad``."""
    base = _base(target)
    if base._leaf_requires_grad and base._edge is None:
        written = "a leaf tensor" if base is target else "a view of a leaf tensor"
        raise GradError(
            f"{op.name}: {written} that requires grad is written in place, expected a tensor with history or no_grad; "
            f"wrap the update in `with weft.no_grad():`"
        )
    if target._view is not None and target._view.untracked and edge_of(base) is not None:
        raise GradError(
            f"{op.name}: a view made under no_grad is written in place with grad mode on; make the view anew"
        )


def _rebase(target: Tensor, base: Tensor, base_edge: Edge | None, value: Edge | None) -> None:
    """Give the base (and through it its views) the history of a write through ``target``."""
    if base_edge is None and value is None:
        return
    if target is base and value is not None:
        base._edge = value
    else:  # a view, or a value without history: the gradient of the overwritten elements is 0
        path = () if target._view is None else target._view.path
        types = (type_of(base), type_of(target))
        update = GradientNode(OPS["update_view"], {"path": path}, (base_edge, value), types, types[:1])
        base._edge = Edge(update, 0)
    if base_edge is not None and isinstance(base_edge.node, GradientNode):
        # retain_grad() means the gradient of the value after the write
        retained = base_edge.node.retains.pop(base_edge.output, None)
        if retained is not None and isinstance(base._edge.node, GradientNode):
            base._edge.node.retains[base._edge.output] = retained
    base._generation += 1


set_default_stack(EAGER, Tape(), direct=carry_out)
