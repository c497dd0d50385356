"""Cross entropy of scores and classes in one kernel forward and one backward: ``nll`` of ``log_softmax``, fused.

The logarithms of the probabilities are never written: forward gives each row's loss, its largest score and the
logarithm of its sum of exponentials, and backward makes the probabilities again from these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft.expr import call, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, Operand, Program
from weft.ops.core import Gradient, OpSpec, TensorType, bind
from weft.ops.creation import to_dtype
from weft.ops.loss import NLL, check_classes, target_class
from weft.ops.reduction import is_cooperative
from weft.ops.table import declare, lookup
from weft.target import TargetProfile


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


def _lower(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    scores, target = operands
    losses, largest_out, total_out = outputs
    classes = scores.shape[1]
    builder = Builder("cross_entropy")
    batch, *rest = axes = builder.axes(target.shape)
    (position,) = builder.reduce_axes((classes,))
    value = builder.load(scores, [batch, position, *rest])
    largest = builder.reduce("max", value)
    total = call("log", builder.reduce("sum", call("exp", value - largest)))
    named, kept = target_class(builder, target, axes, attributes["ignore_index"])
    inside = (named >= 0) & (named < builder.integer("classes", classes))
    builder.check(inside | call("not", kept), named)
    row = where(inside & kept, named, const(0, INDEX))
    chosen = builder.load(scores, [batch, row, *rest])
    builder.store(losses, axes, where(kept, total - (chosen - largest), const(0, total.dtype)))
    builder.store(largest_out, axes, largest)
    builder.store(total_out, axes, total)
    rows, neighbours = math.prod(target.shape), scores.strides[1] == 1
    return Program((builder.finish(cooperative=is_cooperative(profile, rows, classes, neighbours)),))


def _gradient(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    saved = (context.input(0), context.input(1), context.output(1), context.output(2))
    return [bind(CROSS_ENTROPY_BACKWARD, grad, *saved, ignore_index=context.attributes["ignore_index"]), None]


CROSS_ENTROPY: OpSpec = declare(
    "cross_entropy", infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, saves=(0, 1),
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


def _lower_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    grad, scores, target, largest, total = operands
    builder = Builder("cross_entropy_backward")
    batch, row, *rest = points = builder.axes(outputs[0].shape)
    named, kept = target_class(builder, target, [batch, *rest], attributes["ignore_index"])
    flowing, most, rest_of = (builder.load(one, [batch, *rest]) for one in (grad, largest, total))
    chance = call("exp", builder.load(scores, points) - most - rest_of)
    zero = const(0, flowing.dtype)
    value = chance * flowing - where(named.equals(row), flowing, zero)
    builder.store(outputs[0], points, where(kept, value, zero))
    return Program((builder.finish(),))


def _gradient_backward(context: Gradient, seed: Any) -> list[Any]:
    """The map g -> g (p - t) is linear; with respect to the scores, p is softmax, whose Jacobian is symmetric."""
    grad, scores, target, largest, total = (context.input(place) for place in range(5))
    ignored, mul, reshape = context.attributes["ignore_index"], lookup("mul"), lookup("reshape")
    by_grad = by_scores = None
    if context.needs[0]:
        ones = bind(lookup("full"), 1, shape=tuple(grad.shape), dtype=grad.dtype, device=str(grad.device))
        each = bind(CROSS_ENTROPY_BACKWARD, ones, scores, target, largest, total, ignore_index=ignored)
        by_grad = bind(lookup("sum"), to_dtype(bind(mul, seed, each), grad.dtype), dims=(1,), keepdim=False)
    if context.needs[1]:
        flowing = bind(lookup("where"), bind(lookup("ne"), target, ignored), grad, 0.0)
        flowing = bind(reshape, flowing, shape=(grad.shape[0], 1, *grad.shape[1:]))
        chances = bind(lookup("softmax"), scores, dim=1)
        by_scores = bind(mul, bind(lookup("softmax_backward"), seed, chances, dim=1), flowing)
        by_scores = to_dtype(by_scores, scores.dtype)
    return [by_grad, by_scores, None, None, None]


CROSS_ENTROPY_BACKWARD: OpSpec = declare(
    "cross_entropy_backward", infer=lambda grad, scores, *_, **__: (scores,), reference=_reference_backward,
    lower=_lower_backward, gradient=_gradient_backward, saves=(0, 1, 2, 3, 4), attributes=({"ignore_index": int},),
    doc="The gradient of cross_entropy with respect to the scores.",
)  # fmt: skip
