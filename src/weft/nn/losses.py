"""Losses as layers; each computes what the function of ``nn.functional`` of the same name does."""

from __future__ import annotations

from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("none", "mean", "sum"):
            raise ArgumentError(
                mistake(type(self).__name__, "reduction", repr(reduction), "'none', 'mean' or 'sum'")
            )
        self.reduction = reduction


def _unweighted(where: str, weight: Tensor | None) -> None:
    if weight is not None:
        raise UnsupportedError(
            mistake(where, "weight", "a tensor", "None", "weight the losses of reduction='none'")
        )


class CrossEntropyLoss(_Loss):
    """Cross entropy of logits (N, C, …) and classes (N, …), or class probabilities of the logits' shape.

    >>> import weft as wf
    >>> loss = wf.nn.CrossEntropyLoss()(wf.zeros(2, 4), wf.tensor([0, 3]))
    >>> round(loss.item(), 4)
    1.3863
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        _unweighted("CrossEntropyLoss", weight)
        if not 0.0 <= label_smoothing < 1.0:
            raise ArgumentError(mistake("CrossEntropyLoss", "label_smoothing", label_smoothing, "in [0, 1)"))
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C, …) and classes (N, …) to a scalar, or (N, …) without reduction."""
        result: Tensor = functional.cross_entropy(
            input, target, self.ignore_index, self.reduction, self.label_smoothing
        )
        return result


class NLLLoss(_Loss):
    """The negative log likelihood of log-probabilities (N, C, …) and classes (N, …)."""

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        _unweighted("NLLLoss", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities (N, C, …) and classes (N, …) to a scalar, or (N, …) without reduction."""
        result: Tensor = functional.nll_loss(input, target, self.ignore_index, self.reduction)
        return result


class MSELoss(_Loss):
    """The mean squared difference of two tensors of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape to a scalar, or that shape without reduction."""
        result: Tensor = functional.mse_loss(input, target, self.reduction)
        return result
