"""``gather`` and ``embedding``, which read at index tensors, and ``cat`` and ``stack``, which concatenate tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.expr import Expr, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, coalesce
from weft.ops.index.placement import INDEX_PUT, SCATTER, check_index
from weft.ops.make.creation import to_dtype, zeros_of
from weft.ops.pointwise.expressions import promoted
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import MOVE, ROWS, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.movement import reshape, unsqueeze
from weft.ops.views.unbind import SPLIT, bind_views


def checked_index(builder: Builder, index: Expr, size: Expr, inner: bool = False) -> Expr:
    """Return an index as int64; outside of [0, size) it is reported and becomes 0, so that no access is invalid."""
    wide = cast(index, INDEX)
    valid = (wide >= 0) & (wide < size)
    builder.check(valid, wide, inner)
    return where(valid, wide, const(0, INDEX))


# gather


def _infer_gather(x: TensorType, index: TensorType, *, dim: int) -> tuple[TensorType, ...]:
    check_index("gather", x, index, dim)
    return (TensorType(index.shape, x.dtype),)


def _reference_gather(x: Any, index: Any, *, dim: int) -> Any:
    import numpy

    trimmed = x[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))]
    return numpy.take_along_axis(trimmed, index.astype("int64"), dim)


def _lower_gather(request: KernelRequest) -> KernelProgram:
    x, index = request.operands
    dim = request.attributes["dim"]
    builder = Builder("gather")
    axes = builder.axes(index.shape or (1,))
    row = checked_index(
        builder,
        builder.load(index, axes, index.strides or (0,)),
        builder.integer("bound", x.shape[dim] if x.shape else 1),
    )
    source = [row if d == dim else axis for d, axis in enumerate(axes)]
    # an empty x has no element to read: every index is out of range and reported
    builder.store(
        request.outputs[0],
        axes,
        builder.load(x, source, x.strides or (0,)),
        request.outputs[0].strides or (0,),
    )
    return KernelProgram((builder.finish(),))


def _gradient_gather(context: Gradient, grad: Any) -> list[Any]:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    return [bind(SCATTER, zeros, grad, context.input(1), dim=context.attributes["dim"], mode="sum"), None]


GATHER = declare(
    "gather", rules=ROWS.but(splitting="gather", tangent="linear"),
    infer=_infer_gather, reference=_reference_gather, lower=_lower_gather, gradient=_gradient_gather,
    saves=(1,), reports="index", doc="Elements along a dimension at an index tensor.",
)  # fmt: skip


@function(out=GATHER)
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The elements along ``dim`` at ``index``: ``out[i][j] = input[index[i][j]][j]`` for dim 0; shape as ``index``.

    An index outside the dimension raises ``IndexError`` at the next read on asynchronous devices.
    """
    arguments.tensor("gather", "input", input)
    arguments.tensor("gather", "index", index)
    place = arguments.dimension("gather", dim, len(input.shape))
    if (
        len(input.shape) + len(index.shape) == 1
    ):  # as in PyTorch, a 0-d tensor is taken for a vector of one element
        x, rows = (value if value.shape else reshape(value, 1) for value in (input, index))
        return reshape(bind(GATHER, x, rows, dim=place), *index.shape)
    return bind(GATHER, input, index, dim=place)


# embedding


def _infer_embedding(weight: TensorType, index: TensorType) -> tuple[TensorType, ...]:
    arguments.integral("embedding", "input", index.dtype)
    if len(weight.shape) != 2:
        raise ShapeError(
            mistake("embedding", "weight's shape", weight.shape, "(num_embeddings, embedding_dim)")
        )
    return (TensorType((*index.shape, weight.shape[1]), weight.dtype),)


def _lower_embedding(request: KernelRequest) -> KernelProgram:
    weight, index = request.operands
    target = request.outputs[0]
    builder = Builder("embedding")
    sizes, (index_strides, out_strides) = coalesce(index.shape, [index.strides, target.strides[:-1]])
    *axes, column = builder.axes((*sizes, weight.shape[1]))
    row = checked_index(
        builder, builder.load(index, axes, index_strides), builder.integer("bound", weight.shape[0])
    )
    value = builder.load(weight, [row, column])
    builder.store(target, [*axes, column], value, [*out_strides, target.strides[-1]])
    return KernelProgram((builder.finish(),))


def _gradient_embedding(context: Gradient, grad: Any) -> list[Any]:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    return [bind(INDEX_PUT, zeros, grad, context.input(1), mode="sum", wrap=False, dim=0), None]


EMBEDDING = declare(
    "embedding", rules=Rules("embedding", tangent="linear"),
    infer=_infer_embedding, reference=lambda weight, index: weight[index.astype("int64")],
    lower=_lower_embedding, gradient=_gradient_embedding, saves=(1,), reports="input",
    doc="Rows of a matrix at an index tensor.",
)  # fmt: skip


@function(top=False, method=False, functional=True)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` (num_embeddings, embedding_dim) at ``input`` (*): (*, embedding_dim).

    The row ``padding_idx`` gets no gradient. ``max_norm``, ``scale_grad_by_freq`` and ``sparse`` raise
    ``UnsupportedError``.
    """
    arguments.tensor("embedding", "input", input)
    arguments.tensor("embedding", "weight", weight)
    unsupported = {"max_norm": max_norm, "scale_grad_by_freq": scale_grad_by_freq, "sparse": sparse}
    for name, given in unsupported.items():
        if given is not None and given is not False:
            expected = None if name == "max_norm" else False
            raise UnsupportedError(
                mistake("embedding", name, given, expected, "norms stay, gradients are dense")
            )
    rows = bind(EMBEDDING, weight, input)
    if padding_idx is None:
        return rows
    count = weight.shape[0]
    place = arguments.integer("embedding", "padding_idx", padding_idx)
    if not -count <= place < count:
        raise ArgumentError(
            mistake("embedding", "padding_idx", padding_idx, f"within the {count} rows of weight")
        )
    if not rows.requires_grad:
        return rows
    padded_rows = bind(lookup("eq"), input, place % count)
    mask = bind(lookup("reshape"), padded_rows, shape=(*input.shape, 1))
    return bind(lookup("where"), mask, rows.detach(), rows)


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


JOINED = 8
"""The most tensors that a kernel concatenates. Its code grows with their number; kernels of equal numbers share it."""


def _lower_cat(request: KernelRequest) -> KernelProgram:
    """Return kernels with a part for each tensor, up to the number that a target binds at once and compiles quickly."""
    target, dim = request.outputs[0], request.attributes["dim"]
    room = min(request.profile.limits.get("max-storage-buffers-per-shader-stage", 1 << 30) - 1, JOINED)
    steps, start = [], 0
    filled = [operand for operand in request.operands if 0 not in operand.shape]
    for first in range(0, len(filled), room):
        builder = Builder("cat", renumbers=True)
        for part, source in enumerate(filled[first : first + room]):
            sizes, (own, out) = coalesce(source.shape, [source.strides, target.strides])
            indices = builder.axes(sizes)
            shift = builder.integer(f"shift{part}", start * target.strides[dim])
            builder.store(target, indices, builder.load(source, indices, own), out, shift=shift)
            builder.end_part()
            start += source.shape[dim]
        steps.append(builder.finish())
    return KernelProgram(tuple(steps))


def _gradient_cat(context: Gradient, grad: Any) -> list[Any]:
    dim = context.attributes["dim"]
    stops = tuple(accumulate(own.shape[dim] for own in context.types))
    parts = bind_views(SPLIT, grad, dim=dim, stops=stops)
    return [
        to_dtype(part, own.dtype) if own.dtype.kind == "float" else None
        for part, own in zip(parts, context.types, strict=True)
    ]


CAT = declare(
    "cat", rules=MOVE.but(tangent="linear_in_all"),
    infer=_infer_cat, reference=_reference_cat, lower=_lower_cat, gradient=_gradient_cat,
    doc="Tensors concatenated along a dimension.",
)  # fmt: skip


@function(method=False, out=CAT)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors concatenated along ``dim``; their other sizes are equal, and their types are promoted.

    >>> import weft as wf
    >>> wf.cat([wf.tensor([1, 2]), wf.tensor([3])])
    tensor([1, 2, 3])
    """
    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake("cat", "tensors", repr(tensors), "a non-empty sequence of tensors"))
    for position, tensor in enumerate(tensors):
        arguments.tensor("cat", f"tensors[{position}]", tensor)
    rank = max(len(tensor.shape) for tensor in tensors)
    if any(not tensor.shape for tensor in tensors):
        raise ShapeError("cat: 0-d tensors have no dimension to join; use stack")
    place = arguments.dimension("cat", dim, rank)
    if rank > 1:
        tensors = _without_empty(tensors)
    return bind(CAT, *tensors, dim=place)


def _without_empty(tensors: Sequence[Any]) -> Sequence[Any]:
    """Return the tensors without those of shape (0,), which any shape takes, as in PyTorch; their types still count."""
    kept = [tensor for tensor in tensors if tuple(tensor.shape) != (0,)]
    if len(kept) == len(tensors):
        return tensors
    dtype = promoted([TensorType(tuple(tensor.shape), tensor.dtype) for tensor in tensors])
    return [to_dtype(kept[0], dtype), *kept[1:]]


@function(method=False, out=CAT)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of equal shapes concatenated along a new dimension ``dim``.

    >>> import weft as wf
    >>> wf.stack([wf.tensor([1, 2]), wf.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake("stack", "tensors", repr(tensors), "a non-empty sequence of tensors"))
    shapes = {tuple(arguments.tensor("stack", "tensors", tensor).shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ShapeError(mistake("stack", "shapes", sorted(shapes), "equal shapes"))
    (shape,) = shapes
    place = arguments.dimension("stack", dim, len(shape) + 1)
    if place < len(shape):  # concatenated along an existing dimension, which is then split in two
        joined = bind(CAT, *tensors, dim=place)
        return bind(lookup("reshape"), joined, shape=(*shape[:place], len(tensors), *shape[place:]))
    return cat([unsqueeze(tensor, place) for tensor in tensors], place)
