"""Order statistics along a dimension: ``topk``, ``kthvalue``, ``median`` and ``nanmedian``."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, mistake
from weft.kernels import Builder, KernelProgram, KernelStep, Library, Offset
from weft.ops.make.creation import zeros_of
from weft.ops.reduce.sorting import Sorted, dense_rows, order_steps, reference_sort, rows_of, sorted_along
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import ROWS
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.ops import SLICE

SELECTED = 32
"""The largest ``count`` that ``topk`` finds by one pass over a row, where it is at most a quarter of the row."""


def _infer_topk(x: TensorType, *, dim: int, descending: bool, count: int) -> tuple[TensorType, ...]:
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    return (TensorType(shape, x.dtype), TensorType(shape, dtypes.int64))


def _reference_topk(x: Any, *, dim: int, descending: bool, count: int) -> Any:
    import numpy

    first = numpy.arange(count)
    return tuple(numpy.take(each, first, dim) for each in reference_sort(x, dim=dim, descending=descending))


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
    return scratch.program((*steps, builder.finish()))


def _gradient_topk(context: Gradient, grad: Any, _: Any) -> list[Any]:
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    places = context.output(1)
    return [bind(lookup("scatter"), zeros, grad, places, dim=context.attributes["dim"], mode="replace")]


TOPK = declare(
    "topk", rules=ROWS,
    infer=_infer_topk, reference=_reference_topk, lower=_lower_topk, gradient=_gradient_topk, saves_output=True,
    doc="The first elements of those along a dimension in order, stable, NaN last, and where they were.",
)  # fmt: skip


def _narrowed(value: Any, dim: int, start: int, count: int) -> Any:
    """Return a copy of a part, so that it is contiguous and the whole can be freed."""
    if not value.shape:
        return value
    return bind(lookup("copy"), bind(SLICE, value, dim=dim, start=start, stop=start + count, step=1))


@function(out=True)
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest (or smallest) elements along ``dim`` in order, and their indices: ``(values, indices)``.

    >>> import weft as wf
    >>> wf.topk(wf.tensor([3.0, 1.0, 2.0]), 2).values
    tensor([3., 2.])
    """
    count = arguments.integer("topk", "k", k)
    x = arguments.tensor("topk", "input", input)
    place = arguments.dimension("topk", dim, len(x.shape))
    size = x.shape[place] if x.shape else 1
    if not 0 <= count <= size:
        raise ArgumentError(mistake("topk", "k", count, f"in [0, {size}], the size of dimension {dim}"))
    if not x.shape or count in (0, size):
        return Sorted(*(_narrowed(each, place, 0, count) for each in sorted_along("topk", x, place, largest)))
    return Sorted(*bind(TOPK, x, dim=place, descending=bool(largest), count=count))


def _picked(input: Any, places: Any, dim: int, keepdim: bool) -> Sorted:
    """Return the element at one place of each row along ``dim``, where ``places`` has size 1, and that place."""
    values = bind(lookup("gather"), input, places, dim=dim)
    if not keepdim and input.shape:
        shape = tuple(size for d, size in enumerate(input.shape) if d != dim)
        values, places = (bind(lookup("reshape"), each, shape=shape) for each in (values, places))
    return Sorted(values, places)


def _dimension(name: str, input: Any, dim: int) -> tuple[int, int]:
    """Return the normalised dimension and its size; raise ``ArgumentError`` where it is empty."""
    place = arguments.dimension(name, dim, len(input.shape))
    size = input.shape[place] if input.shape else 1
    if size == 0:
        raise ArgumentError(
            mistake(name, "input", f"of shape {tuple(input.shape)}", "at least one element along dim")
        )
    return place, size


@function(out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The ``k``-th smallest element along ``dim``, from 1, and its index: ``(values, indices)``; NaN is largest."""
    x = arguments.tensor("kthvalue", "input", input)
    place, size = _dimension("kthvalue", x, dim)
    count = arguments.integer("kthvalue", "k", k)
    if not 1 <= count <= size:
        raise ArgumentError(mistake("kthvalue", "k", count, f"in [1, {size}], the size of dimension {dim}"))
    with_places = sorted_along("kthvalue", x, place, False)
    return _picked(x, _narrowed(with_places.indices, place, count - 1, 1), place, keepdim)


def _middle(name: str, input: Any, dim: int, keepdim: bool) -> Sorted:
    """Return the lower median along ``dim``: ``median`` gives the first NaN of a row, ``nanmedian`` skips NaN."""
    place, size = _dimension(name, input, dim)
    values, places = sorted_along(name, input, place, False)
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
    """Return the chosen element, with a gradient that is shared among all elements equal to it, as in PyTorch."""
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
