"""``indexed_linear``: products with matrices that an index chooses from a stack, as mixtures of experts need them.

The chosen matrices are read where they lie. Gathering them first would write and read each of them once more.
"""

from __future__ import annotations

from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.kernels import Builder, KernelProgram
from weft.ops.index.indexing import checked_index
from weft.ops.registry import sharing
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, TensorType
from weft.ops.registry.table import declare


def _infer(x: TensorType, weight: TensorType, index: TensorType) -> tuple[TensorType, ...]:
    if len(weight.shape) != 3:
        raise ShapeError(mistake("indexed_linear", "weight's shape", weight.shape, "(matrices, out, in)"))
    if len(x.shape) != 3 or x.shape[2] != weight.shape[2]:
        expected = f"(groups, rows, {weight.shape[2]})"
        raise ShapeError(mistake("indexed_linear", "input's shape", x.shape, expected))
    if index.shape != x.shape[:1]:
        raise ShapeError(mistake("indexed_linear", "index's shape", index.shape, f"({x.shape[0]},)"))
    if x.dtype.kind != "float" or weight.dtype is not x.dtype:
        given = f"{x.dtype.name} and {weight.dtype.name}"
        raise DTypeError(
            mistake("indexed_linear", "dtypes", given, "the same floating point type for input and weight")
        )
    if not index.dtype.is_integer:
        raise DTypeError(mistake("indexed_linear", "index's dtype", index.dtype.name, "an integer type"))
    return (TensorType((*x.shape[:2], weight.shape[1]), x.dtype),)


def _reference(x: Any, weight: Any, index: Any) -> Any:
    chosen = weight[index.astype("int64")].astype("float64")
    return (x.astype("float64") @ chosen.swapaxes(1, 2)).astype(x.dtype)


def _lower(request: KernelRequest) -> KernelProgram:
    x, weight, index = request.operands
    out = request.outputs[0]
    builder = Builder("indexed_linear")
    group, row, column = builder.axes(out.shape)
    (at,) = builder.reduce_axes((x.shape[2],))
    bound = builder.integer("bound", weight.shape[0])
    matrix = checked_index(builder, builder.load(index, [group]), bound)
    total = builder.reduce(
        "sum", builder.load(x, [group, row, at]) * builder.load(weight, [matrix, column, at])
    )
    builder.store(out, [group, row, column], total)
    results = out.shape[0] * out.shape[1] * out.shape[2]
    return KernelProgram((builder.finish(1, sharing.team(request.profile, results, x.shape[2])),))


INDEXED_LINEAR = declare(
    "indexed_linear", rules=Rules("in_turn"),
    infer=_infer, reference=_reference, lower=_lower, reports="index",
    doc="x[g] @ weight[index[g]].T of each group g.",
)  # fmt: skip
