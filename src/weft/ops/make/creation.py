"""Ops that create tensors from numbers, or copy and convert tensors: ``full``, ``arange``, ``cast``, ``copy``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, cast, where
from weft.kernels import Builder, KernelProgram
from weft.ops.pointwise.expressions import pointwise_program
from weft.ops.registry import arguments
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import COPYING, CREATION
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup


def _infer_full(
    value: TensorType, *, shape: tuple[int, ...], dtype: DType, device: str
) -> tuple[TensorType, ...]:
    return (TensorType(shape, dtype),)


def _reference_full(value: Any, *, shape: tuple[int, ...], dtype: DType, device: str) -> Any:
    import numpy

    return numpy.full(shape, value, dtype.numpy)


def _lower_full(request: KernelRequest) -> KernelProgram:
    def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
        return [builder.scalar(request.operands[0], request.outputs[0].dtype.compute)]

    return pointwise_program("full", (), request.outputs, values)


FULL = declare(
    "full", rules=CREATION.but(splitting="full"),
    infer=_infer_full, reference=_reference_full, lower=_lower_full, elementwise=True,
    doc="A tensor of one value.",
)  # fmt: skip


def _infer_arange(
    start: TensorType, step: TensorType, *, count: int, dtype: DType, device: str
) -> tuple[TensorType, ...]:
    return (TensorType((count,), dtype),)


def _reference_arange(start: Any, step: Any, *, count: int, dtype: DType, device: str) -> Any:
    import numpy

    return (start + step * numpy.arange(count, dtype="float64" if dtype.kind == "float" else "int64")).astype(
        dtype.numpy
    )


def _lower_arange(request: KernelRequest) -> KernelProgram:
    def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
        dtype = request.outputs[0].dtype.compute
        start, step = (builder.scalar(operand, dtype) for operand in request.operands)
        return [start + step * cast(indices[0], dtype)]

    return pointwise_program("arange", (), request.outputs, values)


ARANGE = declare(
    "arange", rules=CREATION.but(splitting="arange"),
    infer=_infer_arange, reference=_reference_arange, lower=_lower_arange,
    doc="Evenly spaced values: start + i * step.",
)  # fmt: skip


def _infer_linspace(
    start: TensorType, end: TensorType, *, count: int, dtype: DType, device: str
) -> tuple[TensorType, ...]:
    return (TensorType((count,), dtype),)


def _reference_linspace(start: Any, end: Any, *, count: int, dtype: DType, device: str) -> Any:
    import numpy

    wide = numpy.linspace(start, end, count)
    return (numpy.trunc(wide) if dtype.kind != "float" else wide).astype(dtype.numpy)


def _lower_linspace(request: KernelRequest) -> KernelProgram:
    """Return a kernel that counts from the start in the first half and from the end in the second, as PyTorch does.

    Both ends are exact.
    """

    def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
        target = request.outputs[0].dtype.compute
        dtype = target if target.kind == "float" else dtypes.float32
        count = request.attributes["count"]
        start, end = (builder.scalar(operand, dtype) for operand in request.operands)
        gaps = max(count - 1, 1)
        step = (end - start) / builder.number("gaps", float(gaps), dtype)
        here, last = indices[0], builder.integer("last", gaps)
        up = start + step * cast(here, dtype)
        down = end - step * cast(last - here, dtype)
        return [where(here < builder.integer("half", max(count // 2, 1)), up, down)]

    return pointwise_program("linspace", (), request.outputs, values)


LINSPACE = declare(
    "linspace", rules=CREATION,
    infer=_infer_linspace, reference=_reference_linspace, lower=_lower_linspace,
    doc="Evenly spaced numbers from start to end, both included.",
)  # fmt: skip


def _infer_cast(x: TensorType, *, dtype: DType) -> tuple[TensorType, ...]:
    return (TensorType(x.shape, dtype),)


def _reference_cast(x: Any, *, dtype: DType) -> Any:
    return x.astype(dtype.numpy)


def _lower_convert(request: KernelRequest) -> KernelProgram:
    return pointwise_program(
        "cast", request.operands, request.outputs, lambda builder, indices, loaded: loaded
    )


def _gradient_cast(context: Gradient, grad: Any) -> list[Any]:
    own = context.types[0].dtype
    return [bind(CAST, grad, dtype=own) if own.kind == "float" else None]


CAST = declare(
    "cast", rules=COPYING,
    infer=_infer_cast, reference=_reference_cast, lower=_lower_convert, gradient=_gradient_cast,
    elementwise=True, doc="The same values in another data type.",
)  # fmt: skip


COPY = declare(
    "copy", rules=COPYING,
    infer=lambda x: (x,), reference=lambda x: x.copy(), lower=_lower_convert, elementwise=True,
    gradient=lambda context, grad: [grad], doc="A contiguous copy.",
)  # fmt: skip


TRANSFER: OpSpec = declare(
    "transfer", rules=COPYING.but(splitting="", partition=""),
    attributes=({"device": str, "source": str},),
    infer=lambda x, *, device, source: (x,), reference=lambda x, *, device, source: x.copy(),
    gradient=lambda context, grad: [
        bind(lookup("transfer"), grad, device=context.attributes["source"], source=context.attributes["device"])
    ],
    doc="A contiguous copy on another device; the only op whose result is on another device than its operand.",
)  # fmt: skip


def to_dtype(value: Any, dtype: DType) -> Any:
    """Return the value itself where it has the type, else the value cast to the type."""
    return value if value.dtype is dtype else bind(CAST, value, dtype=dtype)


def in_dtype(name: str, input: Any, dtype: Any, fold: Callable[[Any], Any]) -> Any:
    """Return ``fold(input)``; with ``dtype`` the input is converted to it first, and the result has it."""
    if dtype is None:
        return fold(input)
    kind = arguments.data_type(name, dtype)
    return to_dtype(fold(to_dtype(input, kind)), kind)


def zeros_of(like: TensorType, dtype: DType | None = None, device: str = "") -> Any:
    """Return zeros of the shape of ``like`` and of its type unless ``dtype`` is given, on a device."""
    return bind(FULL, 0, shape=like.shape, dtype=dtype or like.dtype, device=device)


INDEX_DTYPE = dtypes.int64
