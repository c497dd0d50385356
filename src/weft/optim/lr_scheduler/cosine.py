"""Schedules along a cosine (Loshchilov and Hutter 2017): annealing, and annealing with warm restarts."""

from __future__ import annotations

import math

from weft.errors import ArgumentError, mistake
from weft.optim.lr_scheduler.base import LRScheduler, whole
from weft.optim.optimizer import Optimizer
from weft.tensors.watch import refuse_tracing


class CosineAnnealingLR(LRScheduler):
    """From the initial rate down to ``eta_min`` in ``T_max`` steps, and up again.

    As ``torch.optim.lr_scheduler.CosineAnnealingLR``.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = whole("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates of this step."""
        low, step = self.eta_min, self.last_epoch
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and step > 0:
            return self._closed_form()
        pairs = list(zip(self.base_lrs, self._rates(), strict=True))
        if (step - 1 - self.T_max) % (2 * self.T_max) == 0:  # the cosine of the step before is -1
            return [rate + (base - low) * (1 - math.cos(math.pi / self.T_max)) / 2 for base, rate in pairs]
        now, before = (1 + math.cos(math.pi * at / self.T_max) for at in (step, step - 1))
        return [now / before * (rate - low) + low for _, rate in pairs]

    def _closed_form(self) -> list[float]:
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate down to ``eta_min`` in ``T_0`` steps, then anew in ``T_mult`` times as many, and so on.

    As ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``; ``step(epoch)`` takes fractions of an epoch.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0 = whole("CosineAnnealingWarmRestarts", "T_0", T_0)
        self.T_i = T_0
        self.T_mult = whole("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates of this step."""
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to an epoch, which may be a fraction."""
        refuse_tracing("CosineAnnealingWarmRestarts.step", "step the schedule after the call")
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ArgumentError(mistake("CosineAnnealingWarmRestarts.step", "epoch", epoch, "0 or more"))
        else:
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _restart(self) -> None:
        self.step(0)

    def _place(self, epoch: float) -> None:
        """The period that an epoch falls in, and where in it."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            periods = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**periods - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**periods
