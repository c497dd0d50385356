"""Reductions over any dimensions: declarations and functions of sums, means, extremes and their positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, mistake
from weft.kernels.derived import Combine
from weft.ops.make.creation import in_dtype, to_dtype
from weft.ops.pointwise.expressions import pointwise
from weft.ops.reduce.fold_kernels import fold_lowering
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import REDUCTION
from weft.ops.registry.spec import Gradient, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup


def reduced_shape(shape: Sequence[int], dims: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    """Return the shape after the reduction of ``dims``."""
    if keepdim:
        return tuple(1 if d in dims else size for d, size in enumerate(shape))
    return tuple(size for d, size in enumerate(shape) if d not in dims)


def sum_dtype(dtype: DType) -> DType:
    """Return the type of sums and products of a type: integers and bool become int64."""
    return dtype if dtype.kind == "float" else dtypes.int64


def truth_dtype(dtype: DType) -> DType:
    """Return the type of ``any`` and ``all`` of a type, as in PyTorch: bool, and uint8 of uint8."""
    return dtype if dtype is dtypes.uint8 else dtypes.bool_


_FOLDED = {"dims": tuple[int, ...], "keepdim": bool}


def declare_reduction(
    name: str, combine: Combine, reference: str, result: Callable[[DType], DType], doc: str, mean: bool = False,
    empty: bool = True, **columns: Any,
) -> OpSpec:  # fmt: skip
    """Declare a reduction over dimensions.

    Args:
        name: The op's name.
        combine: How two elements are combined.
        reference: The name of NumPy's function.
        result: Gives the type of the result from the operand's type.
        doc: The op's docstring.
        mean: Whether the total is divided by the number of elements.
        empty: Whether a reduction of no elements is allowed.
        columns: Further fields of ``OpSpec``.
    """

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
        name, infer=infer, reference=compute, lower=fold_lowering(name, combine, mean), doc=doc, **columns
    )


def expand_reduced(value: Any, source: TensorType, dims: tuple[int, ...], keepdim: bool) -> Any:
    """Return a reduced value expanded to the shape that it was reduced from."""
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
    """Return the gradient shared evenly among equal extremes, as that of ``torch.amax``.

    Where the extreme is NaN no element equals it, and the gradient is NaN. With ``equal_nan`` it is shared among the
    NaN elements, as that of ``torch.max`` of all elements.
    """
    source, dims, keepdim = context.types[0], context.attributes["dims"], context.attributes["keepdim"]
    x, best = context.input(0), expand_reduced(context.output(), context.types[0], dims, keepdim)
    equal_nan = context.attributes.get("equal_nan", False)
    mask = bind(SAME if equal_nan else lookup("eq"), x, best)
    count = bind(lookup("sum"), mask, dims=dims, keepdim=keepdim)
    share = expand_reduced(bind(lookup("div"), grad, count), source, dims, keepdim)
    if equal_nan:
        return [bind(lookup("where"), mask, share, 0.0)]
    return [bind(lookup("mul"), share, to_dtype(mask, source.dtype))]  # an infinite share times 0 is NaN


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
    lower = fold_lowering(name, combine, False)
    return declare(name, rules=REDUCTION, infer=infer, reference=compute, lower=lower, doc=doc)


ARGMAX = _declare_position("argmax", "argmax")
ARGMIN = _declare_position("argmin", "argmin")


@function(out=SUM)
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum over dimensions (all where ``dim`` is None); integers and bool sum to int64.

    >>> import weft as wf
    >>> x = wf.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> wf.sum(x), wf.sum(x, dim=1, keepdim=True).shape
    (tensor(10.), (2, 1))
    """
    arguments.tensor("sum", "input", input)
    dims = arguments.dimensions("sum", dim, len(input.shape))
    return in_dtype("sum", input, dtype, lambda x: bind(SUM, x, dims=dims, keepdim=bool(keepdim)))


@function(out=MEAN)
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean over dimensions (all where ``dim`` is None) of a floating point tensor; ``DTypeError`` for integers.

    >>> import weft as wf
    >>> wf.mean(wf.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([2., 3.])
    """
    arguments.tensor("mean", "input", input)
    dims = arguments.dimensions("mean", dim, len(input.shape))
    return in_dtype("mean", input, dtype, lambda x: bind(MEAN, x, dims=dims, keepdim=bool(keepdim)))


@function(out=AMAX)
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element over dimensions; NaN is propagated; the gradient is shared among equal elements."""
    arguments.tensor("amax", "input", input)
    return bind(AMAX, input, dims=arguments.dimensions("amax", dim, len(input.shape)), keepdim=bool(keepdim))


@function(out=AMIN)
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element over dimensions; NaN is propagated; the gradient is shared among equal elements."""
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
    """The int64 index of the largest element along ``dim``, or in the flattened tensor; of equal elements, the first.

    >>> import weft as wf
    >>> wf.argmax(wf.tensor([[1, 5, 5], [7, 2, 0]]), dim=1)
    tensor([1, 0])
    """
    return _position(ARGMAX, input, dim, keepdim)


@function(out=ARGMIN)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 index of the smallest element along ``dim``, or in the flattened tensor; the first of equal ones."""
    return _position(ARGMIN, input, dim, keepdim)
