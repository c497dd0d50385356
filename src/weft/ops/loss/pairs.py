"""Losses between an input and a target of one shape, and between vectors: a pointwise op and a reduction each."""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.loss.nll import reduced
from weft.ops.matmul.linear_algebra import pairwise_distance
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup


def _loss(name: str, expression: str, parameters: str, doc: str, **columns: Any) -> OpSpec:
    return pointwise(name, expression, parameters, doc, kinds="f", **columns)


L1 = _loss("l1", "abs(x - y)", "x y", "The absolute difference.", precision="float32")
SQUARED = _loss("squared_error", "(x - y) * (x - y)", "x y", "The squared difference.", precision="float32")
SMOOTH_L1 = _loss(
    "smooth_l1", "d = abs(x - y)\nwhere(d < b, 0.5 * d * d / b, d - 0.5 * b)", "x y b",
    "Squared below b, absolute above.",
    derivative=("d = x - y\ng * where(abs(d) < b, d / b, sign(d))",
                "d = y - x\ng * where(abs(d) < b, d / b, sign(d))", ""), precision="float32",
)  # fmt: skip
HUBER = _loss(
    "huber",
    "a = abs(x - y)\nwhere(a < d, 0.5 * a * a, d * (a - 0.5 * d))",
    "x y d",
    "smooth_l1 times d.",
    precision="float32",
)
BCE = _loss(
    "binary_cross_entropy", "-(y * maximum(log(x), -100.0) + (1.0 - y) * maximum(log1p(-x), -100.0))", "x y",
    "Cross entropy of a probability; logarithms count at least -100.",
    derivative=("g * (x - y) / maximum((1.0 - x) * x, 1e-12)",
                "g * (log1p(-x) - log(x))"),
)  # fmt: skip
BCE_LOGITS = _loss(
    "binary_cross_entropy_with_logits",
    "t = log1p(exp(-abs(x)))\n(1.0 - y) * (maximum(x, 0.0) + t) + p * y * (maximum(-x, 0.0) + t)", "x y p",
    "Cross entropy of sigmoid(x), the positive part weighed by p.",
    derivative=("s = sigmoid(x)\ng * ((1.0 - y) * s - p * y * sigmoid(-x))",
                "t = log1p(exp(-abs(x)))\ng * (p * (maximum(-x, 0.0) + t) - maximum(x, 0.0) - t)",
                "g * y * (maximum(-x, 0.0) + log1p(exp(-abs(x))))"), precision="float32",
)  # fmt: skip
KL = _loss(
    "kl_div", "where(y > 0.0, y * log(y), 0.0) - y * x", "x y", "y * (log(y) - x), 0 where y is 0.",
    derivative=("-g * y", "g * (where(y > 0.0, log(y) + 1.0, 0.0) - x)"), precision="float32",
)  # fmt: skip
KL_LOG = _loss("kl_div_log", "exp(y) * (y - x)", "x y", "exp(y) * (y - x).", precision="float32")
RANKING = _loss(
    "margin_ranking", "v = m - t * (x - y)\nwhere(v < 0.0, 0.0, v)", "x y t m", "max(0, margin - t (x - y))."
)
HINGE = _loss(
    "hinge_embedding", "m = d - x\nwhere(t != 1.0, where(m < 0.0, 0.0, m), 0.0) + where(t != -1.0, x, 0.0)", "x t d",
    "A distance where t is 1, max(0, margin - distance) where t is -1.",
)  # fmt: skip
COSINE = _loss(
    "cosine_embedding",
    "v = c - m\nwhere(t == 1.0, 1.0 - c, 0.0) + where(t == -1.0, where(v < 0.0, 0.0, v), 0.0)", "c t m",
    "1 - cos where t is 1, max(0, cos - margin) where t is -1.",
)  # fmt: skip
TRIPLET = _loss(
    "triplet_margin",
    "v = p - n + m\nwhere(v < 0.0, 0.0, v)",
    "p n m",
    "max(0, p - n + margin).",
)
SOFT_MARGIN = _loss(
    "soft_margin", "z = -t * x\nmaximum(z, 0.0) + log1p(exp(-abs(z)))", "x t", "log(1 + exp(-t x)).",
    derivative=("-g * t * sigmoid(-t * x)", "-g * x * sigmoid(-t * x)"),
)  # fmt: skip
GAUSSIAN = _loss(
    "gaussian_nll", "d = x - y\nc = maximum(v, e)\n0.5 * (log(c) + d * d / c)", "x y v e",
    "The negative log likelihood of a normal distribution.",
    derivative=("g * (x - y) / maximum(v, e)", "g * (y - x) / maximum(v, e)",
                "d = x - y\nc = maximum(v, e)\ng * 0.5 * (1.0 / c - d * d / (c * c))", ""),
)  # fmt: skip
POISSON_LOG = _loss(
    "poisson_nll_log",
    "exp(x) - y * x",
    "x y",
    "The negative log likelihood of a Poisson distribution of rate exp(x).",
)
POISSON = _loss(
    "poisson_nll",
    "x - y * log(x + e)",
    "x y e",
    "The negative log likelihood of a Poisson distribution of rate x.",
)
STIRLING = _loss(
    "stirling", f"where(y > 1.0, y * log(y) - y + 0.5 * log({2 * math.pi} * y), 0.0)", "y",
    "log(y!) by Stirling's formula, above 1.",
    derivative="where(y > 1.0, g * (log(y) + 0.5 / y), 0.0)",
)  # fmt: skip


def _pair(where: str, input: Any, target: Any) -> None:
    """Raise ``ShapeError`` unless the input and the target have one shape."""
    arguments.tensor(where, "input", input)
    arguments.tensor(where, "target", target)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            mistake(where, "target's shape", tuple(target.shape), f"{tuple(input.shape)}, as the input's")
        )


def _weighted(where: str, losses: Any, weight: Any) -> Any:
    if weight is None:
        return losses
    shape = tuple(arguments.tensor(where, "weight", weight).shape)
    if broadcast_shapes(where, shape, tuple(losses.shape)) != tuple(losses.shape):
        raise ShapeError(
            mistake(where, "weight's shape", shape, f"a shape that broadcasts to {tuple(losses.shape)}")
        )
    return bind(lookup("mul"), losses, weight)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The squared differences of two tensors of one shape: their mean, their sum, or each, by ``reduction``.

    >>> import weft as wf
    >>> wf.nn.functional.mse_loss(wf.tensor([1.0, 3.0]), wf.tensor([1.0, 1.0]))
    tensor(2.)
    """
    _pair("mse_loss", input, target)
    return reduced("mse_loss", _weighted("mse_loss", bind(SQUARED, input, target), weight), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The absolute differences of two tensors of one shape: their mean, their sum, or each, by ``reduction``."""
    _pair("l1_loss", input, target)
    return reduced("l1_loss", _weighted("l1_loss", bind(L1, input, target), weight), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Squared difference over ``2 * beta`` below ``beta``, absolute difference less ``beta / 2`` above."""
    _pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(mistake("smooth_l1_loss", "beta", beta, "0 or more"))
    losses = bind(SMOOTH_L1, input, target, float(beta)) if beta else bind(L1, input, target)
    return reduced("smooth_l1_loss", losses, reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared difference below ``delta``, ``delta`` times the absolute difference less ``delta / 2`` above."""
    _pair("huber_loss", input, target)
    if delta <= 0:
        raise ArgumentError(mistake("huber_loss", "delta", delta, "above 0"))
    return reduced(
        "huber_loss", _weighted("huber_loss", bind(HUBER, input, target, float(delta)), weight), reduction
    )


@function(functional=True, top=False, method=False, wide=True)
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Cross entropy of probabilities in [0, 1] and targets of the same shape; logarithms are clamped to -100."""
    _pair("binary_cross_entropy", input, target)
    losses = _weighted("binary_cross_entropy", bind(BCE, input, target), weight)
    return reduced("binary_cross_entropy", losses, reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy of ``sigmoid(input)`` and targets of the same shape, exact for large inputs too.

    ``pos_weight`` broadcasts against the target and weighs its positive part.
    """
    name = "binary_cross_entropy_with_logits"
    _pair(name, input, target)
    factor: Any = 1.0
    if pos_weight is not None:
        shape = tuple(arguments.tensor(name, "pos_weight", pos_weight).shape)
        if broadcast_shapes(name, shape, tuple(input.shape)) != tuple(input.shape):
            raise ShapeError(
                mistake(name, "pos_weight's shape", shape, f"a shape that broadcasts to {tuple(input.shape)}")
            )
        factor = pos_weight
    return reduced(name, _weighted(name, bind(BCE_LOGITS, input, target, factor), weight), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence of log-probabilities ``input`` and probabilities (or their logarithms) ``target``.

    ``reduction`` may also be ``"batchmean"``: the sum over all by the first dimension's size.
    """
    arguments.tensor("kl_div", "input", input)
    arguments.tensor("kl_div", "target", target)
    losses = bind(KL_LOG if log_target else KL, input, target)
    if reduction != "batchmean":
        return reduced("kl_div", losses, reduction)
    if not input.shape:
        raise ShapeError(mistake("kl_div", "input", "0-dimensional", "a batch dimension for 'batchmean'"))
    return reduced("kl_div", losses, "mean", input.shape[0])


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """``max(0, margin - target * (input1 - input2))``: a target of 1 ranks input1 higher, -1 lower."""
    for name, value in (("input1", input1), ("input2", input2), ("target", target)):
        arguments.tensor("margin_ranking_loss", name, value)
    return reduced("margin_ranking_loss", bind(RANKING, input1, input2, target, float(margin)), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """The input where the target is 1, ``max(0, margin - input)`` where it is -1."""
    arguments.tensor("hinge_embedding_loss", "input", input)
    arguments.tensor("hinge_embedding_loss", "target", target)
    return reduced("hinge_embedding_loss", bind(HINGE, input, target, float(margin)), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1."""
    _pair("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", bind(SOFT_MARGIN, input, target), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` of vectors (N, D) or (D) where the target is 1, ``max(0, cos - margin)`` where it is -1."""
    name = "cosine_embedding_loss"
    _pair(name, input1, input2)
    arguments.tensor(name, "target", target)
    if len(input1.shape) not in (1, 2) or tuple(target.shape) != tuple(input1.shape[:-1]):
        raise ShapeError(
            mistake(
                name,
                "shapes",
                f"{tuple(input1.shape)} and {tuple(target.shape)}",
                "(N, D) and (N), or (D) and ()",
            )
        )
    mul, add, total = lookup("mul"), lookup("add"), lookup("sum")

    def inner(a: Any, b: Any) -> Any:
        return bind(total, bind(mul, a, b), dims=(len(input1.shape) - 1,), keepdim=False)

    sizes = [bind(add, inner(vectors, vectors), 1e-12) for vectors in (input1, input2)]
    cosine = bind(lookup("div"), inner(input1, input2), bind(lookup("sqrt"), bind(mul, *sizes)))
    return reduced(name, bind(COSINE, cosine, target, float(margin)), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` of vectors (N, D), d the p-norm of differences.

    With ``swap``, d(anchor, negative) is replaced by d(positive, negative) where that is smaller.
    """
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = bind(lookup("minimum"), far, pairwise_distance(positive, negative, p, eps))
    return reduced("triplet_margin_loss", bind(TRIPLET, near, far, float(margin)), reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of targets under normal distributions of mean ``input`` and variance ``var``.

    ``var`` has the input's shape, or that shape without its last dimension, or with 1 there. It is clamped to ``eps``;
    its gradient ignores the clamp. ``full`` adds the constant of the density.
    """
    name = "gaussian_nll_loss"
    shape = tuple(arguments.tensor(name, "input", input).shape)
    arguments.tensor(name, "target", target)
    if isinstance(var, int | float):
        if var < 0:
            raise ArgumentError(mistake(name, "var", var, "0 or more"))
    else:
        sizes = tuple(arguments.tensor(name, "var", var).shape)
        if sizes == shape[:-1] and sizes != shape:
            var = bind(lookup("reshape"), var, shape=(*sizes, 1))
        elif sizes not in (shape, (*shape[:-1], 1)):
            raise ShapeError(
                mistake(name, "var's shape", sizes, f"{shape}, or {(*shape[:-1], 1)}, or {shape[:-1]}")
            )
    if eps <= 0:
        raise ArgumentError(mistake(name, "eps", eps, "above 0"))
    losses = bind(GAUSSIAN, input, target, var, float(eps))
    losses = bind(lookup("add"), losses, 0.5 * math.log(2 * math.pi)) if full else losses
    return reduced(name, losses, reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under Poisson distributions of rate ``exp(input)``, or of rate ``input``.

    ``full`` adds Stirling's approximation of log(target!).
    """
    arguments.tensor("poisson_nll_loss", "input", input)
    arguments.tensor("poisson_nll_loss", "target", target)
    losses = bind(POISSON_LOG, input, target) if log_input else bind(POISSON, input, target, float(eps))
    losses = bind(lookup("add"), losses, bind(STIRLING, target)) if full else losses
    return reduced("poisson_nll_loss", losses, reduction)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the other classes of ``max(0, margin - input[target] + input) ** p``: (N, C) or (C).

    ``p`` is 1 or 2; ``weight`` (C) scales an example's terms by the weight of its target class.
    """
    name = "multi_margin_loss"
    x = arguments.tensor(name, "input", input)
    arguments.floating(name, "input", x.dtype)
    classes = arguments.tensor(name, "target", target)
    arguments.integral(name, "target", classes.dtype)
    shape = tuple(x.shape)
    if (
        len(shape) not in (1, 2)
        or not shape[-1]
        or tuple(classes.shape) not in {shape[:-1], (1,) * (len(shape) == 1)}
    ):
        raise ShapeError(
            mistake(name, "shapes", f"{shape} and {tuple(classes.shape)}", "(N, C) and (N), or (C) and ()")
        )
    if p not in (1, 2):
        raise ArgumentError(mistake(name, "p", p, "1 or 2"))
    places = bind(lookup("reshape"), classes, shape=(*shape[:-1], 1))
    gather, sub = FUNCTIONS["gather"].function, lookup("sub")
    target_score = gather(x, -1, places)
    distance = bind(lookup("add"), bind(sub, x, target_score), float(margin))
    # NaN counts as 0, as in PyTorch
    terms = bind(lookup("where"), bind(lookup("gt"), distance, 0.0), distance, 0.0)
    terms = terms if p == 1 else bind(lookup("square"), terms)
    if weight is not None:
        if tuple(arguments.tensor(name, "weight", weight).shape) != shape[-1:]:
            raise ShapeError(
                mistake(name, "weight's shape", tuple(weight.shape), f"{shape[-1:]}, a weight for each class")
            )
        picked = FUNCTIONS["index_select"].function(
            weight, 0, bind(lookup("reshape"), places, shape=(math.prod(shape[:-1]),))
        )
        terms = bind(lookup("mul"), terms, bind(lookup("reshape"), picked, shape=(*shape[:-1], 1)))
    numbers = bind(lookup("arange"), 0, 1, count=shape[-1], dtype=classes.dtype, device=str(x.device))
    others = bind(lookup("where"), bind(lookup("ne"), numbers, places), terms, 0.0)
    total = bind(lookup("sum"), others, dims=(len(shape) - 1,), keepdim=False)
    return reduced(name, bind(lookup("div"), total, float(shape[-1])), reduction)
