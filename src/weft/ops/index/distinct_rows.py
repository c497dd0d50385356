"""``write_rows``: rows written at places that the caller knows to be distinct, such as slots of a cache.

``index_put`` finds the last of several writes to a place, for which it needs several kernels. Here the caller promises
that places are distinct and within the tensor; nothing checks that. Where a place is named twice, one of the rows, or a
mixture of their elements, stays. Rows have the trailing dimensions of the tensor; a place counts the rows in row-major
order. The write is one derived kernel, which fuses with the kernels that compute the values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, cast
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, coalesce
from weft.ops.registry import arguments
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, TensorType
from weft.ops.registry.table import declare
from weft.ops.views.ops import copy_step


def _infer(x: TensorType, values: TensorType, index: TensorType) -> tuple[TensorType, ...]:
    arguments.integral("write_rows", "index", index.dtype)
    rest = len(values.shape) - 1
    if len(index.shape) != 1 or not 0 <= rest < len(x.shape):
        given = f"{len(index.shape)}-dimensional, for values of shape {values.shape}"
        expected = f"1-dimensional, for values of at most {len(x.shape)} dimensions"
        raise ShapeError(mistake("write_rows", "index", given, expected))
    expected_shape = (*index.shape, *x.shape[len(x.shape) - rest :])
    if values.shape != expected_shape:
        raise ShapeError(mistake("write_rows", "values' shape", values.shape, expected_shape))
    if values.dtype is not x.dtype:
        raise DTypeError(
            mistake("write_rows", "values' dtype", values.dtype.name, f"{x.dtype.name}, as the input's")
        )
    return (x,)


def _reference(x: Any, values: Any, index: Any) -> Any:
    result = x.copy()
    result.reshape(-1, *values.shape[1:])[index.astype("int64")] = values
    return result


def _places(builder: Builder, place: Expr, lead: Sequence[int]) -> list[Expr]:
    """Return the coordinates of a place in leading dimensions, of which all but the first have these sizes."""
    found: list[Expr] = []
    for size in reversed(lead):
        rest = call("idiv", place, builder.integer(f"size{len(found)}", size))
        found.append(place - rest * builder.integer(f"size{len(found)}", size))
        place = rest
    return [place, *reversed(found)]


def _lower(request: KernelRequest) -> KernelProgram:
    x, values, index = request.operands
    target, steps = request.outputs[0], list[KernelStep]()
    if x is not target and math.prod(target.shape) > 0:
        steps.append(copy_step("copy", x, target, x.shape, x.strides, target.strides))
    if math.prod(values.shape) > 0:
        lead = len(x.shape) - len(values.shape) + 1
        sizes, (strides,) = coalesce(x.shape[:lead], [target.strides[:lead]])
        builder = Builder("write_rows")
        (row,) = builder.axes(index.shape)
        rest, (given, own) = coalesce(x.shape[lead:], [values.strides[1:], target.strides[lead:]])
        columns = builder.axes(rest, "c")
        places = _places(builder, cast(builder.load(index, [row]), INDEX), sizes[1:])
        value = builder.load(values, [row, *columns], [values.strides[0], *given])
        builder.store(target, [*places, *columns], value, [*strides, *own])
        steps.append(builder.finish())
    return KernelProgram(tuple(steps))


WRITE_ROWS = declare(
    "write_rows", rules=Rules("in_turn"), infer=_infer, reference=_reference, lower=_lower, overwrites=(0,),
    doc="The input with rows written at distinct places, which are not checked, of its leading dimensions as one.",
)  # fmt: skip


def write_rows(x: Any, index: Any, values: Any) -> None:
    """Write the rows of ``values`` at the places ``index`` into a tensor, in place."""
    bind(WRITE_ROWS, x, values, index, into=(x,))
