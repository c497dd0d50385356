"""Cross entropy of scores and classes: ``nll`` of ``log_softmax``, fused into one kernel forward and one backward.

The log-probabilities are never stored. Forward gives each row's loss, its largest score and the logarithm of its sum
of exponentials; backward recomputes the probabilities from these.
"""

from __future__ import annotations

import math
from typing import Any

from weft.expr import call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, coalesce
from weft.ops.loss.nll import NLL, check_classes, target_class
from weft.ops.make.creation import to_dtype
from weft.ops.registry import sharing
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import EXAMPLES, UNFUSED
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch


def _infer(scores: TensorType, target: TensorType, *, ignore_index: int) -> tuple[TensorType, ...]:
    check_classes("cross_entropy", scores, target)
    statistic = TensorType(target.shape, scores.dtype.compute)
    return statistic, statistic, statistic


def _reference(scores: Any, target: Any, *, ignore_index: int) -> Any:
    import numpy

    wide = scores.astype("float64")
    largest = wide.max(1)
    total = numpy.log(numpy.exp(wide - largest[:, None]).sum(1))
    logs = wide - largest[:, None] - total[:, None]
    kept = "float64" if scores.dtype == "float64" else "float32"
    losses = NLL.reference(logs, target, ignore_index=ignore_index)
    return losses.astype(kept), largest.astype(kept), total.astype(kept)


def _lower(request: KernelRequest) -> KernelProgram:
    scores, target = request.operands
    losses, largest_out, total_out = request.outputs
    classes = scores.shape[1]
    builder = Builder("cross_entropy")
    batch, *rest = axes = builder.axes(target.shape)
    (position,) = builder.reduce_axes((classes,))
    value = builder.load(scores, [batch, position, *rest])
    largest = builder.reduce("max", value)
    total = call("log", builder.reduce("sum", call("exp", value - largest)))
    named, kept = target_class(builder, target, axes, request.attributes["ignore_index"])
    inside = (named >= 0) & (named < builder.integer("classes", classes))
    builder.check(inside | call("not", kept), named)
    row = where(inside & kept, named, const(0, INDEX))
    chosen = builder.load(scores, [batch, row, *rest])
    builder.store(losses, axes, where(kept, total - (chosen - largest), const(0, total.dtype)))
    builder.store(largest_out, axes, largest)
    builder.store(total_out, axes, total)
    rows, neighbours = math.prod(target.shape), scores.strides[1] == 1
    return KernelProgram(
        (builder.finish(cooperative=sharing.team(request.profile, rows, classes, neighbours)),)
    )


def _gradient(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    saved = (context.input(0), context.input(1), context.output(1), context.output(2))
    return [bind(CROSS_ENTROPY_BACKWARD, grad, *saved, ignore_index=context.attributes["ignore_index"]), None]


CROSS_ENTROPY: OpSpec = declare(
    "cross_entropy", rules=EXAMPLES.but(splitting="", partition="fold", precision="float32"),
    infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, saves=(0, 1),
    saves_output=True, constants=(1, 2), reports="target",
    doc="The negative logarithm of softmax at each target class, the largest score, and the log of the sum; float32 "
    "of 16-bit scores.",
)  # fmt: skip


def _reference_backward(
    grad: Any, scores: Any, target: Any, largest: Any, total: Any, *, ignore_index: int
) -> Any:
    import numpy

    wide = numpy.exp(scores.astype("float64") - largest[:, None] - total[:, None])
    shape = (1, scores.shape[1], *(1,) * (target.ndim - 1))
    chosen = numpy.arange(scores.shape[1]).reshape(shape) == target[:, None]
    kept = (target != ignore_index)[:, None]
    return numpy.where(kept, (wide - chosen) * grad[:, None].astype("float64"), 0).astype(scores.dtype)


def _lower_backward(request: KernelRequest) -> KernelProgram:
    grad, scores, target, largest, total = request.operands
    builder = Builder("cross_entropy_backward")
    batch, row, *rest = points = builder.axes(request.outputs[0].shape)
    named, kept = target_class(builder, target, [batch, *rest], request.attributes["ignore_index"])
    flowing, largest_score, log_total = (
        builder.load(operand, [batch, *rest]) for operand in (grad, largest, total)
    )
    probability = call("exp", builder.load(scores, points) - largest_score - log_total)
    zero = const(0, flowing.dtype)
    value = probability * flowing - where(named.equals(row), flowing, zero)
    builder.store(request.outputs[0], points, where(kept, value, zero))
    return KernelProgram((builder.finish(),))


def _gradient_backward(context: Gradient, seed: Any) -> list[Any]:
    """Differentiate g (p - t): linear in g; p is the softmax of the scores, whose Jacobian is symmetric."""
    grad, scores, target, largest, total = (context.input(place) for place in range(5))
    ignored, mul, reshape = context.attributes["ignore_index"], lookup("mul"), lookup("reshape")
    by_grad = by_scores = None
    if context.needs[0]:
        ones = bind(lookup("full"), 1, shape=tuple(grad.shape), dtype=grad.dtype, device=str(grad.device))
        slopes = bind(CROSS_ENTROPY_BACKWARD, ones, scores, target, largest, total, ignore_index=ignored)
        by_grad = bind(lookup("sum"), to_dtype(bind(mul, seed, slopes), grad.dtype), dims=(1,), keepdim=False)
    if context.needs[1]:
        flowing = bind(lookup("where"), bind(lookup("ne"), target, ignored), grad, 0.0)
        flowing = bind(reshape, flowing, shape=(grad.shape[0], 1, *grad.shape[1:]))
        probabilities = bind(lookup("softmax"), scores, dim=1)
        by_scores = bind(mul, bind(lookup("softmax_backward"), seed, probabilities, dim=1), flowing)
        by_scores = to_dtype(by_scores, scores.dtype)
    return [by_grad, by_scores, None, None, None]


CROSS_ENTROPY_BACKWARD: OpSpec = declare(
    "cross_entropy_backward", rules=EXAMPLES.but(splitting=""),
    infer=lambda grad, scores, *_, **__: (scores,), reference=_reference_backward,
    lower=_lower_backward, gradient=_gradient_backward, saves=(0, 1, 2, 3, 4), attributes=({"ignore_index": int},),
    doc="The gradient of cross_entropy with respect to the scores.",
)  # fmt: skip


# The reduced loss as one op, for eager mode; in a graph the reduction is separate ops, which fuse.


def _infer_loss(
    scores: TensorType, target: TensorType, *, ignore_index: int, mean: bool
) -> tuple[TensorType, ...]:
    _, *statistics = _infer(scores, target, ignore_index=ignore_index)
    return TensorType((), scores.dtype), *statistics, TensorType((), scores.dtype.compute)


def _reference_loss(scores: Any, target: Any, *, ignore_index: int, mean: bool) -> Any:
    import numpy

    losses, *statistics = _reference(scores, target, ignore_index=ignore_index)
    count = (target != ignore_index).sum()
    total = losses.astype("float64").sum()
    with numpy.errstate(all="ignore"):
        loss = numpy.asarray(total / count if mean else total)
    return loss.astype(scores.dtype), *statistics, numpy.asarray(count).astype(statistics[0].dtype)


def _lower_loss(request: KernelRequest) -> KernelProgram:
    """Lower to the losses of all rows, in the statistics' type, and the kernel of their sum and their count."""
    _, target = request.operands
    loss, largest, total, count = request.outputs
    wide, number = largest.dtype, math.prod(target.shape)
    scratch = Scratch.of(request)
    losses = scratch.take(wide, target.shape)
    attributes = {"ignore_index": request.attributes["ignore_index"]}
    (rows,) = _lower(request._replace(outputs=(losses, largest, total), attributes=attributes)).steps
    builder = Builder("cross_entropy_total")
    builder.axes(())
    sizes, (loss_strides, target_strides) = coalesce(target.shape, [losses.strides, target.strides])
    places = builder.reduce_axes(sizes)
    named = cast(builder.load(target, places, target_strides), INDEX)
    kept = call("ne", named, builder.integer("ignore", request.attributes["ignore_index"]))
    summed = builder.reduce("sum", builder.load(losses, places, loss_strides))
    counted = builder.reduce("sum", cast(kept, wide))
    builder.store(loss, [], summed / counted if request.attributes["mean"] else summed)
    builder.store(count, [], counted)
    cooperative = sharing.team(request.profile, 1, number, True) if len(sizes) == 1 else 0
    return scratch.program((rows, builder.finish(cooperative=cooperative)))


def _run_loss(scores: Any, target: Any, *, ignore_index: int, mean: bool) -> tuple[Any, ...]:
    losses, largest, total = bind(CROSS_ENTROPY, scores, target, ignore_index=ignore_index)
    dims = tuple(range(len(target.shape)))
    kept = bind(lookup("cast"), bind(lookup("ne"), target, ignore_index), dtype=largest.dtype)
    count = bind(lookup("sum"), kept, dims=dims, keepdim=False)
    summed = bind(lookup("sum"), losses, dims=dims, keepdim=False)
    if mean:
        summed = bind(lookup("div"), summed, bind(lookup("cast"), count, dtype=losses.dtype))
    return summed, largest, total, count


def _gradient_loss(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    scores, target, largest, total = context.input(0), context.input(1), context.output(1), context.output(2)
    if context.attributes["mean"]:
        count = context.output(3)
        if count.dtype is not grad.dtype:
            count = bind(lookup("cast"), count, dtype=grad.dtype)
        grad = bind(lookup("div"), grad, count)
    by_losses = bind(lookup("expand"), grad, shape=tuple(target.shape))
    ignored = context.attributes["ignore_index"]
    return [
        bind(CROSS_ENTROPY_BACKWARD, by_losses, scores, target, largest, total, ignore_index=ignored), None
    ]  # fmt: skip


CROSS_ENTROPY_LOSS: OpSpec = declare(
    "cross_entropy_loss", rules=UNFUSED,
    infer=_infer_loss, reference=_reference_loss, lower=_lower_loss, run=_run_loss,
    gradient=_gradient_loss, saves=(0, 1), saves_output=True, constants=(1, 2, 3), reports="target",
    attributes=({"ignore_index": int, "mean": bool},), info={"public": "cross_entropy"},
    doc="The sum or mean of cross entropy, the rows' largest scores and logarithms of sums, and how many rows count.",
)  # fmt: skip
