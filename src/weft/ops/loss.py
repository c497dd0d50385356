"""Losses: negative log likelihood as a pick along the classes, cross entropy on it, and mean squared error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, Operand, Program
from weft.ops import arguments
from weft.ops.annotations import Tensor
from weft.ops.core import Gradient, TensorType, bind
from weft.ops.creation import to_dtype
from weft.ops.functions import function
from weft.ops.softmax import log_softmax
from weft.ops.table import declare, lookup
from weft.target import TargetProfile


def _infer_nll(scores: TensorType, target: TensorType, *, ignore_index: int) -> tuple[TensorType, ...]:
    arguments.floating("nll", "input", scores.dtype)
    arguments.integral("nll", "target", target.dtype)
    expected = (scores.shape[0], *scores.shape[2:])
    if target.shape != expected:
        raise ShapeError(
            mistake("nll", "target's shape", target.shape, f"{expected} for input {scores.shape}")
        )
    return (TensorType(target.shape, scores.dtype),)


def _reference_nll(scores: Any, target: Any, *, ignore_index: int) -> Any:
    import numpy

    kept = target != ignore_index
    picked = numpy.take_along_axis(scores, numpy.where(kept, target, 0)[:, None].astype("int64"), 1)[:, 0]
    return numpy.where(kept, -picked, 0).astype(scores.dtype)


def _class(builder: Builder, target: Operand, axes: list[Expr], ignore: int) -> tuple[Expr, Expr]:
    """The class at a point and whether it counts."""
    named = cast(builder.load(target, axes), INDEX)
    return named, call("ne", named, builder.integer("ignore", ignore))


def _lower_nll(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    scores, target = operands
    builder = Builder("nll")
    axes = builder.axes(target.shape)
    named, kept = _class(builder, target, axes, attributes["ignore_index"])
    inside = (named >= 0) & (named < builder.integer("classes", scores.shape[1]))
    builder.check(inside | call("not", kept), named)
    row = where(inside & kept, named, const(0, INDEX))
    value = builder.load(scores, [axes[0], row, *axes[1:]])
    builder.store(outputs[0], axes, where(kept, -value, const(0, value.dtype)))
    return Program((builder.finish(),))


def _gradient_nll(context: Gradient, grad: Any) -> list[Any]:
    options = {"classes": context.types[0].shape[1], "ignore_index": context.attributes["ignore_index"]}
    return [bind(NLL_BACKWARD, grad, context.input(1), **options), None]


NLL = declare(
    "nll", infer=_infer_nll, reference=_reference_nll, lower=_lower_nll, gradient=_gradient_nll, saves=(1,),
    reports="target", doc="The negative of the score of each target class; 0 for the ignored class.",
)  # fmt: skip


def _infer_backward(
    grad: TensorType, target: TensorType, *, classes: int, ignore_index: int
) -> tuple[TensorType, ...]:
    return (TensorType((target.shape[0], classes, *target.shape[1:]), grad.dtype),)


def _reference_backward(grad: Any, target: Any, *, classes: int, ignore_index: int) -> Any:
    import numpy

    shape = (1, classes, *(1,) * (target.ndim - 1))
    chosen = numpy.arange(classes).reshape(shape) == target[:, None]
    kept = (target != ignore_index)[:, None]
    return numpy.where(chosen & kept, -grad[:, None], 0).astype(grad.dtype)


def _lower_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    grad, target = operands
    builder = Builder("nll_backward")
    batch, row, *rest = builder.axes(outputs[0].shape)
    named, kept = _class(builder, target, [batch, *rest], attributes["ignore_index"])
    value = builder.load(grad, [batch, *rest])
    builder.store(
        outputs[0], [batch, row, *rest], where(named.equals(row) & kept, -value, const(0, value.dtype))
    )
    return Program((builder.finish(),))


NLL_BACKWARD = declare(
    "nll_backward", infer=_infer_backward, reference=_reference_backward, lower=_lower_backward, saves=(1,),
    gradient=lambda context, seed: [
        bind(NLL, seed, context.input(1), ignore_index=context.attributes["ignore_index"]), None
    ],
    doc="Gradients placed, negated, at the target classes.",
)  # fmt: skip


def _reduced(where_: str, losses: Tensor, reduction: str, count: Any = None) -> Tensor:
    if reduction == "none":
        return losses
    if reduction not in ("sum", "mean"):
        raise ArgumentError(mistake(where_, "reduction", repr(reduction), "'none', 'mean' or 'sum'"))
    dims = tuple(range(len(losses.shape)))
    if reduction == "mean" and count is None:
        return bind(lookup("mean"), losses, dims=dims, keepdim=False)
    total = bind(lookup("sum"), losses, dims=dims, keepdim=False)
    return total if reduction == "sum" else bind(lookup("div"), total, count)


@function(functional=True, top=False, method=False)
def nll_loss(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The negative log likelihood: ``input`` log-probabilities (N, C, ...), ``target`` classes (N, ...) or (C) and ().

    The mean is over the targets that are not ``ignore_index``.
    """
    arguments.tensor("nll_loss", "input", input)
    arguments.tensor("nll_loss", "target", target)
    if len(input.shape) == 1:
        input = bind(lookup("reshape"), input, shape=(1, *input.shape))
        target = bind(lookup("reshape"), target, shape=(1, *target.shape))
        losses = bind(NLL, input, target, ignore_index=ignore_index)
        losses = bind(lookup("reshape"), losses, shape=()) if reduction == "none" else losses
    elif len(input.shape) < 2:
        raise ShapeError(mistake("nll_loss", "input's shape", tuple(input.shape), "(N, C, ...) or (C)"))
    else:
        losses = bind(NLL, input, target, ignore_index=ignore_index)
    if reduction != "mean":
        return _reduced("nll_loss", losses, reduction)
    kept = to_dtype(bind(lookup("ne"), target, ignore_index), losses.dtype)
    count = bind(lookup("sum"), kept, dims=tuple(range(len(kept.shape))), keepdim=False)
    return _reduced("nll_loss", losses, "mean", count)


@function(functional=True, top=False, method=False)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits (N, C, ...) and classes (N, ...), as ``torch.nn.functional.cross_entropy``.

    ``target`` may also hold class probabilities, shaped as ``input``. ``label_smoothing`` in [0, 1).
    """
    arguments.tensor("cross_entropy", "input", input)
    arguments.tensor("cross_entropy", "target", target)
    if not 0.0 <= label_smoothing < 1.0:
        raise ArgumentError(mistake("cross_entropy", "label_smoothing", label_smoothing, "in [0, 1)"))
    if not input.shape:
        raise ShapeError(mistake("cross_entropy", "input's shape", (), "(N, C, ...) or (C)"))
    axis = 1 if len(input.shape) > 1 else 0
    scores = log_softmax(input, axis)
    if target.dtype.kind == "float" and tuple(target.shape) == tuple(input.shape):
        return _soft_cross_entropy(scores, target, axis, reduction, label_smoothing)
    hard = nll_loss(scores, target, ignore_index, reduction)
    if label_smoothing == 0.0:
        return hard
    if ignore_index >= 0:
        raise ArgumentError(
            mistake(
                "cross_entropy",
                "label_smoothing",
                label_smoothing,
                f"0 together with ignore_index {ignore_index}",
            )
        )
    smooth = _reduced(
        "cross_entropy",
        bind(lookup("neg"), bind(lookup("mean"), scores, dims=(axis,), keepdim=False)),
        reduction,
    )
    blend, mul = lookup("add"), lookup("mul")
    return bind(blend, bind(mul, hard, 1.0 - label_smoothing), bind(mul, smooth, label_smoothing))


def _soft_cross_entropy(
    scores: Tensor, target: Tensor, axis: int, reduction: str, smoothing: float
) -> Tensor:
    mul, add = lookup("mul"), lookup("add")
    classes = scores.shape[axis]
    if smoothing:
        target = bind(add, bind(mul, target, 1.0 - smoothing), smoothing / classes)
    weighted = bind(mul, scores, target)
    losses = bind(lookup("neg"), bind(lookup("sum"), weighted, dims=(axis,), keepdim=False))
    return _reduced("cross_entropy", losses, reduction)


@function(functional=True, top=False, method=False)
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The mean (or sum, or each) squared difference of two tensors of one shape."""
    arguments.tensor("mse_loss", "input", input)
    arguments.tensor("mse_loss", "target", target)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            mistake(
                "mse_loss", "target's shape", tuple(target.shape), f"{tuple(input.shape)}, as the input's"
            )
        )
    return _reduced("mse_loss", bind(lookup("square"), bind(lookup("sub"), input, target)), reduction)
