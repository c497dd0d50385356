"""Adamax (Kingma and Ba 2015), NAdam (Dozat 2016) and RAdam (Liu et al. 2020): Adam's moments with other steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.ops import OPS, bind
from weft.optim.adam import FIRST_BETA, LOG_OF_ZERO, Adam
from weft.optim.groups import Cohort, ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class _Moments(Adam):
    """The base of Adam's variants: two moments for each parameter, and the operands that depend on the betas."""

    buffers: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        refuse_differentiable(self._name, defaults["differentiable"])
        defaults["lr"] = number(self._name, "lr", defaults["lr"])
        Optimizer.__init__(self, params, defaults)

    def _buffers(self, group: ParamGroup) -> tuple[str, ...]:
        return self.buffers

    def _first(self, group: ParamGroup, name: str, device: str) -> float | Tensor:
        return group.option(name, FIRST_BETA[name], device)

    def _second(self, group: ParamGroup) -> dict[str, Any]:
        beta2 = float(group["betas"][1])
        return {
            "beta2": beta2, "one_minus_beta2": 1.0 - beta2, "log_beta2": math.log(beta2) if beta2 else LOG_OF_ZERO,
            "eps": float(group["eps"]), "weight_decay": float(group["weight_decay"]),
            "maximize": bool(group["maximize"]), "decoupled": bool(group["decoupled_weight_decay"]),
        }  # fmt: skip


class Adamax(_Moments):
    """Adamax, as ``torch.optim.Adamax``: Adam with the decayed maximum of gradients in place of their root mean square.

    ``m = beta1 * m + (1 - beta1) * g``, ``u = max(beta2 * u, |g| + eps)`` and ``p = p - lr / (1 - beta1^t) * m / u``;
    ``weight_decay * p`` is added to the gradient. ``foreach`` and ``capturable`` choose among PyTorch's
    implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Adamax([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.7500, -1.7500])
    """

    buffers: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        options = {"beta2": float(group["betas"][1]), "eps": float(group["eps"])}
        options["weight_decay"] = float(group["weight_decay"])
        first = [self._first(group, name, str(rate.device)) for name in FIRST_BETA]
        flags = {"maximize": bool(group["maximize"])}
        bind(OPS["adamax_step"], rate, step, *first, *operands, into=targets, **options, **flags)


class NAdam(_Moments):
    """NAdam, as ``torch.optim.NAdam``: Adam with Nesterov's momentum, which grows to ``beta1`` by a schedule.

    The momentum of step t is ``beta1 * (1 - 0.96^(t * momentum_decay) / 2)``. ``weight_decay * p`` is added to the
    gradient, or, with ``decoupled_weight_decay``, ``lr * weight_decay * p`` is subtracted from the parameter.
    ``foreach`` and ``capturable`` choose among PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.NAdam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.8944, -1.8944])
    """

    counted: ClassVar[tuple[str, ...]] = ("mu_product",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        super()._check(group)
        number(self._name, "momentum_decay", group["momentum_decay"])

    def _initial(self, group: ParamGroup, name: str) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def _bind_step(
        self, group: ParamGroup, cohort: Cohort, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        product = cohort.numbers["mu_product"]
        first = self._first(group, "one_minus_beta1", cohort.device)
        decay = {"log_decay": float(group["momentum_decay"]) * math.log(0.96)}
        bind(OPS["nadam_momentum"], cohort.step, first, product, into=(product,), **decay)
        shared = (group.rate(cohort.device), cohort.step, first, product)
        bind(OPS["nadam_step"], *shared, *operands, into=targets, **self._second(group), **decay)


class RAdam(_Moments):
    """RAdam, as ``torch.optim.RAdam``: Adam whose steps are adaptive once the second moment's variance is tractable.

    Until then a step is ``lr * m / (1 - beta1^t)``. ``weight_decay * p`` is added to the gradient, or, with
    ``decoupled_weight_decay``, ``lr * weight_decay * p`` is subtracted from the parameter. ``foreach`` and
    ``capturable`` choose among PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.RAdam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.5000, -1.0000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        options = self._second(group)
        longest = 2.0 / options["one_minus_beta2"] - 1.0
        options |= {
            "rho_inf": longest, "rho_rest": longest + 2.0 / options["log_beta2"],
            "rho_scale": longest / ((longest - 4.0) * (longest - 2.0)) if longest > 5.0 else 0.0,
        }  # fmt: skip
        first = [self._first(group, name, str(rate.device)) for name in FIRST_BETA]
        bind(OPS["radam_step"], rate, step, *first, *operands, into=targets, **options)
