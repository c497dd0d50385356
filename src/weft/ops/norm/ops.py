"""Normalization as one op over any dimensions with scale and shift, and two ops of its gradient; a kernel each.

``norm(x, weight, bias)`` is ``(x - mean) / sqrt(var + eps) * weight + bias`` with mean and (biased) variance over
``dims``; without ``center`` the mean counts as 0 (RMS). The parameters broadcast against x: layer, group, batch and
instance norm differ in ``dims`` and in the shape of the parameters only. Mean and variance are outputs too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, cast, const
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.ops.pointwise.expressions import broadcast_strides, unbroadcast
from weft.ops.reduce.reduction import reduced_shape
from weft.ops.registry import arguments, sharing
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import ROWS, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.target import TargetProfile

Strides = tuple[int, ...]


def _infer(*types: TensorType, dims: tuple[int, ...], eps: float, center: bool) -> tuple[TensorType, ...]:
    x = types[0]
    arguments.floating("norm", "input", x.dtype)
    for name, parameter in zip(("weight", "bias"), types[1:], strict=False):
        if parameter.dtype is not x.dtype:
            raise DTypeError(
                mistake("norm", f"{name}'s dtype", parameter.dtype.name, f"{x.dtype.name}, as the input's")
            )
        if any(size not in (1, full) for size, full in zip(parameter.shape, x.shape, strict=True)):
            raise ShapeError(
                mistake("norm", f"{name}'s shape", parameter.shape, f"a shape that broadcasts to {x.shape}")
            )
    statistics = TensorType(reduced_shape(x.shape, dims, True), x.dtype.compute)
    return x, statistics, statistics


class _Rows:
    """The loops of a norm's kernel: a row for each point of the kept dimensions, reduced over ``dims``.

    Kept and reduced dimensions are coalesced.
    """

    def __init__(
        self, name: str, shape: Sequence[int], dims: Sequence[int], operands: Sequence[Operand]
    ) -> None:
        self.builder = Builder(name)
        self.count = math.prod(shape[d] for d in dims)
        kept = [d for d in range(len(shape)) if d not in dims]
        full = [broadcast_strides(operand, shape) for operand in operands]
        outer, outer_strides = coalesce([shape[d] for d in kept], [[s[d] for d in kept] for s in full])
        inner, inner_strides = coalesce([shape[d] for d in dims], [[s[d] for d in dims] for s in full])
        self.rows = math.prod(outer)
        self._outer, self._points = len(outer), [*self.builder.axes(outer), *self.builder.reduce_axes(inner)]
        self._strides = {
            id(operand): (*a, *b)
            for operand, a, b in zip(operands, outer_strides, inner_strides, strict=True)
        }

    def load(self, operand: Operand) -> Expr:
        """Load the operand's element at a reduction point."""
        return self.builder.load(operand, self._points, self._strides[id(operand)])

    def load_row(self, operand: Operand) -> Expr:
        """Load the row's element of an operand that is constant over the reduction."""
        return self.builder.load(
            operand, self._points[: self._outer], self._strides[id(operand)][: self._outer]
        )

    def store(self, operand: Operand, value: Expr) -> None:
        """Store a value at every reduction point."""
        self.builder.store(operand, self._points, value, self._strides[id(operand)], inner=True)

    def store_row(self, operand: Operand, value: Expr) -> None:
        """Store a row's result."""
        self.builder.store(
            operand, self._points[: self._outer], value, self._strides[id(operand)][: self._outer]
        )

    def mean(self, value: Expr) -> Expr:
        """Return the mean of a value over the row."""
        return self.builder.reduce("sum", value) / cast(
            self.builder.integer("count", self.count), value.dtype
        )

    def program(self, profile: TargetProfile) -> KernelProgram:
        """Return the finished kernel."""
        return KernelProgram((self.builder.finish(cooperative=sharing.team(profile, self.rows, self.count)),))


def _inverse(builder: Builder, variance: Expr, eps: float) -> Expr:
    return const(1.0, variance.dtype) / call("sqrt", variance + builder.number("eps", eps, variance.dtype))


def _lower(request: KernelRequest) -> KernelProgram:
    x, *parameters = request.operands
    y, mean_out, variance_out = request.outputs
    rows = _Rows("norm", x.shape, request.attributes["dims"], (*request.operands, *request.outputs))
    value = rows.load(x)
    mean = rows.mean(value) if request.attributes["center"] else const(0.0, value.dtype)
    centred = value - mean if request.attributes["center"] else value
    variance = rows.mean(centred * centred)
    result = centred * _inverse(rows.builder, variance, request.attributes["eps"])
    if parameters:
        result = result * rows.load(parameters[0])
    if parameters[1:]:
        result = result + rows.load(parameters[1])
    rows.store(y, result)
    rows.store_row(mean_out, mean)
    rows.store_row(variance_out, variance)
    return rows.program(request.profile)


def _reference(x: Any, *parameters: Any, dims: tuple[int, ...], eps: float, center: bool) -> Any:
    import numpy

    wide = x.astype("float64")
    mean = wide.mean(dims, keepdims=True) if center else wide.mean(dims, keepdims=True) * 0
    variance = numpy.square(wide - mean).mean(dims, keepdims=True)
    result = (wide - mean) / numpy.sqrt(variance + eps)
    for combine, parameter in zip((numpy.multiply, numpy.add), parameters, strict=False):
        result = combine(result, parameter.astype("float64"))
    kept = "float64" if x.dtype == "float64" else "float32"
    return result.astype(x.dtype), mean.astype(kept), variance.astype(kept)


def _saves(needs: tuple[bool, ...]) -> tuple[int, ...]:
    return (0, 1)[: len(needs)]


def _options(context: Gradient) -> dict[str, Any]:
    return {key: context.attributes[key] for key in ("dims", "eps", "center")}


def _gradient(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    x, statistics = context.input(0), (context.output(1), context.output(2))
    weight = (context.input(1),) if len(context.needs) > 1 else ()
    result: list[Any] = [None] * len(context.needs)
    if context.needs[0]:
        result[0] = bind(NORM_BACKWARD, grad, x, *statistics, *weight, **_options(context))
    if any(context.needs[1:]):
        by_parameters = bind(
            NORM_PARAMETERS, grad, x, *statistics, shape=context.types[1].shape, shift=len(context.needs) > 2,
            **_options(context),
        )  # fmt: skip
        result[1:] = by_parameters if isinstance(by_parameters, tuple) else (by_parameters,)
    return result


NORM = declare(
    "norm", rules=ROWS.but(batching="norm", partition="fold", precision="float32"),
    infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, saves=_saves, saves_output=True,
    constants=(1, 2), doc="Values normalized to mean 0 and variance 1 over dimensions, with scale and shift.",
)  # fmt: skip


# The gradient of x is J g, with the symmetric Jacobian J = (I - 1 1' / n - xhat xhat' / n) / sqrt(var + eps).


def _lower_backward(request: KernelRequest) -> KernelProgram:
    grad, x, mean, variance, *weight = request.operands
    rows = _Rows("norm_backward", x.shape, request.attributes["dims"], (*request.operands, *request.outputs))
    inverse = _inverse(rows.builder, rows.load_row(variance), request.attributes["eps"])
    flowing = rows.load(grad)
    if weight:
        flowing = flowing * rows.load(weight[0])
    value = rows.load(x)
    scaled = (value - rows.load_row(mean) if request.attributes["center"] else value) * inverse
    along = rows.mean(flowing * scaled)
    rest = flowing - rows.mean(flowing) if request.attributes["center"] else flowing
    rows.store(request.outputs[0], inverse * (rest - scaled * along))
    return rows.program(request.profile)


def _scaled_reference(x: Any, mean: Any, variance: Any, eps: float) -> tuple[Any, Any]:
    import numpy

    inverse = 1.0 / numpy.sqrt(variance.astype("float64") + eps)
    return (x.astype("float64") - mean) * inverse, inverse


def _reference_backward(
    grad: Any, x: Any, mean: Any, variance: Any, *weight: Any, dims: tuple[int, ...], eps: float, center: bool
) -> Any:
    scaled, inverse = _scaled_reference(x, mean if center else mean * 0, variance, eps)
    flowing = grad.astype("float64") * weight[0] if weight else grad.astype("float64")
    rest = flowing - flowing.mean(dims, keepdims=True) if center else flowing
    return (inverse * (rest - scaled * (flowing * scaled).mean(dims, keepdims=True))).astype(x.dtype)


def _normalized(x: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return (x - mean) / deviation and 1 / deviation as differentiable functions of x, for gradients of any order."""
    dims, mean = options["dims"], lookup("mean")
    centred = bind(lookup("sub"), x, bind(mean, x, dims=dims, keepdim=True)) if options["center"] else x
    variance = bind(mean, bind(lookup("square"), centred), dims=dims, keepdim=True)
    inverse = bind(lookup("div"), 1.0, bind(lookup("sqrt"), bind(lookup("add"), variance, options["eps"])))
    return bind(lookup("mul"), centred, inverse), inverse


def _gradient_backward(context: Gradient, seed: Any) -> list[Any]:
    """Return the gradients of <a, J b> with the seed a and b = g w; mean and variance are functions of x."""
    grad, x, mean, variance = (context.input(place) for place in range(4))
    weight = context.input(4) if len(context.needs) > 4 else None
    options, mul, add = _options(context), lookup("mul"), lookup("add")

    def apply(value: Any) -> Any:
        return bind(NORM_BACKWARD, value, x, mean, variance, **options)

    def total(value: Any) -> Any:
        return bind(lookup("sum"), value, dims=options["dims"], keepdim=True)

    by_seed = apply(seed)
    result: list[Any] = [None] * len(context.needs)
    if context.needs[0]:
        result[0] = by_seed if weight is None else bind(mul, by_seed, weight)
    if weight is not None and context.needs[4]:
        result[4] = unbroadcast(bind(mul, grad, by_seed), context.types[4])
    if context.needs[1]:
        flowing = grad if weight is None else bind(mul, grad, weight)
        by_flowing = apply(flowing)
        scaled, inverse = _normalized(x, options)
        parts = bind(mul, total(bind(mul, seed, by_flowing)), scaled)
        parts = bind(add, parts, bind(mul, total(bind(mul, flowing, scaled)), by_seed))
        parts = bind(add, parts, bind(mul, total(bind(mul, seed, scaled)), by_flowing))
        count = math.prod(context.types[1].shape[d] for d in options["dims"])
        result[1] = bind(mul, bind(mul, parts, inverse), -1.0 / max(count, 1))
    return result


_OPTIONS = {"dims": tuple[int, ...], "eps": float, "center": bool}
NORM_BACKWARD = declare(
    "norm_backward", rules=ROWS.but(batching="dims"),
    infer=lambda grad, x, *_, **__: (x,), reference=_reference_backward, lower=_lower_backward,
    attributes=(_OPTIONS,), gradient=_gradient_backward, saves=lambda needs: tuple(range(len(needs))),
    doc="The gradient of norm with respect to its input.",
)  # fmt: skip


def _infer_parameters(
    grad: TensorType, x: TensorType, *_: TensorType, shape: tuple[int, ...], shift: bool, **__: Any
) -> tuple[TensorType, ...]:
    return (TensorType(shape, x.dtype),) * (2 if shift else 1)


def _lower_parameters(request: KernelRequest) -> KernelProgram:
    grad, x, mean, variance = request.operands
    folded = tuple(d for d, size in enumerate(request.attributes["shape"]) if size == 1)
    rows = _Rows("norm_parameters", x.shape, folded, (*request.operands, *request.outputs))
    inverse = _inverse(rows.builder, rows.load(variance), request.attributes["eps"])
    flowing, value = rows.load(grad), rows.load(x)
    scaled = (value - rows.load(mean) if request.attributes["center"] else value) * inverse
    rows.store_row(request.outputs[0], rows.builder.reduce("sum", flowing * scaled))
    if request.attributes["shift"]:
        rows.store_row(request.outputs[1], rows.builder.reduce("sum", flowing))
    return rows.program(request.profile)


def _reference_parameters(
    grad: Any,
    x: Any,
    mean: Any,
    variance: Any,
    *,
    shape: tuple[int, ...],
    shift: bool,
    dims: Any,
    eps: float,
    center: bool,
) -> Any:
    scaled, _ = _scaled_reference(x, mean if center else mean * 0, variance, eps)
    folded = tuple(d for d, size in enumerate(shape) if size == 1)
    wide = grad.astype("float64")
    sums = [(wide * scaled).sum(folded, keepdims=True), wide.sum(folded, keepdims=True)]
    return tuple(value.astype(x.dtype) for value in sums[: 2 if shift else 1])


def _gradient_parameters(context: Gradient, *seeds: Any) -> list[Any]:
    grad, x, mean, variance = (context.input(place) for place in range(4))
    options = _options(context)
    by_grad = by_x = None
    if context.needs[0]:
        by_grad = bind(lookup("mul"), _normalized(x, options)[0], seeds[0])
        by_grad = bind(lookup("add"), by_grad, seeds[1]) if seeds[1:] else by_grad
    if context.needs[1]:
        by_x = bind(NORM_BACKWARD, grad, x, mean, variance, seeds[0], **options)
    return [by_grad, by_x, None, None]


NORM_PARAMETERS = declare(
    "norm_parameters", rules=Rules("norm_parameters"),
    infer=_infer_parameters, reference=_reference_parameters, lower=_lower_parameters,
    attributes=(_OPTIONS | {"shape": tuple[int, ...], "shift": bool},),
    gradient=_gradient_parameters, saves=(0, 1, 2, 3), doc="The gradients of norm's scale and shift.",
)  # fmt: skip
