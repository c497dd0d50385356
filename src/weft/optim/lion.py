"""Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms"): sign steps of equal size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.optim.groups import Cohort, ParamGroup, number
from weft.optim.optimizer import Optimizer
from weft.tensors.tensor import Tensor


class Lion(Optimizer):
    """Lion: steps by the sign of an average of momentum and gradient.

    ``p = p - lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)`` and ``m = beta2 * m + (1 - beta2) * g``.

    PyTorch has no Lion; names and defaults are the paper's. Its learning rate should be 3 to 10 times smaller than
    AdamW's, and its weight decay larger by the same factor. ``maximize`` follows the gradient upward.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Lion([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.7500, -1.7500])
    """

    buffers: ClassVar[tuple[str, ...]] = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": number(self._name, "lr", lr), "betas": betas, "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "weight_decay"):
            number(self._name, name, group[name])
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ArgumentError(mistake(self._name, "betas", betas, "two numbers"))
        for position, beta in enumerate(betas):
            number(self._name, f"betas[{position}]", beta, 0.0, 1.0)

    def _counts_steps(self, group: ParamGroup, cohort: Cohort) -> bool:
        return False

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        beta1, beta2 = (float(beta) for beta in group["betas"])
        options = {
            "beta1": beta1,
            "one_minus_beta1": 1.0 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1.0 - beta2,
            "weight_decay": float(group["weight_decay"]),
        }
        flags = {"maximize": bool(group["maximize"])}
        bind(OPS["lion_step"], rate, *operands, into=targets, **options, **flags)

    def _saved(self, group: ParamGroup, cohort: Cohort, parameter: Tensor) -> dict[str, Any]:
        return dict(self.state[parameter])
