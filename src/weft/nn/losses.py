"""Losses as layers, each by its function of ``nn.functional``.

As in PyTorch, the deprecated ``size_average`` and ``reduce`` take precedence over ``reduction``, with a warning.
"""

from __future__ import annotations

from typing import ClassVar

from weft.errors import ArgumentError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.ops.registry.pytorch_names import reduction_in_force
from weft.tensors.tensor import Tensor


class _Loss(Module):
    """The base of all losses, with their ``reduction``."""

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        reduction = reduction_in_force(type(self).__name__, size_average, reduce, reduction)
        if reduction not in self.reductions:
            *most, last = map(repr, self.reductions)
            raise ArgumentError(
                mistake(type(self).__name__, "reduction", repr(reduction), f"{', '.join(most)} or {last}")
            )
        self.reduction = reduction


class _Weighted(_Loss):
    """A loss with weights, which are a buffer as in PyTorch: they move with the module and are saved in its state."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_Weighted):
    """Cross entropy of logits (N, C, …) and classes (N, …), or class probabilities of the logits' shape.

    >>> import weft as wf
    >>> loss = wf.nn.CrossEntropyLoss()(wf.zeros(2, 4), wf.tensor([0, 3]))
    >>> round(loss.item(), 4)
    1.3863
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if not 0.0 <= label_smoothing < 1.0:
            raise ArgumentError(mistake("CrossEntropyLoss", "label_smoothing", label_smoothing, "in [0, 1)"))
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C, …) and classes (N, …) to a scalar, or (N, …) without reduction."""
        result: Tensor = functional.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        return result


class MultiMarginLoss(_Weighted):
    """The hinge loss over classes: scores (N, C) or (C) and classes (N) or ()."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentError(mistake("MultiMarginLoss", "p", p, "1 or 2"))
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores and classes to a scalar, or (N) without reduction."""
        result: Tensor = functional.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )
        return result


class NLLLoss(_Weighted):
    """The negative log likelihood of log-probabilities (N, C, …) and classes (N, …)."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities (N, C, …) and classes (N, …) to a scalar, or (N, …) without reduction."""
        result: Tensor = functional.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )
        return result


class _Plain(_Loss):
    """A loss of input and target without options."""

    op: ClassVar[str]

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = getattr(functional, self.op)(input, target, reduction=self.reduction)
        return result


class MSELoss(_Plain):
    """The mean squared difference of two tensors of one shape."""

    op = "mse_loss"


class L1Loss(_Plain):
    """The mean absolute difference of two tensors of one shape."""

    op = "l1_loss"


class SoftMarginLoss(_Plain):
    """The mean of ``log(1 + exp(-target * input))``, targets 1 and -1."""

    op = "soft_margin_loss"


class SmoothL1Loss(_Loss):
    """Squared below ``beta``, absolute above: differences of two tensors of one shape."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
        return result


class HuberLoss(_Loss):
    """Squared below ``delta``, ``delta`` times absolute above: differences of two tensors of one shape."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.huber_loss(input, target, reduction=self.reduction, delta=self.delta)
        return result


class BCELoss(_Weighted):
    """Cross entropy of probabilities and targets of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)
        return result


class BCEWithLogitsLoss(_Weighted):
    """Cross entropy of ``sigmoid(input)`` and targets of one shape; ``pos_weight`` weighs the positive part."""

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
        return result


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities and probabilities; ``reduction`` may be ``"batchmean"``."""

    reductions = ("none", "batchmean", "mean", "sum")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.kl_div(
            input, target, reduction=self.reduction, log_target=self.log_target
        )
        return result


class _Margin(_Loss):
    """A loss with a margin."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class MarginRankingLoss(_Margin):
    """``max(0, margin - target * (input1 - input2))``, target 1 or -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Three tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.margin_ranking_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )
        return result


class HingeEmbeddingLoss(_Margin):
    """A distance where the target is 1, ``max(0, margin - distance)`` where it is -1."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)
        return result


class CosineEmbeddingLoss(_Margin):
    """``1 - cos`` of vectors where the target is 1, ``max(0, cos - margin)`` where it is -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Vectors (N, D) or (D) and targets (N) or () to a scalar, or the targets' shape without reduction."""
        result: Tensor = functional.cosine_embedding_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )
        return result


class TripletMarginLoss(_Margin):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``, d the p-norm of differences."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Vectors (N, D) or (D) to a scalar, or (N) without reduction."""
        result: Tensor = functional.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )
        return result


class GaussianNLLLoss(_Loss):
    """The negative log likelihood of targets under normal distributions of given means and variances."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Means, targets and variances to a scalar, or the means' shape without reduction."""
        result: Tensor = functional.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )
        return result


class PoissonNLLLoss(_Loss):
    """The negative log likelihood of counts under Poisson distributions of given (log) rates."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.poisson_nll_loss(
            input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )
        return result
