"""Binary search in sorted rows: ``searchsorted`` and ``bucketize``."""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.expr import Expr, call, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup


def _infer_search(
    rows: TensorType, values: TensorType, *, right: bool, out_int32: bool
) -> tuple[TensorType, ...]:
    if len(rows.shape) > 1 and rows.shape[:-1] != values.shape[:-1]:
        expected = f"{rows.shape[:-1]} before the last, as the sorted sequence"
        raise ShapeError(mistake("searchsorted", "values' dimensions", values.shape[:-1], expected))
    if rows.dtype is not values.dtype:
        raise DTypeError(
            mistake(
                "searchsorted",
                "values' dtype",
                values.dtype.name,
                f"{rows.dtype.name}, as the sorted sequence's",
            )
        )
    return (TensorType(values.shape, dtypes.int32 if out_int32 else dtypes.int64),)


def _reference_search(rows: Any, values: Any, *, right: bool, out_int32: bool) -> Any:
    import numpy

    side: Any = "right" if right else "left"
    dtype = "int32" if out_int32 else "int64"
    if rows.ndim == 1:
        return numpy.searchsorted(rows, values, side).astype(dtype)
    found = numpy.zeros(values.shape, dtype)
    for at in numpy.ndindex(rows.shape[:-1]):
        found[at] = numpy.searchsorted(rows[at], values[at], side)
    return found


def _lower_search(request: KernelRequest) -> KernelProgram:
    """Return a kernel of a binary search with a comparison for each bit of the row's length.

    Lengths of the same number of bits share the kernel.
    """
    rows, values = request.operands
    n = rows.shape[-1]
    builder = Builder("searchsorted")
    axes = builder.axes(values.shape or (1,))
    value = builder.load(values, axes, values.strides or (0,))
    size, found = builder.integer("n", n), const(0, INDEX)
    leading = axes[:-1] if len(rows.shape) > 1 else []
    for bit in reversed(range(n.bit_length())):
        reach = found + const(1 << bit, INDEX)
        inside = reach <= size
        element = builder.load(rows, [*leading, where(inside, reach - 1, const(0, INDEX))])
        before = _is_before(element, value, request.attributes["right"])
        found = where(inside & before, reach, found)
    builder.store(request.outputs[0], axes, found, request.outputs[0].strides or (0,))
    return KernelProgram((builder.finish(),))


def _is_before(element: Expr, value: Expr, right: bool) -> Expr:
    """Return whether an element of the row is before the insertion point of a value; NaN is the largest number."""
    before = element <= value if right else element < value
    if element.dtype.kind != "float":
        return before
    missing = call("isnan", value)
    return before | (missing if right else missing & call("not", call("isnan", element)))


SEARCHSORTED = declare(
    "searchsorted", rules=Rules("searchsorted"),
    infer=_infer_search, reference=_reference_search, lower=_lower_search,
    doc="The insertion points of values in sorted rows.",
)  # fmt: skip


@function(method=False, out=SEARCHSORTED)
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """The insertion index of each value in the sorted last dimension: before equal elements, or after with ``right``.

    ``sorted_sequence`` is 1-d, or has the values' leading dimensions. The result has the values' shape and is int64, or
    int32 with ``out_int32``. ``sorter``, of the sequence's shape, gives the order of a sequence that is not sorted.

    >>> import weft as wf
    >>> wf.searchsorted(wf.tensor([1, 3, 5]), wf.tensor([3, 4]))
    tensor([1, 2])
    """
    rows = arguments.tensor("searchsorted", "sorted_sequence", sorted_sequence)
    if not rows.shape:
        raise ShapeError(
            mistake("searchsorted", "sorted_sequence", "0-dimensional", "at least 1-dimensional")
        )
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(
            mistake("searchsorted", "side", repr(side), "'left' or 'right', in agreement with right")
        )
    values = input
    if isinstance(input, bool | int | float):
        values = bind(lookup("full"), input, shape=(), dtype=rows.dtype, device=str(rows.device))
    arguments.tensor("searchsorted", "input", values)
    if sorter is not None:
        order = arguments.tensor("searchsorted", "sorter", sorter)
        arguments.integral("searchsorted", "sorter", order.dtype)
        if tuple(order.shape) != tuple(rows.shape):
            given, expected = tuple(order.shape), f"{tuple(rows.shape)}, as sorted_sequence has"
            raise ShapeError(mistake("searchsorted", "sorter's shape", given, expected))
        rows = bind(lookup("gather"), rows, order, dim=len(rows.shape) - 1)
    return bind(SEARCHSORTED, rows, values, right=bool(right or side == "right"), out_int32=bool(out_int32))


@function(method=False, out=SEARCHSORTED)
def bucketize(
    input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each value between the 1-d sorted ``boundaries``, as ``searchsorted``."""
    arguments.tensor("bucketize", "boundaries", boundaries, 1)
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
