"""Products with quantised matrices: ``quantized_linear`` and ``quantized_embedding``.

An element of the matrix is ``scale * (q - zero) + minimum``, with a scale and a minimum for each row and group of
columns. On the CPU float32 activations are quantised to 8 bits too, by groups of 32, or of 16 where scales belong
to 16 columns, so that the products are of integers; in other types and on other targets they stay as they are.
"""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, cast, const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.kernels.library.quantized import (
    GROUP,
    QUAD,
    ROWS,
    SCALE_COLUMNS,
    activation_group,
    group_bytes,
    separate,
)
from weft.ops.index.indexing import checked_index
from weft.ops.make.creation import to_dtype
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch, is_dense
from weft.ops.views.ops import copy_step

TILE = 4
"""Rows of activations that a kernel multiplies by each load of the matrix."""


def bits_of(packed: Any) -> int:
    """Return the bits of an element: 4 or 8."""
    return 4 if packed.shape[2] == group_bytes(4) else 8


def _checked(
    where: str, packed: TensorType, scales: TensorType, minima: tuple[TensorType, ...], rows: int
) -> int:
    """Check a quantised matrix; return its columns."""
    if (
        packed.dtype is not dtypes.uint8
        or len(packed.shape) != 3
        or packed.shape[2] not in (group_bytes(4), group_bytes(8))
    ):
        expected = f"uint8 (blocks, groups, {group_bytes(4)} or {group_bytes(8)})"
        raise ShapeError(mistake(where, "packed", repr(packed), expected))
    blocks, groups = packed.shape[:2]
    if -(-rows // ROWS) != blocks:
        raise ShapeError(mistake(where, "rows", rows, f"a number of rows in {blocks} blocks of {ROWS}"))
    most = groups * GROUP // SCALE_COLUMNS
    fits = len(scales.shape) == 3 and scales.shape[0] == blocks and scales.shape[2] == ROWS
    if not fits or not scales.shape[1] or most % scales.shape[1]:
        expected = f"({blocks}, {most} or a divisor, {ROWS})"
        raise ShapeError(mistake(where, "scales' shape", scales.shape, expected))
    for given in minima:
        if given.shape != scales.shape:
            raise ShapeError(
                mistake(where, "minima's shape", given.shape, f"the scales' shape, {scales.shape}")
            )
    return groups * GROUP


def _infer_linear(
    x: TensorType, packed: TensorType, scales: TensorType, *minima: TensorType, rows: int, zero: int
) -> tuple[TensorType, ...]:
    columns = _checked("quantized_linear", packed, scales, minima, rows)
    if x.dtype.kind != "float":
        raise DTypeError(mistake("quantized_linear", "input's dtype", x.dtype.name, "a floating point type"))
    if not x.shape or x.shape[-1] != columns:
        raise ShapeError(mistake("quantized_linear", "input's shape", x.shape, f"(..., {columns})"))
    return (TensorType((*x.shape[:-1], rows), x.dtype),)


def dequantized(packed: Any, scales: Any, minima: tuple[Any, ...], rows: int, zero: int) -> Any:
    """Return the matrix that NumPy arrays describe: float32 (rows, columns)."""
    import numpy

    quants = separate(packed).astype(numpy.float32) - numpy.float32(zero)

    def spread(values: Any) -> Any:
        wide = values.astype(numpy.float32).transpose(0, 2, 1).reshape(len(quants), -1)
        return numpy.repeat(wide, quants.shape[1] // wide.shape[1], axis=1)

    matrix = quants * spread(scales)
    return (matrix + spread(minima[0]) if minima else matrix)[:rows]


def _reference_linear(x: Any, packed: Any, scales: Any, *minima: Any, rows: int, zero: int) -> Any:
    matrix = dequantized(packed, scales, minima, rows, zero)
    return (x.astype("float64") @ matrix.T.astype("float64")).astype(x.dtype)


def _divided(value: Expr, by: int) -> Expr:
    return call("idiv", value, const(by, INDEX))


def _rest(value: Expr, by: int) -> Expr:
    return value - _divided(value, by) * const(by, INDEX)


def _element(
    builder: Builder,
    packed: Operand,
    scales: Operand,
    minima: tuple[Operand, ...],
    row: Expr,
    column: Expr,
    zero: int,
) -> Expr:
    """Return the matrix's element as an expression over loads of the packed tensors."""
    bits = bits_of(packed)
    block, group = _divided(row, ROWS), _divided(column, GROUP)
    place = _rest(column, GROUP if bits == 8 else GROUP // 2)
    byte = (
        _divided(place, QUAD) * const(ROWS * QUAD, INDEX)
        + _rest(row, ROWS) * const(QUAD, INDEX)
        + _rest(place, QUAD)
    )
    loaded = cast(builder.load(packed, [block, group, byte]), INDEX)
    if bits == 4:
        shift = _divided(_rest(column, GROUP), GROUP // 2) * const(4, INDEX)
        loaded = call("and", call("shr", loaded, shift), const(15, INDEX))
    whole = cast(loaded - const(zero, INDEX), dtypes.float32)

    def of_group(values: Operand) -> Expr:
        own = _divided(column, packed.shape[1] * GROUP // values.shape[1])
        return cast(builder.load(values, [block, own, _rest(row, ROWS)]), dtypes.float32)

    value = whole * of_group(scales)
    return value + of_group(minima[0]) if minima else value


def _lower_linear(request: KernelRequest) -> KernelProgram:
    x, packed, scales, *minima = request.operands
    out, zero = request.outputs[0], request.attributes["zero"]
    if not request.profile.capabilities.workgroups and x.dtype is dtypes.float32:
        return _integer_program(request)
    builder = Builder("quantized_linear")
    *lead, row = builder.axes(out.shape)
    (column,) = builder.reduce_axes((x.shape[-1],))
    element = _element(builder, packed, scales, tuple(minima), row, column, zero)
    total = builder.reduce("sum", builder.load(x, [*lead, column]) * cast(element, x.dtype.compute))
    builder.store(out, [*lead, row], total)
    return KernelProgram((builder.finish(),))


def _integer_program(request: KernelRequest) -> KernelProgram:
    """Quantise the activations' rows, then multiply integers; operands are dense."""
    x, packed, scales, *minima = request.operands
    out, rows, zero = request.outputs[0], request.attributes["rows"], request.attributes["zero"]
    scratch, steps = Scratch.of(request), []
    columns, groups = x.shape[-1], packed.shape[1]
    group = activation_group(groups, scales.shape[1])
    parts = columns // group
    count = math.prod(x.shape[:-1])
    target = out if is_dense(out) else scratch.take(out.dtype, out.shape)
    quants = scratch.take(dtypes.int8, (count, columns))
    factors = scratch.take(dtypes.float32, (2, count, parts))
    sums = scratch.take(dtypes.int32, (count, parts))
    buffers = (x, quants, factors, sums)
    steps.append(
        KernelStep(
            Library("quantize_rows", tuple(each.dtype for each in buffers), (("group", group),)),
            tuple(each.index for each in buffers),
            (count, groups, *(Offset(each.index) for each in buffers)),
        )
    )
    tile = min(TILE, count)
    options = (
        ("bits", bits_of(packed)),
        ("group", group),
        ("minima", bool(minima)),
        ("share", parts // scales.shape[1]),
        ("tile", tile),
        ("zero", zero),
    )
    operands = (quants, factors, sums, packed, scales, *minima, target)
    steps.append(
        KernelStep(
            Library("quantized_linear", tuple(each.dtype for each in operands), options),
            tuple(each.index for each in operands),
            (count, rows, groups, *(Offset(each.index) for each in operands)),
        )
    )
    if target is not out:
        steps.append(copy_step("copy", target, out, out.shape, target.strides, out.strides))
    return KernelProgram(tuple(steps), tuple(scratch.taken))


def _gradient_linear(context: Gradient, grad: Any) -> list[Any]:
    """Return the input's gradient: the product with the dequantised matrix, whose rows are taken one by one."""
    packed, scales, *minima = (context.input(at) for at in range(1, len(context.types)))
    rows = context.attributes["rows"]
    order = bind(lookup("arange"), 0, 1, count=rows, dtype=dtypes.int64, device=str(grad.device))
    matrix = bind(
        QUANTIZED_EMBEDDING, order, packed, scales, *minima, rows=rows, zero=context.attributes["zero"]
    )
    flat = bind(lookup("reshape"), grad, shape=(math.prod(grad.shape[:-1]), rows))
    product = bind(lookup("matmul"), flat, to_dtype(matrix, grad.dtype))
    return [
        bind(lookup("reshape"), product, shape=context.types[0].shape),
        *(None for _ in range(2 + len(minima))),
    ]


def _matrix_operands(wanted: tuple[bool, ...]) -> tuple[int, ...]:
    return tuple(range(1, len(wanted)))


QUANTIZED_LINEAR = declare(
    "quantized_linear", rules=Rules("quantized"),
    infer=_infer_linear, reference=_reference_linear, lower=_lower_linear, gradient=_gradient_linear,
    saves=_matrix_operands, dense=True, doc="x @ W.T with a quantised W.",
)  # fmt: skip


def _infer_embedding(
    index: TensorType, packed: TensorType, scales: TensorType, *minima: TensorType, rows: int, zero: int
) -> tuple[TensorType, ...]:
    columns = _checked("quantized_embedding", packed, scales, minima, rows)
    if not index.dtype.is_integer:
        raise DTypeError(mistake("quantized_embedding", "input's dtype", index.dtype.name, "an integer type"))
    return (TensorType((*index.shape, columns), dtypes.float32),)


def _reference_embedding(index: Any, packed: Any, scales: Any, *minima: Any, rows: int, zero: int) -> Any:
    return dequantized(packed, scales, minima, rows, zero)[index.astype("int64")]


def _lower_embedding(request: KernelRequest) -> KernelProgram:
    index, packed, scales, *minima = request.operands
    out, rows, zero = request.outputs[0], request.attributes["rows"], request.attributes["zero"]
    builder = Builder("quantized_embedding")
    *lead, column = builder.axes(out.shape)
    row = checked_index(builder, builder.load(index, lead, index.strides), builder.integer("bound", rows))
    value = _element(builder, packed, scales, tuple(minima), row, column, zero)
    builder.store(out, [*lead, column], value)
    return KernelProgram((builder.finish(),))


QUANTIZED_EMBEDDING = declare(
    "quantized_embedding", rules=Rules("quantized"),
    infer=_infer_embedding, reference=_reference_embedding, lower=_lower_embedding, dense=True, reports="input",
    doc="Rows of a quantised matrix at an index tensor.",
)  # fmt: skip
