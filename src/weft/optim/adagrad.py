"""Adagrad (Duchi, Hazan and Singer 2011): gradients divided by the root of the sum of all their squares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.ops import OPS, bind
from weft.optim.groups import ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class Adagrad(Optimizer):
    """Adagrad, as ``torch.optim.Adagrad``.

    ``s = s + g * g`` and ``p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)``; ``s`` starts at
    ``initial_accumulator_value``, ``weight_decay * p`` is added to the gradient. ``foreach`` and ``fused`` choose
    among PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Adagrad([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.9000, -1.9000])
    """

    buffers: ClassVar[tuple[str, ...]] = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            number(self._name, name, group[name])

    def _initial(self, group: ParamGroup, name: str) -> float:
        return float(group["initial_accumulator_value"])

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        options = {name: float(group[name]) for name in ("lr_decay", "weight_decay", "eps")}
        flags = {"maximize": bool(group["maximize"])}
        bind(OPS["adagrad_step"], rate, step, *operands, into=targets, **options, **flags)
