"""The softmax family: reductions of a row and the row's results in a single kernel, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from weft.dtypes import DType
from weft.expr import Expr, call, const
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.make.creation import to_dtype
from weft.ops.registry import arguments, sharing
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import ROWS
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup

Row = Callable[[Builder, list[Expr]], Expr]


def row_lowering(name: str, row: Row) -> Callable[..., KernelProgram]:
    """Return the ``lower`` of an op over rows along ``dim``.

    ``row(builder, loaded)`` reduces the row of loaded operands, and gives the value of each element.
    """

    def lower(request: KernelRequest) -> KernelProgram:
        dim, target = request.attributes["dim"], request.outputs[0]
        shape = target.shape or (1,)
        builder = Builder(name)
        outer = builder.axes([size for d, size in enumerate(shape) if d != dim] or [1])
        (position,) = builder.reduce_axes([shape[dim]])
        points = [*outer, position]

        def strides(operand: Operand) -> list[int]:
            own = operand.strides or (0,)
            return [stride for d, stride in enumerate(own) if d != dim] or [0]

        loaded = [builder.load(o, points, [*strides(o), (o.strides or (0,))[dim]]) for o in request.operands]
        value = row(builder, loaded)
        builder.store(target, points, value, [*strides(target), (target.strides or (0,))[dim]], inner=True)
        rows = math.prod(shape) // max(shape[dim], 1)
        read = [(o, strides(o), (o.strides or (0,))[dim]) for o in (*request.operands, target)]
        neighbours = all(along == 1 for *_, along in read)
        shared = sharing.team(request.profile, rows, shape[dim], neighbours)
        vector = sharing.in_fours(shared, shape[dim], read)
        team, held = sharing.held(request.profile, shape[dim], vector) if shared and neighbours else (0, 0)
        return KernelProgram((builder.finish(vector, team or shared, held),))

    return lower


def _infer(name: str) -> Callable[..., tuple[TensorType, ...]]:
    def infer(*types: TensorType, dim: int) -> tuple[TensorType, ...]:
        arguments.floating(name, "input", types[0].dtype)
        return (types[0],)

    return infer


def _softmax_row(builder: Builder, loaded: list[Expr]) -> Expr:
    (x,) = loaded
    largest = builder.reduce("largest", x)  # a NaN reaches the sum, and with it the whole row
    total = builder.reduce("sum", call("exp", x - largest))
    return call("exp", x - largest) * call("quotient", const(1.0, total.dtype), total)


def _log_softmax_row(builder: Builder, loaded: list[Expr]) -> Expr:
    (x,) = loaded
    largest = builder.reduce("largest", x)
    total = builder.reduce("sum", call("exp", x - largest))
    return (x - largest) - call("log", total)


def _softmax_backward_row(builder: Builder, loaded: list[Expr]) -> Expr:
    grad, out = loaded
    return (grad - builder.reduce("sum", grad * out)) * out


def _log_softmax_backward_row(builder: Builder, loaded: list[Expr]) -> Expr:
    grad, out = loaded
    return grad - call("exp", out) * builder.reduce("sum", grad)


def _reference_softmax(x: Any, *, dim: int) -> Any:
    import numpy

    wide = x.astype("float64")
    shifted = numpy.exp(wide - wide.max(dim, keepdims=True)) if x.size and x.ndim else numpy.ones_like(wide)
    return (shifted / shifted.sum(dim, keepdims=True) if x.ndim else shifted).astype(x.dtype)


def _reference_log_softmax(x: Any, *, dim: int) -> Any:
    import numpy

    wide = x.astype("float64")
    if not x.size or not x.ndim:
        return numpy.zeros_like(x)
    shifted = wide - wide.max(dim, keepdims=True)
    return (shifted - numpy.log(numpy.exp(shifted).sum(dim, keepdims=True))).astype(x.dtype)


def _reference_softmax_backward(grad: Any, out: Any, *, dim: int) -> Any:
    axis = dim if out.ndim else None
    return (grad - (grad * out).sum(axis, keepdims=True)) * out


def _reference_log_softmax_backward(grad: Any, out: Any, *, dim: int) -> Any:
    import numpy

    axis = dim if out.ndim else None
    return grad - numpy.exp(out) * grad.sum(axis, keepdims=True)


def _backward(op_name: str) -> Callable[..., list[Any]]:
    def gradient(context: Gradient, grad: Any) -> list[Any]:
        return [bind(lookup(op_name), grad, context.output(), dim=context.attributes["dim"])]

    return gradient


def _sum(value: Any, dim: int) -> Any:
    return bind(lookup("sum"), value, dims=(dim,) if value.shape else (), keepdim=True)


def _softmax_backward_gradient(context: Gradient, seed: Any) -> list[Any]:
    """The map g -> (g - sum(g y)) y is self-adjoint; the gradient with respect to y is h (g - s) - g sum(h y)."""
    mul, sub = lookup("mul"), lookup("sub")
    grad, out, dim = context.input(0), context.input(1), context.attributes["dim"]
    by_grad = bind(SOFTMAX_BACKWARD, seed, out, dim=dim) if context.needs[0] else None
    by_out = None
    if context.needs[1]:
        centred = bind(sub, grad, _sum(bind(mul, grad, out), dim))
        by_out = bind(sub, bind(mul, seed, centred), bind(mul, grad, _sum(bind(mul, seed, out), dim)))
    return [by_grad, by_out]


def _log_softmax_backward_gradient(context: Gradient, seed: Any) -> list[Any]:
    mul, exp = lookup("mul"), lookup("exp")
    grad, out, dim = context.input(0), context.input(1), context.attributes["dim"]
    weighted = bind(mul, bind(exp, out), seed)
    by_grad = bind(lookup("sub"), seed, _sum(weighted, dim)) if context.needs[0] else None
    by_out = bind(lookup("neg"), bind(mul, weighted, _sum(grad, dim))) if context.needs[1] else None
    return [by_grad, by_out]


def _declare(name: str, row: Row, reference: Any, gradient: Any, doc: str, **columns: Any) -> OpSpec:
    columns.setdefault("rules", ROWS)
    return declare(
        name,
        infer=_infer(name),
        reference=reference,
        lower=row_lowering(name, row),
        gradient=gradient,
        doc=doc,
        **columns,
    )


_FOLDED = ROWS.but(partition="fold", precision="float32")
SOFTMAX = _declare("softmax", _softmax_row, _reference_softmax, _backward("softmax_backward"),
                   "exp(x) / sum(exp(x)) along a dimension.", saves_output=True, rules=_FOLDED)  # fmt: skip
LOG_SOFTMAX = _declare("log_softmax", _log_softmax_row, _reference_log_softmax, _backward("log_softmax_backward"),
                       "x - log(sum(exp(x))) along a dimension.", saves_output=True, rules=_FOLDED)  # fmt: skip
SOFTMAX_BACKWARD = _declare(
    "softmax_backward", _softmax_backward_row, _reference_softmax_backward, _softmax_backward_gradient,
    "The gradient of softmax from that of its output and its output.", saves=(0, 1))  # fmt: skip
LOG_SOFTMAX_BACKWARD = _declare(
    "log_softmax_backward", _log_softmax_backward_row, _reference_log_softmax_backward,
    _log_softmax_backward_gradient, "The gradient of log_softmax from that of its output and its output.", saves=(0, 1),
)  # fmt: skip


def _along(op: OpSpec, input: Tensor, dim: int, dtype: DType | None) -> Tensor:
    arguments.tensor(op.name, "input", input)
    value = input if dtype is None else to_dtype(input, arguments.data_type(op.name, dtype))
    return bind(op, value, dim=arguments.dimension(op.name, dim, len(input.shape)))


@function(functional=True, out=SOFTMAX)
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``, computed without overflow; shape as ``input``.

    ``dtype`` is the type that the input is converted to first. ``DTypeError`` for integers without it.

    >>> import weft as wf
    >>> wf.softmax(wf.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _along(SOFTMAX, input, dim, dtype)


@function(functional=True, out=LOG_SOFTMAX)
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``x - log(sum(exp(x)))`` along ``dim``, computed without overflow; arguments as for ``softmax``."""
    return _along(LOG_SOFTMAX, input, dim, dtype)


@function(functional=True, top=False, method=False)
def softmin(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``exp(-x) / sum(exp(-x))`` along a dimension; shape as ``input``."""
    return _along(SOFTMAX, bind(lookup("neg"), arguments.tensor("softmin", "input", input)), dim, dtype)
