"""Losses over classes: ``nll_loss``, which picks the target class's score, and ``cross_entropy``."""

from __future__ import annotations

from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.make.creation import to_dtype
from weft.ops.reduce.softmax import log_softmax
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind, on_default_stack
from weft.ops.registry.rounding import NARROW, rounded_once
from weft.ops.registry.rules import EXAMPLES
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup


def check_classes(name: str, scores: TensorType, target: TensorType) -> None:
    """Raise ``DTypeError`` or ``ShapeError`` unless scores are floats (N, C, ...) and classes integers (N, ...)."""
    arguments.floating(name, "input", scores.dtype)
    arguments.integral(name, "target", target.dtype)
    expected = (scores.shape[0], *scores.shape[2:])
    if target.shape != expected:
        raise ShapeError(
            mistake(name, "target's shape", target.shape, f"{expected} for input {scores.shape}")
        )


def _infer_nll(scores: TensorType, target: TensorType, *, ignore_index: int) -> tuple[TensorType, ...]:
    check_classes("nll", scores, target)
    return (TensorType(target.shape, scores.dtype),)


def _reference_nll(scores: Any, target: Any, *, ignore_index: int) -> Any:
    import numpy

    kept = target != ignore_index
    picked = numpy.take_along_axis(scores, numpy.where(kept, target, 0)[:, None].astype("int64"), 1)[:, 0]
    return numpy.where(kept, -picked, 0).astype(scores.dtype)


def target_class(builder: Builder, target: Operand, axes: list[Expr], ignore: int) -> tuple[Expr, Expr]:
    """Return the class at a point, and whether it is not the ignored class."""
    named = cast(builder.load(target, axes), INDEX)
    return named, call("ne", named, builder.integer("ignore", ignore))


def _lower_nll(request: KernelRequest) -> KernelProgram:
    scores, target = request.operands
    builder = Builder("nll")
    axes = builder.axes(target.shape)
    named, kept = target_class(builder, target, axes, request.attributes["ignore_index"])
    inside = (named >= 0) & (named < builder.integer("classes", scores.shape[1]))
    builder.check(inside | call("not", kept), named)
    row = where(inside & kept, named, const(0, INDEX))
    value = builder.load(scores, [axes[0], row, *axes[1:]])
    builder.store(request.outputs[0], axes, where(kept, -value, const(0, value.dtype)))
    return KernelProgram((builder.finish(),))


def _gradient_nll(context: Gradient, grad: Any) -> list[Any]:
    options = {"classes": context.types[0].shape[1], "ignore_index": context.attributes["ignore_index"]}
    return [bind(NLL_BACKWARD, grad, context.input(1), **options), None]


NLL = declare(
    "nll", rules=EXAMPLES.but(tangent="linear", partition="fold", precision="float32"),
    infer=_infer_nll, reference=_reference_nll, lower=_lower_nll, gradient=_gradient_nll, saves=(1,),
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


def _lower_backward(request: KernelRequest) -> KernelProgram:
    grad, target = request.operands
    builder = Builder("nll_backward")
    batch, row, *rest = builder.axes(request.outputs[0].shape)
    named, kept = target_class(builder, target, [batch, *rest], request.attributes["ignore_index"])
    value = builder.load(grad, [batch, *rest])
    builder.store(
        request.outputs[0],
        [batch, row, *rest],
        where(named.equals(row) & kept, -value, const(0, value.dtype)),
    )
    return KernelProgram((builder.finish(),))


NLL_BACKWARD = declare(
    "nll_backward", rules=EXAMPLES.but(tangent="linear"),
    infer=_infer_backward, reference=_reference_backward, lower=_lower_backward, saves=(1,),
    gradient=lambda context, seed: [
        bind(NLL, seed, context.input(1), ignore_index=context.attributes["ignore_index"]), None
    ],
    doc="Gradients placed, negated, at the target classes.",
)  # fmt: skip


def reduced(where_: str, losses: Tensor, reduction: str, count: Any = None) -> Tensor:
    """Reduce losses by ``"none"``, ``"sum"`` or ``"mean"``, which divides by ``count``, or by their number if None."""
    if reduction == "none":
        return losses
    if reduction not in ("sum", "mean"):
        raise ArgumentError(mistake(where_, "reduction", repr(reduction), "'none', 'mean' or 'sum'"))
    dims = tuple(range(len(losses.shape)))
    if reduction == "mean" and count is None:
        return bind(lookup("mean"), losses, dims=dims, keepdim=False)
    total = bind(lookup("sum"), losses, dims=dims, keepdim=False)
    return total if reduction == "sum" else bind(lookup("div"), total, count)


def _total(value: Any) -> Any:
    return bind(lookup("sum"), value, dims=tuple(range(len(value.shape))), keepdim=False)


def _batched(where_: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Return scores (N, C, ...) and targets (N, ...); a single example (C) and () becomes a batch of size 1."""
    arguments.tensor(where_, "input", input)
    arguments.tensor(where_, "target", target)
    if not input.shape:
        raise ShapeError(mistake(where_, "input's shape", (), "(N, C, ...) or (C)"))
    if len(input.shape) > 1:
        return input, target
    reshape = lookup("reshape")
    return bind(reshape, input, shape=(1, *input.shape)), bind(reshape, target, shape=(1, *target.shape))


def _by_class(where_: str, weight: Any, scores: Any) -> Any:
    """Return a weight for each class, in a shape that broadcasts to the scores."""
    classes = scores.shape[1]
    if tuple(arguments.tensor(where_, "weight", weight).shape) != (classes,):
        raise ShapeError(
            mistake(where_, "weight's shape", tuple(weight.shape), f"({classes},), a weight for each class")
        )
    return bind(lookup("reshape"), weight, shape=(1, classes, *(1,) * (len(scores.shape) - 2)))


def _kept(target: Any, ignore_index: int, like: Any) -> Any:
    """Return 1 for each target that counts and 0 for each ignored target."""
    return to_dtype(bind(lookup("ne"), target, ignore_index), like.dtype)


def _unweighted(where_: str, losses: Any, target: Any, ignore_index: int, reduction: str) -> tuple[Any, Any]:
    """Return the reduced losses, and how many targets count (``None`` unless the reduction is the mean)."""
    count = _total(_kept(target, ignore_index, losses)) if reduction == "mean" else None
    return reduced(where_, losses, reduction, count), count


def _hard(
    where_: str, scores: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> tuple[Any, Any]:
    """Return the reduced losses of target classes, and the mean's divisor (``None`` for other reductions)."""
    if weight is None:
        return _unweighted(
            where_, bind(NLL, scores, target, ignore_index=ignore_index), target, ignore_index, reduction
        )
    spread = _by_class(where_, weight, scores)
    losses = bind(NLL, bind(lookup("mul"), scores, spread), target, ignore_index=ignore_index)
    count = None
    if reduction == "mean":  # the sum of the targets' weights: ``nll`` picks them, with a minus sign
        weights = bind(lookup("expand"), spread, shape=tuple(scores.shape))
        count = bind(lookup("neg"), _total(bind(NLL, weights, target, ignore_index=ignore_index)))
    return reduced(where_, losses, reduction, count), count


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of log-probabilities (N, C, ...) and classes (N, ...), or of (C) and a 0-d class.

    As ``torch.nn.functional.nll_loss``. ``weight`` (C) weighs the classes; the mean divides by the sum of the weights
    of the targets that are not ``ignore_index``.

    >>> import weft as wf
    >>> wf.nn.functional.nll_loss(wf.tensor([[-1.0, -2.0]]), wf.tensor([1]))
    tensor(2.)
    """
    scores, classes = _batched("nll_loss", input, target)
    loss = _hard("nll_loss", scores, classes, weight, ignore_index, reduction)[0]
    single = reduction == "none" and len(input.shape) == 1
    return bind(lookup("reshape"), loss, shape=()) if single else loss


@function(functional=True, top=False, method=False, autocast="float32")
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits (N, C, ...) and classes (N, ...), as ``torch.nn.functional.cross_entropy``.

    ``target`` may also hold class probabilities, shaped as ``input``. ``weight`` (C) weighs the classes;
    ``label_smoothing`` in [0, 1) mixes in the uniform distribution.

    >>> import weft as wf
    >>> wf.nn.functional.cross_entropy(wf.tensor([[0.0, 0.0]]), wf.tensor([1]))
    tensor(0.6931)
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ArgumentError(mistake("cross_entropy", "label_smoothing", label_smoothing, "in [0, 1)"))
    logits, targets = _batched("cross_entropy", input, target)
    is_fused = target.dtype.kind != "float" and weight is None and not label_smoothing
    if not is_fused and logits.dtype in NARROW:
        return rounded_once(cross_entropy)(
            input,
            target,
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    if target.dtype.kind == "float" and tuple(target.shape) == tuple(input.shape):
        loss = _soft(log_softmax(logits, 1), targets, weight, reduction, label_smoothing)
    elif weight is None and not label_smoothing and reduction in ("mean", "sum") and on_default_stack():
        op, mean = lookup("cross_entropy_loss"), reduction == "mean"
        loss, *_ = bind(op, logits, targets, ignore_index=ignore_index, mean=mean)
    elif weight is None and not label_smoothing:
        losses, *_ = bind(lookup("cross_entropy"), logits, targets, ignore_index=ignore_index)
        loss, _ = _unweighted("cross_entropy", losses, targets, ignore_index, reduction)
    else:
        scores = log_softmax(logits, 1)
        loss, count = _hard("cross_entropy", scores, targets, weight, ignore_index, reduction)
        if label_smoothing:
            smooth = _smooth(scores, targets, weight, ignore_index, reduction, count)
            parts = (
                bind(lookup("mul"), loss, 1.0 - label_smoothing),
                bind(lookup("mul"), smooth, label_smoothing),
            )
            loss = bind(lookup("add"), *parts)
    loss = to_dtype(loss, input.dtype)
    single = reduction == "none" and len(input.shape) == 1
    return bind(lookup("reshape"), loss, shape=()) if single else loss


def _smooth(scores: Any, target: Any, weight: Any, ignore_index: int, reduction: str, count: Any) -> Any:
    """Return the loss against the uniform distribution, over the targets that count."""
    mul = lookup("mul")
    weighted = scores if weight is None else bind(mul, scores, _by_class("cross_entropy", weight, scores))
    total = bind(lookup("sum"), weighted, dims=(1,), keepdim=False)
    kept = bind(lookup("ne"), target, ignore_index)
    # ``where``, not a product with 0: the gradient is infinite where every target is ignored
    losses = bind(mul, bind(lookup("where"), kept, total, 0.0), -1.0 / scores.shape[1])
    return reduced("cross_entropy", losses, reduction, count)


def _soft(scores: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    """Return the loss against class probabilities; the mean is over the examples."""
    mul, classes = lookup("mul"), scores.shape[1]
    if smoothing:
        target = bind(lookup("add"), bind(mul, target, 1.0 - smoothing), smoothing / classes)
    weighted = bind(mul, scores, target)
    if weight is not None:
        weighted = bind(mul, weighted, _by_class("cross_entropy", weight, scores))
    losses = bind(lookup("neg"), bind(lookup("sum"), weighted, dims=(1,), keepdim=False))
    return reduced("cross_entropy", losses, reduction)
