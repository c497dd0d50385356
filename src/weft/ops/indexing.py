"""Indices held in tensors: ``gather``, ``scatter_add``, ``embedding``, and ``cat``. Sums are folds, never races."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.errors import ArgumentTypeError, DTypeError, ShapeError, mistake
from weft.expr import Expr, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, Operand, Program, coalesce
from weft.ops import arguments
from weft.ops.annotations import Tensor
from weft.ops.core import Gradient, TensorType, bind
from weft.ops.creation import to_dtype, zeros_of
from weft.ops.functions import function
from weft.ops.movement import SLICE
from weft.ops.pointwise import promoted
from weft.ops.table import declare, lookup
from weft.target import TargetProfile


def checked_index(builder: Builder, index: Expr, size: Expr, inner: bool = False) -> Expr:
    """The index as int64, reported where it is not in [0, size), and then 0 so that every access stays in bounds."""
    wide = cast(index, INDEX)
    valid = (wide >= 0) & (wide < size)
    builder.check(valid, wide, inner)
    return where(valid, wide, const(0, INDEX))


def padded(given: tuple[int, ...], fill: int) -> tuple[int, ...]:
    """Sizes or strides of a tensor; of a 0-d one those of a vector of one element."""
    return given or (fill,)


# gather and scatter_add


def _check_index(name: str, x: TensorType, index: TensorType, dim: int, exempt: bool) -> None:
    arguments.integral(name, "index", index.dtype)
    if len(index.shape) != len(x.shape):
        raise ShapeError(
            mistake(name, "index", f"{len(index.shape)}-dimensional", f"{len(x.shape)}-dimensional")
        )
    for d, (size, bound) in enumerate(zip(index.shape, x.shape, strict=True)):
        if size > bound and not (exempt and d == dim):
            raise ShapeError(mistake(name, f"index's size at dimension {d}", size, f"at most {bound}"))


def _infer_gather(x: TensorType, index: TensorType, *, dim: int) -> tuple[TensorType, ...]:
    _check_index("gather", x, index, dim, exempt=True)
    return (TensorType(index.shape, x.dtype),)


def _reference_gather(x: Any, index: Any, *, dim: int) -> Any:
    import numpy

    trimmed = x[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))]
    return numpy.take_along_axis(trimmed, index.astype("int64"), dim)


def _lower_gather(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    x, index = operands
    dim = attributes["dim"]
    builder = Builder("gather")
    axes = builder.axes(index.shape or (1,))
    row = checked_index(
        builder,
        builder.load(index, axes, padded(index.strides, 0)),
        builder.integer("bound", x.shape[dim] if x.shape else 1),
    )
    source = [row if d == dim else axis for d, axis in enumerate(axes)]
    # an empty x has no element to read: every index is out of range and reported
    builder.store(
        outputs[0], axes, builder.load(x, source, padded(x.strides, 0)), padded(outputs[0].strides, 0)
    )
    return Program((builder.finish(),))


def _gradient_gather(context: Gradient, grad: Any) -> list[Any]:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    return [bind(SCATTER_ADD, zeros, context.input(1), grad, dim=context.attributes["dim"]), None]


GATHER = declare(
    "gather", infer=_infer_gather, reference=_reference_gather, lower=_lower_gather, gradient=_gradient_gather,
    saves=(1,), reports="index", doc="Elements picked along a dimension by a tensor of indices.",
)  # fmt: skip


def _infer_scatter(
    x: TensorType, index: TensorType, source: TensorType, *, dim: int
) -> tuple[TensorType, ...]:
    _check_index("scatter_add", x, index, dim, exempt=True)
    _check_index("scatter_add", source, index, dim, exempt=False)
    if source.dtype is not x.dtype:
        raise DTypeError(
            mistake("scatter_add", "src's dtype", source.dtype.name, f"{x.dtype.name}, as the input's")
        )
    return (x,)


def _reference_scatter(x: Any, index: Any, source: Any, *, dim: int) -> Any:
    import numpy

    result = x.copy()
    places = list(numpy.indices(index.shape))
    if places:
        places[dim] = index
    numpy.add.at(result, tuple(places), source[tuple(slice(n) for n in index.shape)])
    return result


def _lower_scatter(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    """Each result folds over the indices that could name it: a fixed order, no atomics."""
    x, index, source = operands
    dim, rank = attributes["dim"], max(len(x.shape), 1)
    builder = Builder("scatter_add")
    axes = builder.axes(padded(x.shape, 1))
    (k,) = builder.reduce_axes((padded(index.shape, 1)[dim],))
    point = [k if d == dim else axis for d, axis in enumerate(axes)]
    inside: Expr | None = None
    for d in range(rank):
        if d != dim and padded(index.shape, 1)[d] != padded(x.shape, 1)[d]:
            term = axes[d] < builder.integer(f"limit{d}", index.shape[d])
            inside = term if inside is None else inside & term
    row = cast(builder.load(index, point, padded(index.strides, 0), inside), INDEX)
    bound = builder.integer("bound", padded(x.shape, 1)[dim])
    builder.check((row >= 0) & (row < bound), row, inner=True)
    chosen = row.equals(axes[dim]) if inside is None else row.equals(axes[dim]) & inside
    accumulator = x.dtype.compute
    value = cast(builder.load(source, point, padded(source.strides, 0), inside), accumulator)
    total = builder.reduce("sum", where(chosen, value, const(0, accumulator)))
    base = cast(builder.load(x, axes, padded(x.strides, 0)), accumulator)
    builder.store(outputs[0], axes, base + total, padded(outputs[0].strides, 0))
    return Program((builder.finish(),))


def _gradient_scatter(context: Gradient, grad: Any) -> list[Any]:
    index = context.input(1)
    picked = bind(GATHER, grad, index, dim=context.attributes["dim"]) if context.needs[2] else None
    if picked is not None and tuple(picked.shape) != context.types[2].shape:
        path = tuple(
            ("slice", (("dim", d), ("start", 0), ("stop", size), ("step", 1)))
            for d, size in enumerate(picked.shape)
        )
        from weft.ops.movement import UPDATE_VIEW

        zeros = zeros_of(TensorType(context.types[2].shape, grad.dtype), device=str(grad.device))
        picked = bind(UPDATE_VIEW, zeros, picked, path=path)
    return [grad, None, picked]


SCATTER_ADD = declare(
    "scatter_add", infer=_infer_scatter, reference=_reference_scatter, lower=_lower_scatter,
    gradient=_gradient_scatter, saves=(1,), reports="index",
    doc="The input plus values added at indices along a dimension.",
)  # fmt: skip


@function()
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` (for dim 0): elements picked along a dimension; shape as ``index``.

    An index outside the dimension raises ``IndexError`` at the next read on asynchronous devices.
    """
    arguments.tensor("gather", "input", input)
    arguments.tensor("gather", "index", index)
    return bind(GATHER, input, index, dim=arguments.dimension("gather", dim, len(input.shape)))


@function()
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """The input with ``src[i][j]`` added at ``[index[i][j]][j]`` (for dim 0); equal indices add up in a fixed order."""
    arguments.tensor("scatter_add", "input", input)
    arguments.tensor("scatter_add", "index", index)
    arguments.tensor("scatter_add", "src", src)
    return bind(SCATTER_ADD, input, index, src, dim=arguments.dimension("scatter_add", dim, len(input.shape)))


# embedding


def _infer_embedding(weight: TensorType, index: TensorType) -> tuple[TensorType, ...]:
    arguments.integral("embedding", "input", index.dtype)
    if len(weight.shape) != 2:
        raise ShapeError(
            mistake("embedding", "weight's shape", weight.shape, "(num_embeddings, embedding_dim)")
        )
    return (TensorType((*index.shape, weight.shape[1]), weight.dtype),)


def _lower_embedding(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    weight, index = operands
    target = outputs[0]
    builder = Builder("embedding")
    sizes, (index_strides, out_strides) = coalesce(index.shape, [index.strides, target.strides[:-1]])
    *axes, column = builder.axes((*sizes, weight.shape[1]))
    row = checked_index(
        builder, builder.load(index, axes, index_strides), builder.integer("bound", weight.shape[0])
    )
    value = builder.load(weight, [row, column])
    builder.store(target, [*axes, column], value, [*out_strides, target.strides[-1]])
    return Program((builder.finish(),))


def _gradient_embedding(context: Gradient, grad: Any) -> list[Any]:
    rows = context.types[0].shape[0]
    return [bind(EMBEDDING_BACKWARD, grad, context.input(1), rows=rows), None]


EMBEDDING = declare(
    "embedding", infer=_infer_embedding, reference=lambda weight, index: weight[index.astype("int64")],
    lower=_lower_embedding, gradient=_gradient_embedding, saves=(1,), reports="input",
    doc="Rows of a matrix picked by a tensor of indices.",
)  # fmt: skip


def _infer_embedding_backward(grad: TensorType, index: TensorType, *, rows: int) -> tuple[TensorType, ...]:
    return (TensorType((rows, grad.shape[-1]), grad.dtype),)


def _reference_embedding_backward(grad: Any, index: Any, *, rows: int) -> Any:
    import numpy

    result = numpy.zeros((rows, grad.shape[-1]), grad.dtype)
    numpy.add.at(result, index.reshape(-1).astype("int64"), grad.reshape(-1, grad.shape[-1]))
    return result


def _lower_embedding_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    grad, index = operands
    builder = Builder("embedding_backward")
    row, column = builder.axes(outputs[0].shape)
    sizes, (index_strides, grad_strides) = coalesce(index.shape, [index.strides, grad.strides[:-1]])
    if 0 in sizes:
        sizes, index_strides, grad_strides = (0,), (0,), (0,)
    points = builder.reduce_axes(sizes)
    named = cast(builder.load(index, points, index_strides), INDEX)
    dtype = grad.dtype.compute
    value = builder.load(grad, [*points, column], [*grad_strides, grad.strides[-1]])
    total = builder.reduce("sum", where(named.equals(row), value, const(0, dtype)))
    builder.store(outputs[0], [row, column], total)
    return Program((builder.finish(),))


EMBEDDING_BACKWARD = declare(
    "embedding_backward", infer=_infer_embedding_backward, reference=_reference_embedding_backward,
    lower=_lower_embedding_backward, saves=(1,),
    gradient=lambda context, grad: [bind(EMBEDDING, grad, context.input(1)), None],
    doc="Rows summed by index: the gradient of embedding with respect to its matrix.",
)  # fmt: skip


@function(top=False, method=False, functional=True)
def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """Rows of ``weight`` (num_embeddings, embedding_dim) picked by ``input``; shape (*input, embedding_dim)."""
    arguments.tensor("embedding", "input", input)
    arguments.tensor("embedding", "weight", weight)
    return bind(EMBEDDING, weight, input)


@function()
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices of ``input`` along ``dim`` picked by the 1-d ``index``: one gather of rows.

    >>> import weft as wf
    >>> wf.index_select(wf.tensor([[1, 2], [3, 4], [5, 6]]), 0, wf.tensor([2, 0]))
    tensor([[5, 6],
            [1, 2]])
    """
    arguments.tensor("index_select", "input", input)
    arguments.tensor("index_select", "index", index, 1)
    arguments.integral("index_select", "index", index.dtype)
    rank = len(input.shape)
    if rank == 0:
        raise ShapeError(mistake("index_select", "input", "0-dimensional", "at least 1-dimensional"))
    place = arguments.dimension("index_select", dim, rank)
    reshape, permute = lookup("reshape"), lookup("permute")
    front = (place, *(d for d in range(rank) if d != place))
    moved = bind(permute, input, order=front) if place else input
    shape = tuple(moved.shape)
    rows = bind(reshape, moved, shape=(shape[0], math.prod(shape[1:])))
    picked = bind(reshape, bind(EMBEDDING, rows, index), shape=(index.shape[0], *shape[1:]))
    return bind(permute, picked, order=tuple(front.index(d) for d in range(rank))) if place else picked


# cat


def _infer_cat(*types: TensorType, dim: int) -> tuple[TensorType, ...]:
    first = types[0]
    for position, other in enumerate(types):
        same = len(other.shape) == len(first.shape) and all(
            a == b for d, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if d != dim
        )
        if not same:
            raise ShapeError(
                mistake(
                    "cat",
                    f"shape of tensor {position}",
                    other.shape,
                    f"{first.shape} except at dimension {dim}",
                )
            )
    size = sum(t.shape[dim] for t in types)
    shape = tuple(size if d == dim else n for d, n in enumerate(first.shape))
    return (TensorType(shape, promoted(types)),)


def _reference_cat(*arrays: Any, dim: int) -> Any:
    import numpy

    types = [TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays]
    return numpy.concatenate([a.astype(promoted(types).numpy) for a in arrays], dim)


def _lower_cat(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    """One kernel with a part for each tensor, as many as the target binds at once."""
    target, dim = outputs[0], attributes["dim"]
    room = profile.limits.get("max-storage-buffers-per-shader-stage", 1 << 30) - 1
    steps, start = [], 0
    filled = [operand for operand in operands if 0 not in operand.shape]
    for first in range(0, len(filled), room):
        builder = Builder("cat")
        for source in filled[first : first + room]:
            sizes, (own, out) = coalesce(source.shape, [source.strides, target.strides])
            indices = builder.axes(sizes)
            shift = builder.integer(f"shift{source.index}", start * target.strides[dim])
            builder.store(target, indices, builder.load(source, indices, own), out, shift=shift)
            builder.end_part()
            start += source.shape[dim]
        steps.append(builder.finish())
    return Program(tuple(steps))


def _gradient_cat(context: Gradient, grad: Any) -> list[Any]:
    dim, start, result = context.attributes["dim"], 0, []
    for own in context.types:
        stop = start + own.shape[dim]
        part = bind(SLICE, grad, dim=dim, start=start, stop=stop, step=1)
        result.append(to_dtype(part, own.dtype) if own.dtype.kind == "float" else None)
        start = stop
    return result


CAT = declare(
    "cat", infer=_infer_cat, reference=_reference_cat, lower=_lower_cat, gradient=_gradient_cat,
    doc="Tensors joined along a dimension.",
)  # fmt: skip


@function(method=False)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of equal shapes, except along ``dim``, joined along it; types are promoted."""
    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake("cat", "tensors", repr(tensors), "a non-empty sequence of tensors"))
    for position, one in enumerate(tensors):
        arguments.tensor("cat", f"tensors[{position}]", one)
    rank = len(tensors[0].shape)
    if rank == 0:
        raise ShapeError("cat: 0-d tensors have no dimension to join; use stack")
    return bind(CAT, *tensors, dim=arguments.dimension("cat", dim, rank))


@function(method=False)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    from weft.ops.movement import unsqueeze

    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake("stack", "tensors", repr(tensors), "a non-empty sequence of tensors"))
    shapes = {tuple(arguments.tensor("stack", "tensors", one).shape) for one in tensors}
    if len(shapes) > 1:
        raise ShapeError(mistake("stack", "shapes", sorted(shapes), "equal shapes"))
    place = arguments.dimension("stack", dim, len(tensors[0].shape) + 1)
    return cat([unsqueeze(one, place) for one in tensors], place)
