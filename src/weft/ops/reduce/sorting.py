"""Sorting along a dimension, by a stable radix sort on both targets.

``sort`` gives values and their places. NaN counts as the largest value, and equal elements keep their order. The
gradient goes back to the place that each value came from.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Library, Offset, Operand, coalesce
from weft.kernels.library import radix
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import MOVE, ROWS
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.ops import copy_step
from weft.target import TargetProfile


def rows_of(operand: Operand, dim: int) -> Operand:
    """Return the operand with ``dim`` last, by strides alone; a 0-d operand as a vector of one element."""
    order = [d for d in range(len(operand.shape)) if d != dim] + [dim]
    shape = tuple(operand.shape[d] for d in order) if operand.shape else (1,)
    strides = tuple(operand.strides[d] for d in order) if operand.shape else (1,)
    return Operand(operand.index, operand.dtype, shape, strides, operand.slot, operand.aligned)


def dense_rows(operand: Operand, dim: int, scratch: Scratch, steps: list[KernelStep]) -> Operand:
    """Return the operand with ``dim`` last and dense: itself where its layout allows, else a copy into a temporary."""
    moved = rows_of(operand, dim)
    sizes, (strides,) = coalesce(moved.shape, [moved.strides])
    if len(sizes) == 1 and strides[0] in (0, 1) and (strides[0] == 1 or sizes[0] == 1):
        return moved
    dense = scratch.take(operand.dtype, moved.shape)
    steps.append(copy_step("copy", moved, dense, moved.shape, moved.strides, dense.strides))
    return dense


def order_steps(
    x: Operand, descending: bool, profile: TargetProfile, scratch: Scratch
) -> tuple[list[KernelStep], Operand]:
    """Return the steps of a stable argsort of each row of dense ``x``, along its last dimension, and their result.

    The result is an int64 temporary of the same shape: the places of the row's elements in the sorted order.
    """
    n = x.shape[-1]
    rows = math.prod(x.shape) // n
    if not profile.capabilities.workgroups:
        order, *rest = (scratch.take(dtypes.int64, x.shape) for _ in range(4))
        library = Library("sort", (x.dtype,), (("descending", descending),))
        buffers = (x.index, order.index, *(each.index for each in rest))
        return [KernelStep(library, buffers, (rows, n, Offset(x.index)))], order
    keys, other_keys = (scratch.take(dtypes.uint32, (rows, n)) for _ in range(2))
    order, other_order = (scratch.take(dtypes.int64, x.shape) for _ in range(2))
    blocks = -(-n // radix.block(profile))
    counts = scratch.take(dtypes.uint32, (rows * radix.DIGITS * blocks,))
    steps = [_key_step(x, keys, order, descending)]
    for shift in range(*_BITS.get(x.dtype.name, (0, 32)), 4):
        stages: dict[str, tuple[Operand, ...]] = {
            "count": (keys, counts), "scan": (counts,), "scatter": (keys, order, counts, other_keys, other_order),
        }  # fmt: skip
        for stage, used in stages.items():
            library = Library("radix", (dtypes.uint32,), (("stage", stage),))
            steps.append(KernelStep(library, tuple(each.index for each in used), (rows, n, blocks, shift)))
        keys, other_keys, order, other_order = other_keys, keys, other_order, order
    return steps, order


_BITS = {
    "float16": (12, 32),
    "bfloat16": (16, 32),
    "int16": (0, 16),
    "int8": (0, 8),
    "uint8": (0, 8),
    "bool": (0, 4),
}
"""The range of bits of a key that can differ between elements of a type; other types use all 32 bits."""


def _key_step(x: Operand, keys: Operand, order: Operand, descending: bool) -> KernelStep:
    """Return the kernel that writes unsigned keys, ordered as the elements, and the places 0, 1, … of each row."""
    builder = Builder("sort_keys")
    row, place = builder.axes(keys.shape)
    value = builder.load(x, [row, place], (keys.shape[-1], 1))
    key = _key(value, x.dtype)
    if descending:
        key = call("not", key)
    builder.store(keys, [row, place], key)
    builder.store(order, [row, place], place, keys.strides)
    return builder.finish()


def _key(value: Expr, dtype: DType) -> Expr:
    """Return a uint32 key that orders as the value: integers are offset by their lowest value.

    Of floats the sign bit is flipped, and of negative floats all bits; -0 has the key of 0, and NaN the largest key.
    """
    word = dtypes.uint32
    if dtype.kind == "float":
        bits = call("bits", value)
        magnitude = bits & 0x7FFFFFFF
        negative = call("ne", bits & 0x80000000, 0)
        flipped = call("xor", bits, where(negative, const(0xFFFFFFFF, word), const(0x80000000, word)))
        ordered = where(magnitude.equals(0), const(0x80000000, word), flipped)
        return where(magnitude > 0x7F800000, const(0xFFFFFFFF, word), ordered)
    if dtype.kind == "int" and dtype.bits < 32:
        return cast(value + 2 ** (dtype.bits - 1), word)
    key = cast(value, word)
    return call("xor", key, 0x80000000) if dtype.kind == "int" else key


def _infer_sort(x: TensorType, *, dim: int, descending: bool) -> tuple[TensorType, ...]:
    return (x, TensorType(x.shape, dtypes.int64))


def reference_sort(x: Any, *, dim: int, descending: bool) -> Any:
    """Return the values along ``dim`` in order and their places, by NumPy's stable sort."""
    import numpy

    if not x.ndim:
        return x.copy(), numpy.zeros((), "int64")
    wide = x.astype("float64") if dtypes.from_numpy(x.dtype).kind == "float" else x
    if descending:  # stable: the reverse of the ascending order of the reverse
        order = numpy.flip(x.shape[dim] - 1 - numpy.argsort(numpy.flip(wide, dim), dim, kind="stable"), dim)
    else:
        order = numpy.argsort(wide, dim, kind="stable")
    return numpy.take_along_axis(x, order, dim), order.astype("int64")


def _lower_sort(request: KernelRequest) -> KernelProgram:
    x, dim = request.operands[0], request.attributes["dim"]
    scratch, steps = Scratch.of(request), list[KernelStep]()
    dense = dense_rows(x, dim, scratch, steps)
    found, order = order_steps(dense, request.attributes["descending"], request.profile, scratch)
    values, places = (rows_of(output, dim) for output in request.outputs)
    builder = Builder("sort_values")
    axes = builder.axes(dense.shape)
    place = builder.load(order, axes)
    builder.store(values, axes, builder.load(dense, [*axes[:-1], place]))
    builder.store(places, axes, place)
    return scratch.program((*steps, *found, builder.finish()))


def _gradient_sort(context: Gradient, grad: Any, _: Any) -> list[Any]:
    return [bind(UNSORT, grad, context.output(1), dim=context.attributes["dim"])]


SORT = declare(
    "sort", rules=ROWS,
    infer=_infer_sort, reference=reference_sort, lower=_lower_sort, gradient=_gradient_sort, saves_output=True,
    doc="The elements along a dimension in order, stable, NaN last, and where they were.",
)  # fmt: skip


def _infer_unsort(x: TensorType, places: TensorType, *, dim: int) -> tuple[TensorType, ...]:
    return (x,)


def _reference_unsort(x: Any, places: Any, *, dim: int) -> Any:
    import numpy

    result = x.copy()
    if x.ndim:
        numpy.put_along_axis(result, places, x, dim)
    return result


def _lower_unsort(request: KernelRequest) -> KernelProgram:
    """Return the kernel that stores each element at its place; the places of a row differ, so stores do not collide."""
    x, places, target = (
        rows_of(each, request.attributes["dim"]) for each in (*request.operands, *request.outputs)
    )
    builder = Builder("unsort")
    axes = builder.axes(x.shape)
    place = builder.load(places, axes)
    builder.store(target, [*axes[:-1], place], builder.load(x, axes))
    return KernelProgram((builder.finish(),))


UNSORT = declare(
    "unsort",
    rules=ROWS.but(tangent="linear"),
    infer=_infer_unsort,
    reference=_reference_unsort,
    lower=_lower_unsort,
    saves=(1,),
    gradient=lambda context, grad: [
        bind(lookup("gather"), grad, context.input(1), dim=context.attributes["dim"]),
        None,
    ],
    doc="Elements put back to the places that sort took them from: the inverse permutation along a dimension.",
)


def _infer_place(grad: TensorType, places: TensorType, *, dim: int, size: int) -> tuple[TensorType, ...]:
    return (TensorType((*grad.shape[:dim], size, *grad.shape[dim:]), grad.dtype),)


def _reference_place(grad: Any, places: Any, *, dim: int, size: int) -> Any:
    import numpy

    grid = numpy.arange(size).reshape((size,) + (1,) * (grad.ndim - dim))
    return numpy.where(
        grid == numpy.expand_dims(places, dim), numpy.expand_dims(grad, dim), grad.dtype.type(0)
    )


def _lower_place(request: KernelRequest) -> KernelProgram:
    grad, places = request.operands
    target, dim = request.outputs[0], request.attributes["dim"]
    builder = Builder("place")
    axes = builder.axes(target.shape)
    points = [axis for d, axis in enumerate(axes) if d != dim]
    value = builder.load(grad, points)
    chosen = cast(builder.load(places, points), INDEX).equals(axes[dim])
    builder.store(target, axes, where(chosen, value, const(0, value.dtype)))
    return KernelProgram((builder.finish(),))


def _gradient_place(context: Gradient, grad: Any) -> list[Any]:
    dim, places = context.attributes["dim"], context.input(1)
    shape = tuple(places.shape)
    index = bind(lookup("reshape"), places, shape=(*shape[:dim], 1, *shape[dim:]))
    picked = bind(lookup("gather"), grad, index, dim=dim)
    return [bind(lookup("reshape"), picked, shape=shape), None]


PLACE = declare(
    "place", rules=MOVE.but(partition=""),
    infer=_infer_place, reference=_reference_place, lower=_lower_place, gradient=_gradient_place, saves=(1,),
    doc="Each value at a place of its own along a new dimension, 0 elsewhere: the gradient of picking at these places.",
)  # fmt: skip


class Sorted(NamedTuple):
    """The result of ``sort``, ``topk``, ``max`` and others: values, and their int64 places along the dimension."""

    values: Any
    indices: Any


def sorted_along(name: str, input: Any, dim: int, descending: bool) -> Sorted:
    """Return the sorted values and their places, with arguments as the public function ``name`` takes them."""
    x = arguments.tensor(name, "input", input)
    place = arguments.dimension(name, dim, len(x.shape))
    return Sorted(*bind(SORT, x, dim=place, descending=bool(descending)))


@function(out=SORT)
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> tuple[Tensor, Tensor]:
    """The elements sorted along ``dim``, and their indices in ``input``: ``(values, indices)``.

    The sort is always stable. NaN counts as the largest value.

    >>> import weft as wf
    >>> wf.sort(wf.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    return sorted_along("sort", input, dim, descending)


@function()
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The int64 indices that sort ``input`` along ``dim``; always stable, NaN is largest; shape as ``input``."""
    return sorted_along("argsort", input, dim, descending).indices
