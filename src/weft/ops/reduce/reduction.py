"""Reductions over any dimensions: fixed trees, so that the same input gives the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, mistake
from weft.expr import Expr, cast
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.kernels.derived import Combine
from weft.ops.make.creation import in_dtype, to_dtype
from weft.ops.pointwise.expressions import pointwise
from weft.ops.reduce.checked_sums import checked_total, may_wrap
from weft.ops.registry import arguments, sharing
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import REDUCTION
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import is_dense
from weft.target import TargetProfile

SPLIT_ABOVE = 1 << 16
"""Elements per result from which a reduction with few results is folded in two stages."""
CHUNKS = 64
"""Partial results of the first stage; decided by sizes alone, so that the tree does not depend on the machine."""
FOURS = ("sum", "prod", "max", "min")
"""Folds that may take four elements at a time."""
LONGEST = 65535
"""Elements that a partial result folds at most: software WebGPU drivers end longer loops."""


def reduced_shape(shape: Sequence[int], dims: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    """The shape that is left when ``dims`` are folded."""
    if keepdim:
        return tuple(1 if d in dims else size for d, size in enumerate(shape))
    return tuple(size for d, size in enumerate(shape) if d not in dims)


def is_cooperative(profile: TargetProfile, results: int, length: int, neighbours: bool = True) -> int:
    """How many invocations share each of ``results`` folds of ``length`` elements: 0 is one, 1 a workgroup."""
    return sharing.team(profile, results, length, neighbours)


def _reduce_step(
    name: str, combine: Combine, source: Operand, target: Operand, attributes: dict[str, Any], accumulator: DType,
    profile: TargetProfile, finish: Callable[[Builder, Expr, int], Expr],
) -> KernelProgram:  # fmt: skip
    dims, shape = attributes["dims"], source.shape
    kept = [d for d in range(len(shape)) if d not in dims]
    out_strides = kept_strides(target, dims, attributes.get("keepdim", False))
    sizes, (own, out) = coalesce([shape[d] for d in kept], [[source.strides[d] for d in kept], out_strides])
    folded, (inner,) = (
        coalesce([shape[d] for d in dims], [[source.strides[d] for d in dims]])
        if combine not in ("argmax", "argmin")
        else ([shape[d] for d in dims], [[source.strides[d] for d in dims]])
    )
    count = math.prod(shape[d] for d in dims)
    if 0 in folded:
        folded, inner = (0,), (1,)
    builder = Builder(name)
    outer_axes = builder.axes(sizes)
    inner_axes = builder.reduce_axes(folded)
    value = builder.load(source, [*outer_axes, *inner_axes], [*own, *inner])
    result = builder.reduce(combine, cast(value, accumulator))
    builder.store(target, outer_axes, finish(builder, result, count), out)
    shared = is_cooperative(profile, math.prod(sizes), count, not inner or inner[-1] == 1)
    fours = combine in FOURS and len(folded) == 1
    vector = sharing.in_fours(shared, count, [(source, own, inner[-1])], [target]) if fours else 1
    return KernelProgram((builder.finish(vector, shared),))


def kept_strides(target: Operand, dims: Sequence[int], keepdim: bool) -> list[int]:
    """A result's strides over the dimensions that were not folded."""
    return [stride for d, stride in enumerate(target.strides) if not keepdim or d not in dims]


def _two_stages(
    name: str, combine: Combine, source: Operand, target: Operand, attributes: dict[str, Any], accumulator: DType,
    profile: TargetProfile, finish: Callable[[Builder, Expr, int], Expr], free: int = 2,
) -> KernelProgram | None:  # fmt: skip
    """Partial results of contiguous chunks, then their fold; ``None`` where the reduction is not one long run."""
    dims, shape = attributes["dims"], source.shape
    kept = [d for d in range(len(shape)) if d not in dims]
    count = math.prod(shape[d] for d in dims)
    results = math.prod(shape[d] for d in kept)
    if combine in ("argmax", "argmin") or 0 in (count, results) or not is_dense(target):
        return None
    folded, (inner,) = coalesce([shape[d] for d in dims], [[source.strides[d] for d in dims]])
    neighbours = inner[-1] == 1
    cut = sharing.pieces(profile, results, folded, neighbours)
    if not profile.capabilities.workgroups or profile.software:
        cut = _long_pieces(count, folded)
    if cut is None or (not cut.exact and accumulator.kind != "float" and combine in ("max", "min")):
        return None
    sizes, (own,) = coalesce([shape[d] for d in kept], [[source.strides[d] for d in kept]])
    # partial results lie as invocations follow one another: by piece of a row, or by column
    partial_shape = (*sizes, cut.count) if neighbours else (cut.count, *sizes)
    partial = Operand(free, accumulator, partial_shape, contiguous_strides(partial_shape), -2 - free)
    builder = Builder(f"{name}_partial")
    outer = builder.axes(partial_shape)
    rows, piece = (outer[:-1], outer[-1]) if neighbours else (outer[1:], outer[0])
    folds = builder.reduce_axes((cut.length, *folded[1:]))
    position = piece * builder.integer("length", cut.length) + folds[0]
    valid = None if cut.exact else position < builder.integer("total", folded[0])
    identity = {"sum": 0, "prod": 1, "max": -math.inf, "min": math.inf, "any": 0, "all": 1}[combine]
    value = builder.load(source, [*rows, position, *folds[1:]], [*own, *inner], valid, identity)
    builder.store(partial, outer, builder.reduce(combine, cast(value, accumulator)), partial.strides)
    length = count // folded[0] * cut.length
    shared = is_cooperative(profile, results * cut.count, length, neighbours)
    fours = combine in FOURS and len(folded) == 1 and cut.exact
    vector = sharing.in_fours(shared, cut.length, [(source, own, inner[-1])]) if fours else 1
    first = builder.finish(vector, shared)
    builder = Builder(name)  # the second stage writes the results in row-major order
    (row,) = builder.axes((results,))
    (chunk,) = builder.reduce_axes((cut.count,))
    strides = (cut.count, 1) if neighbours else (1, results)
    total = builder.reduce(combine, builder.load(partial, [row, chunk], strides))
    builder.store(target, [row], finish(builder, total, count), (1,))
    shared = is_cooperative(profile, results, cut.count, neighbours)
    return KernelProgram((first, builder.finish(1, shared)), ((accumulator, results * cut.count),))


def _long_pieces(count: int, folded: Sequence[int]) -> sharing.Pieces | None:
    """Pieces on every target for folds that are long: the CPU's threads share them, and loops end in time."""
    if count < SPLIT_ABOVE:
        return None
    least = CHUNKS * -(-count // (CHUNKS * LONGEST))
    exact = next((c for c in range(least, 2 * least) if folded[0] % c == 0), None)
    if exact is None and len(folded) > 1:
        return None
    return sharing.Pieces(exact or least, -(-folded[0] // (exact or least)), exact is not None)


_OF_BOOL: dict[Combine, Combine] = {"max": "any", "min": "all"}
"""Folds of bool by others."""


def _lower(name: str, combine: Combine, mean: bool) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        source, target = request.operands[0], request.outputs[0]
        fold = _OF_BOOL.get(combine, combine) if source.dtype is dtypes.bool_ else combine
        own = fold in ("max", "min", "argmax", "argmin")
        accumulator = dtypes.bool_ if fold in ("any", "all") else (source if own else target).dtype.compute

        def finish(builder: Builder, value: Expr, count: int) -> Expr:
            if fold in ("any", "all"):
                return cast(value, target.dtype.compute)
            return value / cast(builder.integer("count", count), value.dtype) if mean else value

        parts = (name, fold, source, target, request.attributes, accumulator, request.profile, finish)
        program = _two_stages(*parts) or _reduce_step(*parts)
        if fold in ("sum", "prod") and may_wrap(
            fold, source, request.attributes["dims"], target, request.profile
        ):

            def again(into: Operand, free: int) -> KernelProgram:
                about = (
                    f"{name}_about",
                    fold,
                    source,
                    into,
                    request.attributes,
                    into.dtype,
                    request.profile,
                    finish,
                )
                return _two_stages(*about, free=free) or _reduce_step(*about)

            return checked_total(program, target, 2, again)
        return program

    return lower


def sum_dtype(dtype: DType) -> DType:
    """The type that sums and products of a type have: integers and bool become int64."""
    return dtype if dtype.kind == "float" else dtypes.int64


def truth_dtype(dtype: DType) -> DType:
    """The type that ``any`` and ``all`` of a type have, as in PyTorch: bool, and uint8 of uint8."""
    return dtype if dtype is dtypes.uint8 else dtypes.bool_


_FOLDED = {"dims": tuple[int, ...], "keepdim": bool}


def declare_reduction(
    name: str, combine: Combine, reference: str, result: Callable[[DType], DType], doc: str, mean: bool = False,
    empty: bool = True, **columns: Any,
) -> OpSpec:  # fmt: skip
    """Declare a fold over dimensions; ``reference`` is NumPy's function, ``result`` the type of the result."""

    def infer(
        x: TensorType, *, dims: tuple[int, ...], keepdim: bool, equal_nan: bool = False
    ) -> tuple[TensorType, ...]:
        if not empty and math.prod(x.shape[d] for d in dims) == 0:
            raise ArgumentError(
                mistake(name, "input", f"of shape {x.shape}", "at least one element along dim")
            )
        if mean:
            arguments.floating(name, "input", x.dtype)
        return (TensorType(reduced_shape(x.shape, dims, keepdim), result(x.dtype)),)

    def compute(x: Any, *, dims: tuple[int, ...], keepdim: bool, equal_nan: bool = False) -> Any:
        import numpy

        wide = x.astype("float64") if x.dtype.kind == "f" or dtypes.from_numpy(x.dtype).kind == "float" else x
        folded = getattr(numpy, reference)(wide, axis=tuple(dims), keepdims=keepdim) if x.ndim else wide
        return numpy.asarray(folded).astype(result(dtypes.from_numpy(x.dtype)).numpy)

    columns.setdefault("attributes", (_FOLDED,))
    columns.setdefault("rules", REDUCTION)
    return declare(
        name, infer=infer, reference=compute, lower=_lower(name, combine, mean), doc=doc, **columns
    )


def expand_reduced(value: Any, source: TensorType, dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced value spread over the shape that it was reduced from."""
    if not keepdim:
        value = bind(lookup("reshape"), value, shape=reduced_shape(source.shape, dims, True))
    return bind(lookup("expand"), value, shape=source.shape)


def _gradient_sum(context: Gradient, grad: Any) -> list[Any]:
    source, attributes = context.types[0], context.attributes
    return [to_dtype(expand_reduced(grad, source, attributes["dims"], attributes["keepdim"]), source.dtype)]


def _gradient_mean(context: Gradient, grad: Any) -> list[Any]:
    (spread,) = _gradient_sum(context, grad)
    count = math.prod(context.types[0].shape[d] for d in context.attributes["dims"])
    return [bind(lookup("div"), spread, count)]


def _gradient_extreme(context: Gradient, grad: Any) -> list[Any]:
    """Shared evenly among equal extremes, as ``torch.amax``.

    Where the extreme is NaN nothing equals it and the gradient is NaN; with ``equal_nan`` it is shared among NaN, as
    that of ``torch.max`` of a whole tensor.
    """
    source, dims, keepdim = context.types[0], context.attributes["dims"], context.attributes["keepdim"]
    x, best = context.input(0), expand_reduced(context.output(), context.types[0], dims, keepdim)
    equal_nan = context.attributes.get("equal_nan", False)
    mask = bind(SAME if equal_nan else lookup("eq"), x, best)
    count = bind(lookup("sum"), mask, dims=dims, keepdim=keepdim)
    share = expand_reduced(bind(lookup("div"), grad, count), source, dims, keepdim)
    if equal_nan:
        return [bind(lookup("where"), mask, share, 0.0)]
    return [bind(lookup("mul"), share, to_dtype(mask, source.dtype))]  # infinite shares by 0 are NaN


SAME = pointwise(
    "same", "(x == y) | ((x != x) & (y != y))", "x y", "Whether two numbers are equal, or both NaN.", rule="bool",
    kinds="fiu",
)  # fmt: skip


_EXTREME: dict[str, Any] = {
    "gradient": _gradient_extreme,
    "saves": (0,),
    "saves_output": True,
    "empty": False,
    "attributes": (_FOLDED, {**_FOLDED, "equal_nan": bool}),
}
SUM = declare_reduction(
    "sum",
    "sum",
    "sum",
    sum_dtype,
    "The sum over dimensions.",
    gradient=_gradient_sum,
    reports="total",
    rules=REDUCTION.but(tangent="linear", precision="float32"),
)
MEAN = declare_reduction(
    "mean",
    "sum",
    "mean",
    lambda d: d,
    "The mean over dimensions.",
    mean=True,
    gradient=_gradient_mean,
    rules=REDUCTION.but(tangent="linear"),
)
AMAX = declare_reduction(
    "amax", "max", "max", lambda d: d, "The largest element over dimensions.", **_EXTREME
)
AMIN = declare_reduction(
    "amin", "min", "min", lambda d: d, "The smallest element over dimensions.", **_EXTREME
)
ANY = declare_reduction("any", "any", "any", truth_dtype, "Whether any element is true.")
ALL = declare_reduction("all", "all", "all", truth_dtype, "Whether all elements are true.")


def _declare_position(name: str, combine: Combine) -> OpSpec:
    def infer(x: TensorType, *, dims: tuple[int, ...], keepdim: bool) -> tuple[TensorType, ...]:
        if math.prod(x.shape[d] for d in dims) == 0:
            raise ArgumentError(
                mistake(name, "input", f"of shape {x.shape}", "at least one element along dim")
            )
        if x.dtype is dtypes.bool_:
            raise DTypeError(mistake(name, "input's dtype", "bool", "a number type"))
        return (TensorType(reduced_shape(x.shape, dims, keepdim), dtypes.int64),)

    def compute(x: Any, *, dims: tuple[int, ...], keepdim: bool) -> Any:
        import numpy

        if len(dims) == x.ndim:
            return numpy.asarray(getattr(numpy, name)(x)).reshape(reduced_shape(x.shape, dims, keepdim))
        return getattr(numpy, name)(x, axis=dims[0], keepdims=keepdim)

    doc = f"The position of the {'largest' if combine == 'argmax' else 'smallest'} element, the first of equals."
    lower = _lower(name, combine, False)
    return declare(name, rules=REDUCTION, infer=infer, reference=compute, lower=lower, doc=doc)


ARGMAX = _declare_position("argmax", "argmax")
ARGMIN = _declare_position("argmin", "argmin")


@function(out=SUM)
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum over dimensions (all where ``dim`` is None); integers and bool sum to int64."""
    arguments.tensor("sum", "input", input)
    dims = arguments.dimensions("sum", dim, len(input.shape))
    return in_dtype("sum", input, dtype, lambda x: bind(SUM, x, dims=dims, keepdim=bool(keepdim)))


@function(out=MEAN)
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean over dimensions (all where ``dim`` is None) of a floating point tensor."""
    arguments.tensor("mean", "input", input)
    dims = arguments.dimensions("mean", dim, len(input.shape))
    return in_dtype("mean", input, dtype, lambda x: bind(MEAN, x, dims=dims, keepdim=bool(keepdim)))


@function(out=AMAX)
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element over dimensions; NaN wins; the gradient is shared among equals."""
    arguments.tensor("amax", "input", input)
    return bind(AMAX, input, dims=arguments.dimensions("amax", dim, len(input.shape)), keepdim=bool(keepdim))


@function(out=AMIN)
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element over dimensions; NaN wins; the gradient is shared among equals."""
    arguments.tensor("amin", "input", input)
    return bind(AMIN, input, dims=arguments.dimensions("amin", dim, len(input.shape)), keepdim=bool(keepdim))


@function(out=ANY)
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element is nonzero, over dimensions: bool, and uint8 of uint8, as in PyTorch."""
    arguments.tensor("any", "input", input)
    return bind(ANY, input, dims=arguments.dimensions("any", dim, len(input.shape)), keepdim=bool(keepdim))


@function(out=ALL)
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are nonzero, over dimensions: bool, and uint8 of uint8, as in PyTorch."""
    arguments.tensor("all", "input", input)
    return bind(ALL, input, dims=arguments.dimensions("all", dim, len(input.shape)), keepdim=bool(keepdim))


def _position(op: OpSpec, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    arguments.tensor(op.name, "input", input)
    rank = len(input.shape)
    dims = tuple(range(rank)) if dim is None else (arguments.dimension(op.name, dim, rank),)[: rank or 0]
    return bind(op, input, dims=dims, keepdim=bool(keepdim))


@function(out=ARGMAX)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 position of the largest element (in the flattened tensor where ``dim`` is None), first of equals."""
    return _position(ARGMAX, input, dim, keepdim)


@function(out=ARGMIN)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 position of the smallest element (in the flattened tensor where ``dim`` is None), first of equals."""
    return _position(ARGMIN, input, dim, keepdim)


def extreme_lowering(name: str, combine: Combine) -> Callable[..., KernelProgram]:
    """A kernel that finds the place of an extreme along ``dim`` and stores the element there, then the place."""

    def lower(request: KernelRequest) -> KernelProgram:
        source, dim = request.operands[0], request.attributes["dim"]
        shape, strides = source.shape or (1,), source.strides or (0,)
        kept = [d for d in range(len(shape)) if d != dim]
        keepdim = request.attributes["keepdim"]
        out = [kept_strides(target, (dim,), keepdim) if target.shape else [] for target in request.outputs]
        sizes, (own, *ours) = coalesce([shape[d] for d in kept], [[strides[d] for d in kept], *out])
        builder = Builder(name)
        outer = builder.axes(sizes)
        (position,) = builder.reduce_axes((shape[dim],))
        value = builder.load(source, [*outer, position], [*own, strides[dim]])
        best = builder.reduce(combine, cast(value, dtypes.int32) if source.dtype is dtypes.bool_ else value)
        values, places = request.outputs
        builder.store(values, outer, builder.load(source, [*outer, best], [*own, strides[dim]]), ours[0])
        builder.store(places, outer, best, ours[1])
        return KernelProgram(
            (builder.finish(cooperative=is_cooperative(request.profile, math.prod(sizes), shape[dim])),)
        )

    return lower
