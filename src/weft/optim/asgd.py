"""ASGD (Polyak and Juditsky 1992): SGD with a decaying rate that also averages the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.ops import OPS, bind
from weft.optim.groups import Cohort, ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class ASGD(Optimizer):
    """Averaged SGD, as ``torch.optim.ASGD``.

    ``p = p * (1 - lambd * eta) - eta * g`` with ``eta = lr / (1 + lambd * lr * t)^alpha`` of the previous step. From
    step ``t0`` on, ``state[p]["ax"]`` is the average of the parameters; until then it is the parameter itself.
    ``weight_decay * p`` is added to the gradient. ``foreach`` and ``capturable`` choose among PyTorch's
    implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.ASGD([p], lr=0.25, lambd=0.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.5000, -1.0000])
    """

    buffers: ClassVar[tuple[str, ...]] = ("ax",)
    counted: ClassVar[tuple[str, ...]] = ("eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "lambd", "alpha", "t0", "weight_decay"):
            number(self._name, name, group[name])

    def _initial(self, group: ParamGroup, name: str) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)

    def _bind_step(
        self, group: ParamGroup, cohort: Cohort, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        rates = (cohort.numbers["eta"], cohort.numbers["mu"])
        options = {name: float(group[name]) for name in ("lambd", "weight_decay")}
        flags = {"maximize": bool(group["maximize"])}
        bind(OPS["asgd_step"], *rates, *operands, into=targets, **options, **flags)
        schedule = {name: float(group[name]) for name in ("lambd", "alpha", "t0")}
        bind(OPS["asgd_rates"], group.rate(cohort.device), cohort.step, *rates, into=rates, **schedule)
