"""Adadelta (Zeiler 2012): gradients scaled by the ratio of the root mean squares of past steps and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.optim.groups import ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class Adadelta(Optimizer):
    """Adadelta, as ``torch.optim.Adadelta``.

    ``v = rho * v + (1 - rho) * g * g``, ``d = sqrt(u + eps) / sqrt(v + eps) * g``, ``u = rho * u + (1 - rho) * d * d``
    and ``p = p - lr * d``; ``weight_decay * p`` is added to the gradient. ``foreach`` and ``capturable`` choose among
    PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Adadelta([p], rho=0.75, eps=1.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([-0.4142, -0.2111])
    """

    buffers: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "rho": rho, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "eps", "weight_decay"):
            number(self._name, name, group[name])
        if number(self._name, "rho", group["rho"]) > 1.0:
            raise ArgumentError(mistake(self._name, "rho", group["rho"], "in [0, 1]"))

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        rho = float(group["rho"])
        options = {name: float(group[name]) for name in ("eps", "weight_decay")}
        flags = {"maximize": bool(group["maximize"])}
        bind(
            OPS["adadelta_step"],
            rate,
            *operands,
            into=targets,
            rho=rho,
            one_minus_rho=1.0 - rho,
            **options,
            **flags,
        )
