"""The fast path of the default stack: prepared calls and views, without a pass through ``Tape`` and ``Eager``.

The op, its attributes and the layouts of its operands are the key of a prepared call, which allocates and dispatches
(``Prepared.run``), or of the geometry of a view. All other calls (a first call, a device that is observed, a write
whose history the tape keeps) pass the interpreters, with the same results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.autograd.base import View
from weft.autograd.mode import is_enabled
from weft.autograd.node import Edge, GradientNode
from weft.autograd.operands import edge_of
from weft.autograd.wrapping import wrap
from weft.devices import means
from weft.ops import OPS, OpSpec, interpreter_stack
from weft.tensors.array import Array, type_of_data
from weft.tensors.eager import EAGER

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

_PREPARED = EAGER.prepared
_VIEWS = EAGER.views
_WRITES = EAGER.writes
_NUMBERS = frozenset((float, int, bool))


def carry_out(op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: Any) -> Any:
    """Run an op on the default stack; return its output, or a tuple where it has several."""
    if into is not None:
        return _write(op, operands, attributes, into)
    if not op.plain:
        if op.view is not None:
            return _view(op, operands, attributes)
        return (
            _interpreted(op, operands, attributes, None)
            if op.parts is None
            else _parts(op, operands[0], attributes)
        )
    key: list[Any] = [op, tuple(attributes.items()) if attributes else ()]
    values, tracked = [], False
    try:
        for operand in operands:
            kind = type(operand)
            if kind in _NUMBERS:
                values.append(operand)
                key.append(kind)
            else:
                data = operand._data
                values.append(data)
                key.append(data.key)
                if operand._edge is not None or operand._leaf_requires_grad or operand._view is not None:
                    tracked = True
        known = _PREPARED[tuple(key)]
    except (KeyError, AttributeError, TypeError):  # not prepared, or no operands of this stack
        return _interpreted(op, operands, attributes, None)
    if attributes and "device" in attributes:
        device = known.device
        if not device.direct or not means(
            attributes["device"], device
        ):  # the name may mean another device now
            return _interpreted(op, operands, attributes, None)
    made = EAGER.run_prepared(known, op, values, attributes, None)
    node = None
    if tracked and op.gradient is not None and is_enabled():
        edges = tuple([edge_of(operand) for operand in operands])
        if any(edges):
            node = GradientNode(op, attributes, edges, known.types, known.output_types)
            node.save(operands, edges)
            if op.saves_output:
                node.save_outputs(made)
    if len(made) == 1:
        return wrap(made[0], None if node is None or not node.differentiable(0) else Edge(node, 0))
    if node is None:
        return tuple([wrap(data, None) for data in made])
    return tuple(
        [wrap(data, Edge(node, at) if node.differentiable(at) else None) for at, data in enumerate(made)]
    )


def _parts(op: OpSpec, source: Tensor, attributes: dict[str, Any]) -> Any:
    """Return several views of a tensor (``unbind``, ``split``), which share a node of the tape."""
    assert op.parts is not None
    given = source._data
    if type(given) is not Array:
        return op.run(source, **attributes)  # type: ignore[misc]
    paths = op.parts(tuple(given.shape), **attributes)
    arrays = _views_along(op, given, attributes, paths)
    recording, outer, node = is_enabled(), source._view, None
    if recording and _is_tracked(source):
        origin = edge_of(source)
        if origin is not None:
            node = GradientNode(
                op, attributes, (origin,), (type_of_data(given),), tuple(map(type_of_data, arrays))
            )
    view = View(source, (), not recording)
    if outer is not None:
        view = View(outer.base, outer.path, outer.untracked or not recording)
    base, before, untracked = view
    differentiable = node is not None and given.dtype.kind == "float"
    made = []
    for at, (data, path) in enumerate(zip(arrays, paths, strict=True)):
        part = wrap(data, Edge(node, at) if differentiable else None)  # type: ignore[arg-type]
        part._view = View(base, (*before, *path), untracked)
        part._generation = base._generation
        made.append(part)
    return made[0] if len(made) == 1 else tuple(made)


def _views_along(op: OpSpec, data: Array, attributes: dict[str, Any], paths: Any) -> list[Array]:
    """Return the views at the ends of paths of view ops, all of which strides can express."""
    key = (op, data.key, tuple(attributes.items()))
    known = _VIEWS.get(key)
    storage, dtype, offset = data.storage, data.dtype, data.offset
    if known is None or storage._buffer is None:
        made = [_view_at(data, path) for path in paths]
        if len(_VIEWS) >= EAGER.capacity:
            _VIEWS.clear()
        _VIEWS[key] = [(value.shape, value.strides, value.offset - offset, value.key) for value in made]
        return made
    return [
        Array(storage, dtype, shape, strides, offset + moved, layout if moved & 15 == 0 else None)
        for shape, strides, moved, layout in known
    ]


def _view_at(data: Array, path: Any) -> Array:
    """Return the view at the end of a path of view ops."""
    for name, items in path:
        (data,) = EAGER.process(OPS[name], (data,), dict(items), None, ())
    return data


def _write(op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...]) -> Any:
    """Run an op that writes into a tensor.

    The call is prepared where no operand has a history and no operand but the target lies in the target's buffer.
    """
    if not op.plain:
        return _interpreted(op, operands, attributes, into)
    key: list[Any] = [op, tuple(attributes.items()) if attributes else ()]
    values: list[Any] = []
    target = into[0]
    try:
        data = target._data
        buffer, tracked = data.storage._buffer, _is_tracked(target)
        buffers = []
        for operand in operands:
            if type(operand) in _NUMBERS:
                values.append(operand)
                key.append(type(operand))
                continue
            value = operand._data
            operand_buffer = value.storage._buffer
            values.append(value)
            if value is data:
                key.append(-1)
            elif operand_buffer is buffer or operand_buffer in buffers:  # the kernel depends on their offsets
                return _interpreted(op, operands, attributes, into)
            else:
                key.append(value.key)
                buffers.append(operand_buffer)
            tracked = tracked or _is_tracked(operand)
        if len(into) != 1 or (tracked and is_enabled()):
            return _interpreted(op, operands, attributes, into)
        key.append(data.key)
        known = _WRITES.get(tuple(key))
    except (AttributeError, TypeError):  # no operands of this stack
        return _interpreted(op, operands, attributes, into)
    if known is not None and known.device.direct:
        EAGER.run_prepared(known, op, values, attributes, (data,))
        return target
    made = _interpreted(op, operands, attributes, into)
    known = EAGER.prepared_write(op, tuple(values), attributes, (data,))
    if known is not None and known.run is not None:
        if len(_WRITES) >= EAGER.capacity:
            _WRITES.clear()
        _WRITES[tuple(key)] = known
    return made


def _is_tracked(operand: Tensor) -> bool:
    """Return whether a tensor may have a history."""
    return operand._edge is not None or operand._leaf_requires_grad or operand._view is not None


def _interpreted(op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: Any) -> Any:
    """Run an op by the interpreters of the stack."""
    *below, top = interpreter_stack()
    outputs = top.process(op, operands, attributes, into, tuple(below))
    return outputs[0] if len(outputs) == 1 else outputs


def _view(op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any]) -> Tensor:
    """Return a view, from its known geometry where the op was applied to this layout before."""
    (source,) = operands
    given, items = source._data, tuple(attributes.items())
    if type(given) is Array and given.storage._buffer is not None:
        geometry = _VIEWS.get((op, given.key, items))
        if geometry is not None:
            return _known_view(op, source, given, attributes, items, geometry)
    made: Tensor = _interpreted(op, operands, attributes, None)
    return made


def _known_view(
    op: OpSpec,
    source: Tensor,
    given: Array,
    attributes: dict[str, Any],
    items: tuple[Any, ...],
    geometry: Any,
) -> Tensor:
    """Return a view of known geometry, with its history and the path from its base."""
    shape, strides, moved, layout = geometry
    data = Array(
        given.storage, given.dtype, shape, strides, given.offset + moved, layout if moved & 15 == 0 else None
    )
    recording, edge, outer = is_enabled(), None, source._view
    if recording and (source._edge is not None or source._leaf_requires_grad or outer is not None):
        origin = edge_of(source)
        if origin is not None and op.gradient is not None:
            node = GradientNode(op, attributes, (origin,), (type_of_data(given),), (type_of_data(data),))
            node.save((source,), (origin,))
            edge = Edge(node, 0) if node.differentiable(0) else None
    result = wrap(data, edge)
    if outer is None:
        result._view = View(source, ((op.name, items),), not recording)
        result._generation = source._generation
    else:
        result._view = View(outer.base, (*outer.path, (op.name, items)), not recording or outer.untracked)
        result._generation = outer.base._generation
    return result
