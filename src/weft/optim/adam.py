"""Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019): two moments for each parameter, a kernel a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.optim.groups import Formula, ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor

LOG_OF_ZERO = -1e4
"""Replaces log(0): finite, as WGSL requires, and expm1 of its multiples is -1 in every type."""


FIRST_BETA: dict[str, Formula] = {
    "one_minus_beta1": lambda beta1, numbers: 1.0 - beta1,
    "log_beta1": lambda beta1, numbers: numbers.log(beta1, LOG_OF_ZERO),
}
"""The operands of the kernels that depend on the first beta, which schedules may change."""


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``.

    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g * g`` and ``p = p - lr * (m / (1 - beta1^t))
    / (sqrt(v / (1 - beta2^t)) + eps)``; ``weight_decay * p`` is added to the gradient first, or, with
    ``decoupled_weight_decay``, ``lr * weight_decay * p`` is subtracted from the parameter. With ``amsgrad`` the maximum
    of all ``v`` replaces ``v`` in the step (Reddi, Kale and Kumar 2018). ``foreach``, ``fused`` and ``capturable``
    choose among PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.9000, -1.9000])
    """

    buffers: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    scheduled: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"betas": lambda betas: tuple(betas[1:])}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "eps", "weight_decay"):
            number(self._name, name, group[name])
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ArgumentError(mistake(self._name, "betas", betas, "two numbers"))
        for position, beta in enumerate(betas):
            number(self._name, f"betas[{position}]", beta, 0.0, 1.0)

    def _buffers(self, group: ParamGroup) -> tuple[str, ...]:
        return self.buffers if group["amsgrad"] else self.buffers[:2]

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        self._require_state(group, operands, targets)
        beta2 = float(group["betas"][1])
        options: dict[str, Any] = {
            "beta2": beta2,
            "one_minus_beta2": 1.0 - beta2,
            "log_beta2": math.log(beta2) if beta2 else LOG_OF_ZERO,
            "eps": float(group["eps"]),
            "weight_decay": float(group["weight_decay"]),
        }
        flags = {"maximize": bool(group["maximize"]), "decoupled": bool(group["decoupled_weight_decay"])}
        op = OPS["adam_amsgrad_step" if group["amsgrad"] else "adam_step"]
        first = [group.option(name, formula, str(rate.device)) for name, formula in FIRST_BETA.items()]
        bind(op, rate, step, *first, *operands, into=targets, **options, **flags)


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``: a step subtracts ``lr * weight_decay * p``."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip
