"""RMSprop (Hinton 2012; centered: Graves 2013): gradients divided by a running root mean square."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.ops import bind
from weft.ops.optimizers.updates import RMSPROP
from weft.optim.groups import ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop``.

    ``v = alpha * v + (1 - alpha) * g * g`` and ``p = p - lr * g / (sqrt(v) + eps)``; ``centered`` subtracts the
    square of the running mean of ``g`` from ``v``, ``momentum`` accumulates the steps, ``weight_decay * p`` is added
    to the gradient. ``foreach`` and ``capturable`` choose among PyTorch's implementations, and have no effect in
    weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.RMSprop([p], lr=0.1, alpha=0.75)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.8000, -1.8000])
    """

    buffers: ClassVar[tuple[str, ...]] = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "momentum", "alpha", "eps", "weight_decay"):
            number(self._name, name, group[name])

    def _buffers(self, group: ParamGroup) -> tuple[str, ...]:
        needed = (True, bool(group["momentum"]), bool(group["centered"]))
        return tuple(name for name, is_needed in zip(self.buffers, needed, strict=True) if is_needed)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        self._require_state(group, operands, targets)
        options: dict[str, Any] = {
            "alpha": float(group["alpha"]),
            "one_minus_alpha": 1.0 - float(group["alpha"]),
            "eps": float(group["eps"]),
            "momentum": float(group["momentum"]),
            "weight_decay": float(group["weight_decay"]),
        }
        op = RMSPROP[bool(group["momentum"]), bool(group["centered"])]
        bind(op, rate, *operands, into=targets, maximize=bool(group["maximize"]), **options)
