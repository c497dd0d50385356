"""Matrix products: the ops ``matmul`` and ``linear``, by library kernels or by a kernel derived from the formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from weft.dtypes import bfloat16, float16, from_numpy
from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import cast
from weft.kernels import Builder, KernelProgram, KernelStep, Operand, coalesce
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.products import TINY, ProductLayout, gpu_program
from weft.ops.pointwise.expressions import broadcast_strides, unbroadcast
from weft.ops.reduce.checked_sums import checked_total, is_short
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind, on_default_stack
from weft.ops.registry.rules import UNFUSED, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.ops import copy_step
from weft.target import TargetProfile


def _infer(a: TensorType, b: TensorType, *, wide: bool = False) -> tuple[TensorType, ...]:
    if a.dtype is not b.dtype:
        raise DTypeError(
            mistake("matmul", "other's dtype", b.dtype.name, f"{a.dtype.name}, as the first operand's")
        )
    if a.dtype.kind == "bool":
        raise DTypeError(
            mistake("matmul", "input's dtype", "bool", "a number type", "convert it with .to(weft.int32)")
        )
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not multiply: {a.shape[-1]} columns meet {b.shape[-2]} rows"
        )
    batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    return (TensorType((*batch, a.shape[-2], b.shape[-1]), a.dtype.compute if wide else a.dtype),)


def _reference(a: Any, b: Any, *, wide: bool = False) -> Any:
    import numpy

    inner = "float64" if a.dtype.kind not in "iub" else a.dtype
    result = from_numpy(a.dtype).compute.numpy if wide else a.dtype
    return numpy.matmul(a.astype(inner), b.astype(inner)).astype(result)


def derived_matmul(a: Operand, b: Operand, c: Operand) -> KernelStep:
    """Return the derived kernel: one reduction for each element of the product, for any type and any strides."""
    batch = c.shape[:-2]
    sizes, (own_a, own_b, own_c) = coalesce(batch, [_batch_strides(o, batch) for o in (a, b, c)])
    accumulator = c.dtype.compute
    builder = Builder("matmul_derived")
    *outer, i, j = builder.axes((*sizes, c.shape[-2], c.shape[-1]))
    (k,) = builder.reduce_axes((a.shape[-1],))
    left = builder.load(a, [*outer, i, k], [*own_a, *a.strides[-2:]])
    right = builder.load(b, [*outer, k, j], [*own_b, *b.strides[-2:]])
    total = builder.reduce("sum", cast(left, accumulator) * cast(right, accumulator))
    builder.store(c, [*outer, i, j], total, [*own_c, *c.strides[-2:]])
    return builder.finish()


def _batch_strides(operand: Operand, batch: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of an operand over the broadcast batch dimensions."""
    leading = Operand(operand.index, operand.dtype, operand.shape[:-2], operand.strides[:-2])
    return broadcast_strides(leading, batch)


def matmul_layout(a: Operand, b: Operand, c: Operand) -> ProductLayout | None:
    """Return the layout of a product over two batch dimensions; ``None`` where the batch does not coalesce into two."""
    batch = c.shape[:-2]
    sizes, strides = coalesce(batch, [_batch_strides(o, batch) for o in (a, b, c)])
    if len(sizes) > 2:
        return None
    rows = c.shape[-2]
    if (
        len(sizes) == 1
        and strides[1] == (0,)
        and all(own[0] == rows * o.strides[-2] for o, own in ((a, strides[0]), (c, strides[2])))
    ):  # one right-hand matrix for the whole batch: the batch becomes rows of the left-hand matrix
        rows, sizes, strides = rows * sizes[0], (1,), [(0,), (0,), (0,)]
    first, second = (1,) * (2 - len(sizes)) + sizes
    own_a, own_b, own_c = (
        (*((0,) * (2 - len(own)) + own), *operand.strides[-2:])
        for operand, own in zip((a, b, c), strides, strict=True)
    )
    return ProductLayout((first, second), rows, c.shape[-1], a.shape[-1], own_a, own_b, own_c)


def matmul_step(a: Operand, b: Operand, c: Operand) -> KernelStep | None:
    """Return the library kernel's call; ``None`` where the batch does not coalesce into two dimensions."""
    layout = matmul_layout(a, b, c)
    return None if layout is None else layout.step(a, b, c)


HALF_ALONE = 1 << 19
"""Multiplications up to which a 16-bit product runs faster in the derived kernel than converted to float32 for BLAS."""


def _blas_ready(operand: Operand) -> bool:
    """Return whether BLAS can read a matrix without a copy.

    BLAS takes a unit stride along one dimension, and along the other a stride of at least the first one's size.
    """
    (rows, columns), (down, across) = operand.shape[-2:], operand.strides[-2:]
    return (across == 1 and (down >= max(columns, 1) or rows == 1)) or (
        down == 1 and (across >= max(rows, 1) or columns == 1)
    )


def matmul_program(
    a: Operand, b: Operand, c: Operand, profile: TargetProfile, first_temporary: int
) -> KernelProgram:
    """Return a product by the target's best kernel; operands that BLAS cannot read are copied to dense ones first."""
    if c.dtype.kind != "float":
        return KernelProgram((derived_matmul(a, b, c),))
    if profile.capabilities.workgroups:
        tiny = not profile.software and math.prod(c.shape) * a.shape[-1] <= TINY and 1 not in c.shape[-2:]
        found = None if tiny else _two_batches(a, b, c, first_temporary)
        if found is None:
            return KernelProgram((derived_matmul(a, b, c),))
        return _after_copies(a, b, c, *found, profile)
    half, narrow = a.dtype.bits < 32, c.dtype.bits < 32
    if "blas" not in profile.features or (
        (half and math.prod(c.shape) * a.shape[-1] <= HALF_ALONE) or not (narrow or _blas_ready(c))
    ):
        return KernelProgram((derived_matmul(a, b, c),))
    scratch, steps, ready = Scratch(first_temporary), list[KernelStep](), list[Operand]()
    for operand in (a, b):
        if half or not _blas_ready(operand):
            dense = scratch.take(operand.dtype.compute, operand.shape)
            steps.append(copy_step("copy", operand, dense, operand.shape, operand.strides, dense.strides))
            operand = dense
        ready.append(operand)
    target = scratch.take(c.dtype.compute, c.shape) if narrow else c
    steps.append(matmul_step(ready[0], ready[1], target) or derived_matmul(ready[0], ready[1], target))
    if narrow:
        steps.append(copy_step("copy", target, c, c.shape, target.strides, c.strides))
    return scratch.program(steps)


def _two_batches(
    a: Operand, b: Operand, c: Operand, free: int
) -> tuple[ProductLayout, dict[int, Operand], Scratch] | None:
    """Return a product's layout over two batch dimensions, and the dense copies of operands that it needs.

    As few operands as possible are copied. ``None`` where the result's own strides do not coalesce.
    """
    for copied in ((), (0,), (1,), (0, 1)):
        scratch, dense = Scratch(free), dict[int, Operand]()
        for at in copied:
            operand = (a, b)[at]
            dense[at] = scratch.take(operand.dtype, (*c.shape[:-2], *operand.shape[-2:]))
        layout = matmul_layout(dense.get(0, a), dense.get(1, b), c)
        if layout is not None:
            return layout, dense, scratch
    return None


def _after_copies(
    a: Operand, b: Operand, c: Operand, layout: ProductLayout, dense: dict[int, Operand], scratch: Scratch,
    profile: TargetProfile,
) -> KernelProgram:  # fmt: skip
    """Return a product whose ``dense`` operands are first copied, broadcast over the whole batch."""
    steps = []
    for at, target in dense.items():
        operand = (a, b)[at]
        strides = (*_batch_strides(operand, c.shape[:-2]), *operand.strides[-2:])
        steps.append(copy_step("copy", operand, target, target.shape, strides, target.strides))
    product = gpu_program(dense.get(0, a), dense.get(1, b), c, layout, profile, scratch.free)
    return KernelProgram((*steps, *product.steps), (*scratch.taken, *product.temporaries))


def _lower(request: KernelRequest) -> KernelProgram:
    a, b, c = request.operands[0], request.operands[1], request.outputs[0]
    program = matmul_program(a, b, c, request.profile, 3)
    if is_short(c, request.profile):
        return checked_total(program, c, 3, lambda into, free: KernelProgram((derived_matmul(a, b, into),)))
    return program


def swap_last(value: Any) -> Any:
    """Transpose the last two dimensions."""
    rank = len(value.shape)
    return bind(lookup("permute"), value, order=(*range(rank - 2), rank - 1, rank - 2))


def _gradient(context: Gradient, grad: Any) -> list[Any]:
    by_a = by_b = None
    grad = to_dtype(grad, context.types[0].dtype)
    if context.needs[0]:
        by_a = unbroadcast(bind(MATMUL, grad, swap_last(context.input(1))), context.types[0])
    if context.needs[1]:
        a, shape = context.input(0), context.types[1].shape
        if (
            len(shape) == 2 < len(a.shape)
        ):  # one product over the rows of all batches, rather than a sum of products
            a, grad = _rows(a), _rows(grad)
        by_b = unbroadcast(bind(MATMUL, swap_last(a), grad), context.types[1])
    return [by_a, by_b]


def _rows(value: Any) -> Any:
    """View a batch of matrices as one matrix of all their rows."""
    shape = tuple(value.shape)
    return bind(lookup("reshape"), value, shape=(math.prod(shape[:-1]), shape[-1]))


def saves_other(needs: tuple[bool, ...]) -> tuple[int, ...]:
    """Return the positions of the operands that a bilinear op saves: the gradient of each operand reads the other."""
    return tuple(1 - position for position in (1, 0) if needs[position])


MATMUL = declare(
    "matmul", rules=Rules("matmul", "matmul", "bilinear", precision="lower"),
    infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, saves=saves_other,
    attributes=({}, {"wide": bool}), reports="total",
    doc="Products of matrices, over broadcast leading dimensions; of 16-bit numbers in float32 where ``wide``.",
)  # fmt: skip


@function(operators=("__matmul__", "__rmatmul__"), out="matmul")
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product, as ``torch.matmul``: (*, n, k) by (*, k, m) gives (*, n, m).

    Leading dimensions broadcast. A vector (k) acts as a row on the left and as a column on the right.

    >>> import weft as wf
    >>> wf.matmul(wf.tensor([[1.0, 2.0]]), wf.tensor([3.0, 4.0]))
    tensor([11.])
    """
    return product_of(input, other)


def wide_option(*operands: Any) -> dict[str, Any]:
    """Return the option of a product to which a composite then adds another operand.

    A product of 16-bit numbers stays in float32 (``wide``), so that the sum is rounded once.
    """
    first = operands[0].dtype
    if first is not float16 and first is not bfloat16:
        return {}
    return {"wide": True} if all(operand.dtype is first for operand in operands) else {}


def product_of(input: Any, other: Any, **options: Any) -> Any:
    """Return ``matmul`` of two tensors, with the op's attributes as ``options``."""
    a, b = arguments.tensor("matmul", "input", input), arguments.tensor("matmul", "other", other)
    if not a.shape or not b.shape:
        name = "input" if not a.shape else "other"
        raise ShapeError(mistake("matmul", name, "0-dimensional", "at least 1-dimensional", "use *"))
    row, column = len(a.shape) == 1, len(b.shape) == 1
    if a.shape[-1] != b.shape[-1 if column else -2]:
        _infer(TensorType(tuple(a.shape), a.dtype), TensorType(tuple(b.shape) + (1,) * column, b.dtype))
    reshape = lookup("reshape")
    a = bind(reshape, a, shape=(1, *a.shape)) if row else a
    b = bind(reshape, b, shape=(*b.shape, 1)) if column else b
    product = bind(MATMUL, a, b, **options)
    if row or column:
        shape = tuple(product.shape)
        kept = shape[:-2] + (() if row else shape[-2:-1]) + (() if column else shape[-1:])
        product = bind(reshape, product, shape=kept)
    return product


@function(out="matmul")
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, without broadcasting: (n, k) by (k, m) gives (n, m), as ``torch.mm``."""
    return matmul(arguments.tensor("mm", "input", input, 2), arguments.tensor("mm", "mat2", mat2, 2))


def _infer_linear(x: TensorType, weight: TensorType, bias: TensorType) -> tuple[TensorType, ...]:
    _infer(x, TensorType(weight.shape[::-1], weight.dtype))
    if bias.dtype is not x.dtype:
        raise DTypeError(
            mistake("linear", "bias's dtype", bias.dtype.name, f"{x.dtype.name}, as the input's")
        )
    if bias.shape != weight.shape[:1]:
        raise ShapeError(
            mistake("linear", "bias's shape", bias.shape, f"{weight.shape[:1]}, the weight's rows")
        )
    return (TensorType((*x.shape[:-1], weight.shape[0]), x.dtype),)


def _reference_linear(x: Any, weight: Any, bias: Any) -> Any:
    return (_reference(x.astype("float64"), weight.T.astype("float64")) + bias).astype(x.dtype)


def _lower_linear(request: KernelRequest) -> KernelProgram:
    """Return the product, and a kernel that adds the bias in place."""
    x, weight, bias = request.operands
    (out,) = request.outputs
    transposed = replace(weight, shape=weight.shape[::-1], strides=weight.strides[::-1])
    program = matmul_program(x, transposed, out, request.profile, 4)
    builder = Builder("add_bias")
    sizes, (strides, bias_strides) = coalesce(out.shape, [out.strides, broadcast_strides(bias, out.shape)])
    axes = builder.axes(sizes)
    total = builder.load(out, axes, strides) + builder.load(bias, axes, bias_strides)
    builder.store(out, axes, total, strides)
    return KernelProgram((*program.steps, builder.finish()), program.temporaries)


def _run_linear(x: Any, weight: Any, bias: Any) -> tuple[Any, ...]:
    return (bind(lookup("add"), bind(MATMUL, x, swap_last(weight)), bias),)


def _gradient_linear(context: Gradient, grad: Any) -> list[Any]:
    by_x = by_weight = by_bias = None
    shape = context.types[0].shape
    if context.needs[0]:
        by_x = bind(MATMUL, grad, context.input(1))
    if context.needs[1] or context.needs[2]:
        rows = math.prod(shape[:-1])
        flat = grad if len(shape) == 2 else bind(lookup("reshape"), grad, shape=(rows, grad.shape[-1]))
        if context.needs[1]:
            x = context.input(0)
            x = x if len(shape) == 2 else bind(lookup("reshape"), x, shape=(rows, shape[-1]))
            by_weight = bind(MATMUL, swap_last(flat), x)
        if context.needs[2]:
            by_bias = bind(lookup("sum"), flat, dims=(0,), keepdim=False)
    return [by_x, by_weight, by_bias]


def _saves_linear(needs: tuple[bool, ...]) -> tuple[int, ...]:
    return tuple([at for at, other in ((0, 1), (1, 0)) if needs[other]])


LINEAR: OpSpec = declare(
    "linear", rules=UNFUSED,
    infer=_infer_linear, reference=_reference_linear, lower=_lower_linear, run=_run_linear,
    gradient=_gradient_linear, saves=_saves_linear,
    doc="The product with a transposed matrix and a bias, as one call of eager mode; elsewhere these are ops.",
)  # fmt: skip


def _is_simple(input: Any, weight: Any, bias: Any) -> bool:
    """Return whether ``LINEAR`` takes the operands: one floating point type of 32 bits or more, a bias for each row."""
    dtype = input.dtype
    return (
        len(input.shape) > 1 and len(weight.shape) == 2 and dtype.kind == "float" and dtype.bits > 16
        and weight.dtype is dtype and bias.dtype is dtype and bias.shape == weight.shape[:1]
    )  # fmt: skip


@function(top=False, method=False, functional=True, autocast="lower")
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``, as ``torch.nn.functional.linear``.

    An input (*, in_features), a weight (out_features, in_features) and a bias (out_features) give (*, out_features).
    A weight (in_features) with a 0-d bias gives (*).

    >>> import weft as wf
    >>> wf.nn.functional.linear(wf.tensor([[1.0, 2.0]]), wf.tensor([[3.0, 4.0]]), wf.tensor([5.0]))
    tensor([[16.]])
    """
    arguments.tensor("linear", "input", input)
    rank = len(arguments.tensor("linear", "weight", weight).shape)
    if rank not in (1, 2):
        raise ShapeError(mistake("linear", "weight", f"{rank}-dimensional", "1- or 2-dimensional"))
    if not input.shape or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            mistake(
                "linear",
                "input's shape",
                tuple(input.shape),
                f"(*, {weight.shape[-1]}) for weight {tuple(weight.shape)}",
            )
        )
    if (
        bias is not None
        and on_default_stack()
        and _is_simple(input, weight, arguments.tensor("linear", "bias", bias))
    ):
        return bind(LINEAR, input, weight, bias)
    transposed = swap_last(weight) if rank == 2 else weight
    if bias is None:
        return matmul(input, transposed)
    if rank == 1 and tuple(arguments.tensor("linear", "bias", bias).shape):
        raise ShapeError(
            mistake("linear", "bias's shape", tuple(bias.shape), "() for a 1-dimensional weight")
        )
    wide = wide_option(input, arguments.tensor("linear", "bias", bias))
    out = bind(lookup("add"), product_of(input, transposed, **wide), bias)
    return to_dtype(out, input.dtype) if wide else out
