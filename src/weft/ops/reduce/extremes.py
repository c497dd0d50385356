"""``max`` and ``min`` of all elements, along a dimension with indices, and of two tensors; ``aminmax``."""

from __future__ import annotations

from typing import Any, NamedTuple

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.kernels.derived import Combine
from weft.ops.reduce.fold_kernels import extreme_lowering
from weft.ops.reduce.reduction import reduced_shape
from weft.ops.reduce.sorting import PLACE, Sorted
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import REDUCTION
from weft.ops.registry.spec import Gradient, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup


def _declare(name: str, position: Combine, doc: str) -> OpSpec:
    def infer(x: TensorType, *, dim: int, keepdim: bool) -> tuple[TensorType, ...]:
        if x.shape and x.shape[dim] == 0:
            raise ArgumentError(
                mistake(name, "input", f"of shape {x.shape}", "at least one element along dim")
            )
        shape = reduced_shape(x.shape, (dim,), keepdim)
        return (TensorType(shape, x.dtype), TensorType(shape, dtypes.int64))

    def reference(x: Any, *, dim: int, keepdim: bool) -> Any:
        import numpy

        if not x.ndim:
            return x.copy(), numpy.zeros((), "int64")
        places = numpy.expand_dims(getattr(numpy, position)(x, axis=dim), dim)
        values = numpy.take_along_axis(x, places, dim)
        shape = reduced_shape(x.shape, (dim,), keepdim)
        return values.reshape(shape), places.reshape(shape).astype("int64")

    def gradient(context: Gradient, grad: Any, _: Any) -> list[Any]:
        source, dim, places = context.types[0], context.attributes["dim"], context.output(1)
        if not source.shape:
            return [grad]
        if context.attributes["keepdim"]:
            shape = reduced_shape(source.shape, (dim,), False)
            grad, places = (bind(lookup("reshape"), value, shape=shape) for value in (grad, places))
        return [bind(PLACE, grad, places, dim=dim, size=source.shape[dim])]

    return declare(
        name, rules=REDUCTION.but(batching="rows"),
        infer=infer, reference=reference, lower=extreme_lowering(name, position), gradient=gradient,
        saves_output=True, doc=doc,
    )  # fmt: skip


MAX = _declare("max", "argmax", "The largest element along a dimension and its first place, in one kernel.")
MIN = _declare("min", "argmin", "The smallest element along a dimension and its first place, in one kernel.")


def _extreme(op: OpSpec, all_of: str, two: str, input: Any, dim: Any, keepdim: bool) -> Any:
    x = arguments.tensor(op.name, "input", input)
    if hasattr(dim, "dtype"):
        if keepdim:
            raise ArgumentTypeError(mistake(op.name, "keepdim", keepdim, "no keepdim with two tensors"))
        return bind(lookup(two), x, dim)
    if dim is None:
        return bind(lookup(all_of), x, dims=tuple(range(len(x.shape))), keepdim=False, equal_nan=True)
    place = arguments.dimension(op.name, dim, len(x.shape))
    return Sorted(*bind(op, x, dim=place, keepdim=bool(keepdim)))


@function(out=(MAX, "amax", "maximum"))
def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """The largest element of all; along ``dim`` as ``(values, indices)``; or the larger of two tensors; NaN propagates.

    >>> import weft as wf
    >>> wf.max(wf.tensor([[1, 5], [7, 2]]), 1).indices
    tensor([1, 0])
    """
    return _extreme(MAX, "amax", "maximum", input, dim, keepdim)


@function(out=(MIN, "amin", "minimum"))
def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """The smallest element; along ``dim`` as ``(values, indices)``; or the smaller of two tensors; NaN propagates."""
    return _extreme(MIN, "amin", "minimum", input, dim, keepdim)


class Range(NamedTuple):
    """The result of ``aminmax``."""

    min: Any
    max: Any


@function(out=True)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest element, of all or along ``dim``: ``(min, max)``; NaN is propagated."""
    x = arguments.tensor("aminmax", "input", input)
    dims = (
        tuple(range(len(x.shape)))
        if dim is None
        else (arguments.dimension("aminmax", dim, len(x.shape)),)[: len(x.shape)]
    )
    return Range(*(bind(lookup(name), x, dims=dims, keepdim=bool(keepdim)) for name in ("amin", "amax")))
