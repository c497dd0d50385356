"""Sorting along a dimension: a stable radix sort on both targets, and what follows from it.

``sort`` gives values and places. NaN counts as the largest value, equal elements keep their order, and the gradient
goes back to where each value came from.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Library, Offset, Operand, coalesce
from weft.kernels.library import radix
from weft.ops.make.creation import zeros_of
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import MOVE, ROWS
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.ops import SLICE, copy_step
from weft.target import TargetProfile


def rows_of(operand: Operand, dim: int) -> Operand:
    """The operand with ``dim`` last, by strides alone; a 0-d one as a vector of one element."""
    order = [d for d in range(len(operand.shape)) if d != dim] + [dim]
    shape = tuple(operand.shape[d] for d in order) if operand.shape else (1,)
    strides = tuple(operand.strides[d] for d in order) if operand.shape else (1,)
    return Operand(operand.index, operand.dtype, shape, strides, operand.slot, operand.aligned)


def dense_rows(operand: Operand, dim: int, scratch: Scratch, steps: list[KernelStep]) -> Operand:
    """The operand with ``dim`` last and rows one after another: as it lies, or a copy."""
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
    """Steps that find the order of each row of dense ``x`` (rows along its last dimension), stable; and where it is.

    The result is an int64 temporary of the same shape: the places of the row's elements in ascending order.
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
"""The bits of a key that can differ between elements of a type; others have all 32."""


def _key_step(x: Operand, keys: Operand, order: Operand, descending: bool) -> KernelStep:
    """Unsigned keys in the elements' order, and the places 0, 1, … of each row."""
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
    """Floats with the sign turned over (all bits of negative ones), -0 as 0, NaN last; integers from their lowest."""
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


def _reference_sort(x: Any, *, dim: int, descending: bool) -> Any:
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
    return KernelProgram((*steps, *found, builder.finish()), tuple(scratch.taken))


def _gradient_sort(context: Gradient, grad: Any, _: Any) -> list[Any]:
    return [bind(UNSORT, grad, context.output(1), dim=context.attributes["dim"])]


SORT = declare(
    "sort", rules=ROWS,
    infer=_infer_sort, reference=_reference_sort, lower=_lower_sort, gradient=_gradient_sort, saves_output=True,
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
    """A store at each place; the places of a row are all different, so no two points store to one element."""
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
    doc="Elements put back to the places that sort took them from: a permutation along a dimension.",
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
    doc="Values at one place each along a new dimension, 0 elsewhere: the gradient of picking them there.",
)  # fmt: skip


SELECTED = 32
"""How many of a row's elements are found by one pass over it, where they are at most a quarter of them."""


def _infer_topk(x: TensorType, *, dim: int, descending: bool, count: int) -> tuple[TensorType, ...]:
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    return (TensorType(shape, x.dtype), TensorType(shape, dtypes.int64))


def _reference_topk(x: Any, *, dim: int, descending: bool, count: int) -> Any:
    import numpy

    first = numpy.arange(count)
    return tuple(numpy.take(each, first, dim) for each in _reference_sort(x, dim=dim, descending=descending))


def _lower_topk(request: KernelRequest) -> KernelProgram:
    x, dim, count = request.operands[0], request.attributes["dim"], request.attributes["count"]
    scratch, steps = Scratch.of(request), list[KernelStep]()
    dense = dense_rows(x, dim, scratch, steps)
    n = dense.shape[-1]
    if "lanes" in request.profile.features and count <= SELECTED and 4 * count <= n:
        order, keys = (scratch.take(dtypes.int64, (*dense.shape[:-1], count)) for _ in range(2))
        library = Library("topk", (dense.dtype,), (("descending", request.attributes["descending"]),))
        rows = math.prod(dense.shape) // n
        steps.append(
            KernelStep(library, (dense.index, order.index, keys.index), (rows, n, count, Offset(dense.index)))
        )
    else:
        found, order = order_steps(dense, request.attributes["descending"], request.profile, scratch)
        steps += found
    values, places = (rows_of(output, dim) for output in request.outputs)
    builder = Builder("topk_values")
    axes = builder.axes(values.shape)
    place = builder.load(order, axes)
    builder.store(values, axes, builder.load(dense, [*axes[:-1], place]))
    builder.store(places, axes, place)
    return KernelProgram((*steps, builder.finish()), tuple(scratch.taken))


def _gradient_topk(context: Gradient, grad: Any, _: Any) -> list[Any]:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    places = context.output(1)
    return [bind(lookup("scatter"), zeros, grad, places, dim=context.attributes["dim"], mode="replace")]


TOPK = declare(
    "topk", rules=ROWS,
    infer=_infer_topk, reference=_reference_topk, lower=_lower_topk, gradient=_gradient_topk, saves_output=True,
    doc="The first elements of those along a dimension in order, stable, NaN last, and where they were.",
)  # fmt: skip


class Sorted(NamedTuple):
    """What ``sort``, ``topk``, ``max`` and others give: values, and their int64 places along the dimension."""

    values: Any
    indices: Any


def _sorted(name: str, input: Any, dim: int, descending: bool) -> Sorted:
    x = arguments.tensor(name, "input", input)
    place = arguments.dimension(name, dim, len(x.shape))
    return Sorted(*bind(SORT, x, dim=place, descending=bool(descending)))


@function(out=SORT)
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> tuple[Tensor, Tensor]:
    """The elements along ``dim`` in order, and the places they had: ``(values, indices)``; always stable, NaN largest.

    >>> import weft as wf
    >>> wf.sort(wf.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    return _sorted("sort", input, dim, descending)


@function()
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The places of the elements along ``dim`` in order; always stable, NaN largest; int64, shape as ``input``."""
    return _sorted("argsort", input, dim, descending).indices


def _narrowed(value: Any, dim: int, start: int, count: int) -> Any:
    """A copy of a part, so that it is contiguous and the whole need not stay."""
    if not value.shape:
        return value
    return bind(lookup("copy"), bind(SLICE, value, dim=dim, start=start, stop=start + count, step=1))


@function(out=True)
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest (or smallest) elements along ``dim`` in order, with their places: ``(values, indices)``."""
    count = arguments.integer("topk", "k", k)
    x = arguments.tensor("topk", "input", input)
    place = arguments.dimension("topk", dim, len(x.shape))
    size = x.shape[place] if x.shape else 1
    if not 0 <= count <= size:
        raise ArgumentError(mistake("topk", "k", count, f"in [0, {size}], the size of dimension {dim}"))
    if not x.shape or count in (0, size):
        return Sorted(*(_narrowed(each, place, 0, count) for each in _sorted("topk", x, place, largest)))
    return Sorted(*bind(TOPK, x, dim=place, descending=bool(largest), count=count))


def _picked(input: Any, places: Any, dim: int, keepdim: bool) -> Sorted:
    """The elements at one place each along ``dim``; ``places`` has the dimension with size 1, or is 0-d."""
    values = bind(lookup("gather"), input, places, dim=dim)
    if not keepdim and input.shape:
        shape = tuple(size for d, size in enumerate(input.shape) if d != dim)
        values, places = (bind(lookup("reshape"), each, shape=shape) for each in (values, places))
    return Sorted(values, places)


def _dimension(name: str, input: Any, dim: int) -> tuple[int, int]:
    place = arguments.dimension(name, dim, len(input.shape))
    size = input.shape[place] if input.shape else 1
    if size == 0:
        raise ArgumentError(
            mistake(name, "input", f"of shape {tuple(input.shape)}", "at least one element along dim")
        )
    return place, size


@function(out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The ``k``-th smallest element (from 1) along ``dim`` and its place: ``(values, indices)``; NaN is largest."""
    x = arguments.tensor("kthvalue", "input", input)
    place, size = _dimension("kthvalue", x, dim)
    count = arguments.integer("kthvalue", "k", k)
    if not 1 <= count <= size:
        raise ArgumentError(mistake("kthvalue", "k", count, f"in [1, {size}], the size of dimension {dim}"))
    with_places = _sorted("kthvalue", x, place, False)
    return _picked(x, _narrowed(with_places.indices, place, count - 1, 1), place, keepdim)


def _middle(name: str, input: Any, dim: int, keepdim: bool) -> Sorted:
    """The lower median along ``dim``; ``median`` gives the first NaN where there is one, ``nanmedian`` skips them."""
    place, size = _dimension(name, input, dim)
    values, places = _sorted(name, input, place, False)
    if input.dtype.kind != "float" or not input.shape:
        return _picked(input, _narrowed(places, place, (size - 1) // 2, 1), place, keepdim)
    missing = bind(lookup("isnan"), values)
    whole = bind(lookup("bitwise_not"), missing)
    valid = bind(lookup("sum"), whole, dims=(place,), keepdim=True)
    if name == "median":
        middle = bind(lookup("where"), bind(lookup("eq"), valid, size), (size - 1) // 2, valid)
    else:
        middle = bind(lookup("clamp_min"), bind(lookup("floor_divide"), bind(lookup("sub"), valid, 1), 2), 0)
    return _picked(input, bind(lookup("gather"), places, middle, dim=place), place, keepdim)


def _medians(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    x = arguments.tensor(name, "input", input)
    if x.dtype is dtypes.bool_:
        raise DTypeError(mistake(name, "input's dtype", "bool", "a number type"))
    if dim is None:
        flat = bind(lookup("reshape"), x, shape=(x.numel(),))
        return _shared_among_equals(flat, _middle(name, flat, 0, False).values)
    return _middle(name, x, dim, keepdim)


def _shared_among_equals(flat: Any, chosen: Any) -> Any:
    """The chosen element, whose gradient goes to all elements that are equal to it, as in PyTorch."""
    if flat.dtype.kind != "float":
        return chosen
    equals = bind(lookup("same"), flat, chosen)
    return bind(lookup("amax"), bind(lookup("where"), equals, flat, -math.inf), dims=(0,), keepdim=False,
                equal_nan=True)  # fmt: skip


@function(out=True)
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the middle elements: of all, or along ``dim`` as ``(values, indices)``; NaN where there is one."""
    return _medians("median", input, dim, keepdim)


@function(out=True)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the middle elements that are not NaN: of all, or along ``dim`` as ``(values, indices)``."""
    return _medians("nanmedian", input, dim, keepdim)
