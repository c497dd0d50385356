"""View ops, which give the same storage another geometry, and ``update_view``, the functional write through a view.

Every view op has a ``view`` rule on geometries. For the tape and in traced graphs, a write through a view is
``update_view(base, value, path)``: the base with the elements that the path of views reaches replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.errors import ShapeError, mistake
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.ops.make.creation import COPY, zeros_of
from weft.ops.pointwise.expressions import is_vector, unbroadcast
from weft.ops.registry.geometry import Geometry
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import VIEW, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.slice_gradients import slice_gradients

Path = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
"""View ops by name with their attributes, from a base to a view of it."""


def _infer(name: str, view: Any) -> Any:
    def infer(x: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
        geometry = view(Geometry.contiguous(x.shape), **attributes)
        return (TensorType(geometry.shape, x.dtype),)

    return infer


def declare_view(
    name: str, view: Any, reference: Any, gradient: Any, doc: str, joint_gradient: Any = None
) -> OpSpec:
    """Add a view op to the table; ``view(geometry, **attributes)`` gives another geometry of the same storage."""
    return declare(
        name, rules=VIEW, infer=_infer(name, view), view=view, reference=reference, gradient=gradient,
        joint_gradient=joint_gradient, doc=doc,
    )  # fmt: skip


def _reshape_view(geometry: Geometry, *, shape: tuple[int, ...]) -> Geometry | None:
    return geometry.reshape(shape)


RESHAPE: OpSpec = declare_view(
    "reshape", _reshape_view, lambda x, *, shape: x.reshape(shape),
    lambda context, grad: [bind(RESHAPE, grad, shape=context.types[0].shape)],
    "The same elements under another shape; a copy where strides cannot express it.",
)  # fmt: skip


def _permute_view(geometry: Geometry, *, order: tuple[int, ...]) -> Geometry:
    return geometry.permute(order)


def _permute_gradient(context: Gradient, grad: Any) -> list[Any]:
    order = context.attributes["order"]
    return [bind(PERMUTE, grad, order=tuple(order.index(d) for d in range(len(order))))]


PERMUTE = declare_view(
    "permute",
    _permute_view,
    lambda x, *, order: x.transpose(order),
    _permute_gradient,
    "Dimensions in another order.",
)


def _expand_view(geometry: Geometry, *, shape: tuple[int, ...]) -> Geometry:
    return geometry.expand(shape)


def _expand_reference(x: Any, *, shape: tuple[int, ...]) -> Any:
    import numpy

    return numpy.broadcast_to(x, shape)


def _expand_gradient(context: Gradient, grad: Any) -> list[Any]:
    return [unbroadcast(grad, context.types[0])]


EXPAND = declare_view(
    "expand", _expand_view, _expand_reference, _expand_gradient, "Size-1 dimensions repeated without a copy."
)


def _slice_view(geometry: Geometry, *, dim: int, start: int, stop: int, step: int) -> Geometry:
    return geometry.slice(dim, start, stop, step)


def _slice_reference(x: Any, *, dim: int, start: int, stop: int, step: int) -> Any:
    return x[(slice(None),) * dim + (slice(start, stop, step),)]


def _slice_gradient(context: Gradient, grad: Any) -> list[Any]:
    return [_into_zeros(context, grad, SLICE)]


def _joint_slice_gradient(operand: TensorType, calls: Sequence[tuple[dict[str, Any], Any]]) -> Any:
    return slice_gradients(operand, calls)


SLICE = declare_view(
    "slice", _slice_view, _slice_reference, _slice_gradient, "Every step-th element along a dimension.",
    _joint_slice_gradient,
)  # fmt: skip


def _strided_view(
    geometry: Geometry, *, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Geometry:
    if not geometry.is_contiguous:
        raise ShapeError("strided: the input is not contiguous; call .contiguous() first")
    view = Geometry(shape, strides, geometry.offset + offset)
    if view.numel and view.extent[1] > geometry.offset + geometry.numel:
        raise ShapeError(
            mistake("strided", f"shape {shape} with strides {strides} at offset {offset}", "beyond the storage",
                    f"at most {geometry.numel} elements")
        )  # fmt: skip
    return view


def _strided_reference(x: Any, *, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
    import numpy

    flat = numpy.ascontiguousarray(x).reshape(-1)[offset:]
    return numpy.lib.stride_tricks.as_strided(flat, shape, [stride * x.itemsize for stride in strides])


def positions(like: Any, shape: tuple[int, ...]) -> Any:
    """Return the numbers 0, 1, … in row-major order, under a shape, on the device of ``like``."""
    count = bind(lookup("arange"), 0, 1, count=math.prod(shape), dtype=dtypes.int64, device=str(like.device))
    return bind(RESHAPE, count, shape=shape)


def summed_at(grad: Any, places: Any, shape: tuple[int, ...]) -> Any:
    """Return zeros of a shape with ``grad`` added at flat places, in a fixed order."""
    zeros = zeros_of(TensorType((math.prod(shape),), grad.dtype), device=str(grad.device))
    return bind(
        RESHAPE, bind(lookup("index_put"), zeros, grad, places, mode="sum", wrap=False, dim=0), shape=shape
    )


def _strided_gradient(context: Gradient, grad: Any) -> list[Any]:
    if Geometry(context.attributes["shape"], context.attributes["strides"]).overlaps_itself:
        shape = context.types[0].shape
        return [summed_at(grad, bind(STRIDED, positions(grad, shape), **context.attributes), shape)]
    return [_into_zeros(context, grad, STRIDED)]


STRIDED = declare_view(
    "strided", _strided_view, _strided_reference, _strided_gradient,
    "Any strided view of a contiguous tensor, offsets counted from its first element.",
)  # fmt: skip


def _into_zeros(context: Gradient, grad: Any, op: OpSpec) -> Any:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    return bind(UPDATE_VIEW, zeros, grad, path=((op.name, tuple(context.attributes.items())),))


def follow(geometry: Geometry, path: Path) -> Geometry:
    """Return the geometry of a path of views, each of which strides can express."""
    for name, attributes in path:
        view = lookup(name).view
        assert view is not None
        found = view(geometry, **dict(attributes))
        assert found is not None, "paths hold only views that needed no copy"
        geometry = found
    return geometry


def apply_path(value: Any, path: Path) -> Any:
    """Return the view of a path, by binding its ops."""
    for name, attributes in path:
        value = bind(lookup(name), value, **dict(attributes))
    return value


def _infer_update(base: TensorType, value: TensorType, *, path: Path) -> tuple[TensorType, ...]:
    reached = follow(Geometry.contiguous(base.shape), path).shape
    if value.shape != reached:
        raise ShapeError(mistake("update_view", "value's shape", value.shape, f"{reached}, the view's"))
    return (base,)


def _reference_update(base: Any, value: Any, *, path: Path) -> Any:
    import numpy

    result = base.copy()
    flat = result.reshape(-1)
    index = numpy.arange(flat.size).reshape(base.shape)
    for name, attributes in path:
        index = lookup(name).reference(index, **dict(attributes))
    flat[index.reshape(-1)] = value.reshape(-1)
    return result


def _lower_update(request: KernelRequest) -> KernelProgram:
    base, value = request.operands
    target = request.outputs[0]
    view = follow(Geometry(target.shape, target.strides), request.attributes["path"])
    steps = []
    if base is not target:
        steps.append(copy_step("update_view", base, target, base.shape, base.strides, target.strides))
    if math.prod(value.shape):
        builder = Builder("update_view_part")
        sizes, (own, out) = coalesce(view.shape, [value.strides, view.strides])
        indices = builder.axes(sizes)
        loaded = builder.load(value, indices, own)
        builder.store(target, indices, loaded, out, shift=builder.integer("shift", view.offset))
        steps.append(builder.finish())
    return KernelProgram(tuple(steps))


def copy_step(
    name: str, source: Operand, target: Operand, shape: Sequence[int], own: Sequence[int], out: Sequence[int]
) -> Any:
    """Return a kernel that copies ``source`` to ``target`` with the given strides."""
    sizes, (own_, out_) = coalesce(shape, [own, out])
    builder = Builder(name)
    indices = builder.axes(sizes)
    builder.store(target, indices, builder.load(source, indices, own_), out_)
    vector = 4 if is_vector(sizes, [own_, out_], [source, target]) and out_ == (1,) else 1
    return builder.finish(vector=vector)


def _update_gradient(context: Gradient, grad: Any) -> list[Any]:
    path = context.attributes["path"]
    base_grad = value_grad = None
    if context.needs[0]:
        zeros = zeros_of(TensorType(context.types[1].shape, grad.dtype), device=str(grad.device))
        base_grad = bind(UPDATE_VIEW, grad, zeros, path=path)
    if context.needs[1]:
        dense = grad if grad.is_contiguous() else bind(COPY, grad)
        value_grad = apply_path(dense, path)
    return [base_grad, value_grad]


UPDATE_VIEW = declare(
    "update_view", rules=Rules("update_view", tangent="linear_in_both", partition="cheap"),
    infer=_infer_update, reference=_reference_update, lower=_lower_update, gradient=_update_gradient,
    overwrites=(0,), doc="The base with the elements that a path of views reaches replaced by value.",
)  # fmt: skip
