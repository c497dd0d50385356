"""Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.optim.groups import Cohort, ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD``.

    ``d = g + weight_decay * p``; with momentum ``b = momentum * b + (1 - dampening) * d`` (on the first step
    ``b = d``) and ``d = d + momentum * b`` with ``nesterov``, else ``d = b``; then ``p = p - lr * d``. ``maximize``
    follows the gradient upward. ``foreach`` and ``fused`` choose among PyTorch's implementations, and have no effect in
    weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, 2.0]))
    >>> optimizer = wf.optim.SGD([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([0., 0.])
    """

    scheduled: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"momentum": bool}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable("SGD", differentiable)
        defaults = {
            "lr": number("SGD", "lr", lr), "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            number("SGD", name, group[name])
        number("SGD", "dampening", group["dampening"], low=-float("inf"))
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            given = f"True with momentum {group['momentum']} and dampening {group['dampening']}"
            raise ArgumentError(mistake("SGD", "nesterov", given, "a momentum above 0 and dampening 0"))

    def _buffers(self, group: ParamGroup) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _counts_steps(self, group: ParamGroup, cohort: Cohort) -> bool:
        """Return whether to count: dampening needs the first step's number, momentum only whether a step was taken."""
        return bool(group["momentum"]) and (bool(group["dampening"]) or not cohort.started)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        options: dict[str, Any] = {
            "weight_decay": float(group["weight_decay"]),
            "maximize": bool(group["maximize"]),
        }
        if len(operands) == 2 * len(targets):  # no state: built without momentum
            if group["momentum"]:
                raise ArgumentError(
                    mistake("SGD.step", "momentum", group["momentum"], "0, as when the optimizer was built",
                            "build it with a momentum above 0")
                )  # fmt: skip
            bind(OPS["sgd_step"], rate, *operands, into=targets, **options)
            return
        options["dampening"] = float(group["dampening"])
        bind(
            OPS["sgd_momentum_step"],
            rate,
            step,
            group.option("momentum", lambda momentum, numbers: momentum, str(rate.device)),
            *operands,
            into=targets,
            nesterov=bool(group["nesterov"]),
            **options,
        )

    def _saved(self, group: ParamGroup, cohort: Cohort, parameter: Tensor) -> dict[str, Any]:
        """Return the momentum buffer, ``None`` before the first step, as in PyTorch."""
        if not self.state[parameter]:
            return {}
        taken = cohort.started or cohort.step.item() > 0
        return dict(self.state[parameter]) if taken else {"momentum_buffer": None}
