"""Reductions made of sums: products, variances, ``logsumexp``, counts, and sums that skip NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.kernels import Builder, KernelProgram, coalesce
from weft.ops.make.creation import in_dtype, to_dtype
from weft.ops.reduce.cumulative import CUMPROD, shifted
from weft.ops.reduce.fold_kernels import kept_strides
from weft.ops.reduce.norms import ROOT
from weft.ops.reduce.reduction import (
    declare_reduction,
    expand_reduced,
    reduced_shape,
    sum_dtype,
)
from weft.ops.registry import arguments, sharing
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import REDUCTION
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup

Rows = Callable[[Builder, Expr, int, dict[str, Any]], Sequence[Expr]]


def _row_lowering(name: str, rows: Rows) -> Callable[..., KernelProgram]:
    """Return the ``lower`` of an op whose kernel reduces rows of elements; ``rows`` gives each output's value."""

    def lower(request: KernelRequest) -> KernelProgram:
        source, dims = request.operands[0], request.attributes["dims"]
        shape = source.shape
        kept = [d for d in range(len(shape)) if d not in dims]
        out = [kept_strides(target, dims, request.attributes["keepdim"]) for target in request.outputs]
        sizes, (own, *ours) = coalesce([shape[d] for d in kept], [[source.strides[d] for d in kept], *out])
        folded, (inner,) = coalesce([shape[d] for d in dims], [[source.strides[d] for d in dims]])
        count = math.prod(shape[d] for d in dims)
        if 0 in folded:
            folded, inner = (0,), (1,)
        builder = Builder(name)
        outer = builder.axes(sizes)
        points = builder.reduce_axes(folded)
        value = cast(
            builder.load(source, [*outer, *points], [*own, *inner]), request.outputs[0].dtype.compute
        )
        results = rows(builder, value, count, request.attributes)
        for target, result, strides in zip(request.outputs, results, ours, strict=True):
            builder.store(target, outer, result, strides)
        return KernelProgram(
            (builder.finish(cooperative=sharing.team(request.profile, math.prod(sizes), count)),)
        )

    return lower


# prod


def _gradient_prod(context: Gradient, grad: Any) -> list[Any]:
    """Return the gradient: the product of the elements before and after each element, without a special case for 0."""
    source, dims, keepdim = context.types[0], context.attributes["dims"], context.attributes["keepdim"]
    x = context.input(0)
    if not dims:
        return [grad]
    order = (*(d for d in range(len(source.shape)) if d not in dims), *dims)
    moved = bind(lookup("permute"), x, order=order)
    kept = tuple(source.shape[d] for d in order[: -len(dims)])
    rows = bind(lookup("reshape"), moved, shape=(*kept, math.prod(source.shape[d] for d in dims)))
    last = len(kept)
    others = [
        shifted(bind(CUMPROD, rows, dim=last, reverse=reverse), last, reverse, 1) for reverse in (False, True)
    ]
    back = bind(lookup("reshape"), bind(lookup("mul"), *others), shape=tuple(source.shape[d] for d in order))
    inverse = tuple(order.index(d) for d in range(len(order)))
    product = bind(lookup("permute"), back, order=inverse)
    return [bind(lookup("mul"), expand_reduced(grad, source, dims, keepdim), product)]


PROD = declare_reduction(
    "prod",
    "prod",
    "prod",
    sum_dtype,
    "The product over dimensions.",
    gradient=_gradient_prod,
    saves=(0,),
    reports="total",
    rules=REDUCTION.but(precision="float32"),
)


@function(out=PROD)
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The product along ``dim`` (of all where None); integers and bool multiply to int64."""
    x = arguments.tensor("prod", "input", input)
    rank = len(x.shape)
    dims = tuple(range(rank)) if dim is None else (arguments.dimension("prod", dim, rank),)[: rank or 0]
    return in_dtype("prod", x, dtype, lambda value: bind(PROD, value, dims=dims, keepdim=bool(keepdim)))


# var and its mean, in two passes: the second is corrected by the sum of the deviations from the first pass's mean.


def _var_rows(builder: Builder, value: Expr, count: int, attributes: dict[str, Any]) -> tuple[Expr, Expr]:
    dtype = value.dtype
    size = cast(builder.integer("count", count), dtype)
    mean = builder.reduce("sum", value) / size
    off = value - mean
    squares, rest = builder.reduce("sum", off * off), builder.reduce("sum", off)
    divisor = builder.number("divisor", max(count - attributes["correction"], 0.0), dtype)
    return (squares - rest * rest / size) / divisor, mean + rest / size


def _infer_var(
    x: TensorType, *, dims: tuple[int, ...], keepdim: bool, correction: float
) -> tuple[TensorType, ...]:
    arguments.floating("var", "input", x.dtype)
    return (TensorType(reduced_shape(x.shape, dims, keepdim), x.dtype.compute),) * 2


def _reference_var(x: Any, *, dims: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    import numpy

    wide = x.astype("float64")
    count = math.prod(x.shape[d] for d in dims)
    mean = numpy.mean(wide, axis=dims, keepdims=True)
    squares = numpy.sum((wide - mean) ** 2, axis=dims, keepdims=True)
    with numpy.errstate(all="ignore"):
        var = squares / numpy.float64(max(count - correction, 0.0))
    shape, kept = reduced_shape(x.shape, dims, keepdim), "float64" if x.dtype == "float64" else "float32"
    return tuple(numpy.asarray(moment).reshape(shape).astype(kept) for moment in (var, mean))


def _gradient_var(context: Gradient, by_var: Any, by_mean: Any) -> list[Any]:
    source, (dims, keepdim) = context.types[0], (context.attributes["dims"], context.attributes["keepdim"])
    count = math.prod(source.shape[d] for d in dims)
    # in 16 bits, the rounding of the mean would be as large as small deviations
    dtype, mul = source.dtype.compute, lookup("mul")
    x, by_var, by_mean = (to_dtype(value, dtype) for value in (context.input(0), by_var, by_mean))
    mean = bind(lookup("expand"), bind(lookup("mean"), x, dims=dims, keepdim=True), shape=source.shape)
    divisor = max(count - context.attributes["correction"], 0.0)
    scale = 2.0 / divisor if divisor else math.inf
    spread = bind(mul, expand_reduced(by_var, source, dims, keepdim), scale)
    first = bind(mul, spread, bind(lookup("sub"), x, mean))
    total = bind(
        lookup("add"), first, bind(lookup("div"), expand_reduced(by_mean, source, dims, keepdim), count)
    )
    return [to_dtype(total, source.dtype)]


VAR_MEAN = declare(
    "var_mean", rules=REDUCTION,
    infer=_infer_var, reference=_reference_var, lower=_row_lowering("var_mean", _var_rows),
    gradient=_gradient_var, saves=(0,),
    doc="The variance over dimensions and the mean, in one kernel; float32 of 16 bits.",
)  # fmt: skip


class Moments(NamedTuple):
    """The result of ``var_mean`` and ``std_mean``."""

    spread: Any
    mean: Any


def _rounded(spread: Any, mean: Any, like: Any) -> Moments:
    return Moments(to_dtype(spread, like.dtype), to_dtype(mean, like.dtype))


def _moments(
    name: str, input: Any, dim: Any, unbiased: Any, correction: float | None, keepdim: bool
) -> tuple[Any, Any]:
    """Return variance and mean, not rounded to 16 bits, for the arguments of ``torch.var``.

    These are ``(input, dim, unbiased, …)``, or ``(input, unbiased)`` over all dimensions.
    """
    x = arguments.tensor(name, "input", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is not None and unbiased is not None:
        raise ArgumentTypeError(mistake(name, "unbiased and correction", "both", "one of them"))
    given: Any = int(unbiased is not False) if correction is None else correction
    if not isinstance(given, int | float):
        raise ArgumentTypeError(mistake(name, "correction", type(given).__name__, "a number"))
    dims = arguments.dimensions(name, dim, len(x.shape))
    arguments.floating(name, "input", x.dtype)
    if math.isnan(given):
        raise ArgumentError(mistake(name, "correction", given, "a number other than NaN"))
    var, mean = bind(VAR_MEAN, x, dims=dims, keepdim=bool(keepdim), correction=float(given))
    return var, mean


@function(out=True)
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over dimensions, divided by ``n - correction`` (1 by default; ``unbiased=False`` is 0)."""
    return to_dtype(_moments("var", input, dim, unbiased, correction, keepdim)[0], input.dtype)


@function(out=True)
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over dimensions: the square root of ``var``; its gradient at 0 is 0."""
    var, _ = _moments("std", input, dim, unbiased, correction, keepdim)
    return to_dtype(bind(ROOT, var), input.dtype)


@function(method=False)
def var_mean(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``(var, mean)`` over dimensions, from a single kernel."""
    return _rounded(*_moments("var_mean", input, dim, unbiased, correction, keepdim), input)


@function(method=False)
def std_mean(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``(std, mean)`` over dimensions."""
    spread, mean = _moments("std_mean", input, dim, unbiased, correction, keepdim)
    return _rounded(bind(ROOT, spread), mean, input)


# logsumexp


def _logsumexp_rows(builder: Builder, value: Expr, count: int, attributes: dict[str, Any]) -> tuple[Expr]:
    largest = builder.reduce("largest", value)  # a NaN reaches the sum
    shift = where(call("isfinite", largest), largest, const(0, value.dtype))
    return (call("log", builder.reduce("sum", call("exp", value - shift))) + shift,)


def _infer_logsumexp(x: TensorType, *, dims: tuple[int, ...], keepdim: bool) -> tuple[TensorType, ...]:
    arguments.floating("logsumexp", "input", x.dtype)
    return (TensorType(reduced_shape(x.shape, dims, keepdim), x.dtype),)


def _reference_logsumexp(x: Any, *, dims: tuple[int, ...], keepdim: bool) -> Any:
    import numpy

    reduced: Any = numpy.logaddexp.reduce
    return numpy.asarray(reduced(x.astype("float64"), axis=dims, keepdims=keepdim)).astype(x.dtype)


def _gradient_logsumexp(context: Gradient, grad: Any) -> list[Any]:
    source, (dims, keepdim) = context.types[0], (context.attributes["dims"], context.attributes["keepdim"])
    out = context.output()
    finite = bind(lookup("where"), bind(lookup("isinf"), out), 0.0, out)  # where all elements are -inf, 0
    off = bind(lookup("sub"), context.input(0), expand_reduced(finite, source, dims, keepdim))
    return [bind(lookup("mul"), expand_reduced(grad, source, dims, keepdim), bind(lookup("exp"), off))]


LOGSUMEXP = declare(
    "logsumexp", rules=REDUCTION.but(precision="float32"),
    infer=_infer_logsumexp, reference=_reference_logsumexp, gradient=_gradient_logsumexp,
    lower=_row_lowering("logsumexp", _logsumexp_rows), saves=(0,), saves_output=True,
    doc="log(sum(exp(x))) over dimensions, without overflow.",
)  # fmt: skip


@function(out=LOGSUMEXP)
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over dimensions, without overflow; integers as float32."""
    x = arguments.tensor("logsumexp", "input", input)
    value = x if x.dtype.kind == "float" else to_dtype(x, dtypes.default_float())
    return bind(
        LOGSUMEXP, value, dims=arguments.dimensions("logsumexp", dim, len(x.shape)), keepdim=bool(keepdim)
    )


# Counts, and sums without NaN.


def _fold(op: OpSpec | str, value: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    return bind(lookup(op) if isinstance(op, str) else op, value, dims=dims, keepdim=bool(keepdim))


@function()
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """The number of elements that are not 0, over dimensions (all where None); int64."""
    x = arguments.tensor("count_nonzero", "input", input)
    other = x if x.dtype is dtypes.bool_ else bind(lookup("ne"), x, 0)
    return _fold("sum", other, arguments.dimensions("count_nonzero", dim, len(x.shape)), False)


def _without_nan(x: Any) -> Any:
    return bind(lookup("where"), bind(lookup("isnan"), x), 0, x) if x.dtype.kind == "float" else x


@function(out="sum")
def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum over dimensions of the elements that are not NaN."""
    x = arguments.tensor("nansum", "input", input)
    dims = arguments.dimensions("nansum", dim, len(x.shape))
    return in_dtype("nansum", _without_nan(x), dtype, lambda value: _fold("sum", value, dims, keepdim))


@function(out="div", wide=True)
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean over dimensions of the elements that are not NaN, NaN where all elements are; floating point."""
    x = arguments.tensor("nanmean", "input", input)
    arguments.floating("nanmean", "input", x.dtype)
    dims = arguments.dimensions("nanmean", dim, len(x.shape))
    total = nansum(x, dim, keepdim, dtype=dtype)
    valid = _fold("sum", bind(lookup("bitwise_not"), bind(lookup("isnan"), x)), dims, keepdim)
    return bind(lookup("div"), total, to_dtype(valid, total.dtype))
