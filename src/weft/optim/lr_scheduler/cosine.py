"""Schedules along a cosine (Loshchilov and Hutter 2017): annealing, and annealing with warm restarts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.optim.lr_scheduler.base import LRScheduler, whole
from weft.optim.numbers import HOST, Numbers
from weft.optim.optimizer import Optimizer
from weft.tensors.watch import refuse_tracing


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to ``eta_min`` in ``T_max`` steps, and up again.

    As ``torch.optim.lr_scheduler.CosineAnnealingLR``.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = whole("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        low, step = self.eta_min, self.last_epoch
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and step > 0:
            return self._closed_form(step, HOST)
        pairs = list(zip(self.base_lrs, self._rates(), strict=True))
        if (step - 1 - self.T_max) % (2 * self.T_max) == 0:  # the cosine of the previous step is -1
            return [rate + (base - low) * (1 - math.cos(math.pi / self.T_max)) / 2 for base, rate in pairs]
        now, before = (1 + math.cos(math.pi * at / self.T_max) for at in (step, step - 1))
        return [now / before * (rate - low) + low for _, rate in pairs]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        if self.eta_min:
            raise UnsupportedError(
                mistake(self._name, "eta_min", self.eta_min, "0 in a ChainedScheduler of a compiled step",
                        "step the schedules after the call")
            )  # fmt: skip
        return _between(0.0, 1.0, step % (2 * self.T_max), self.T_max, numbers)

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        place = step % (2 * self.T_max)  # an integer, so that the cosine is exact for any number of steps
        return [_between(self.eta_min, base, place, self.T_max, numbers) for base in self.base_lrs]


def _between(low: float, high: float, step: Any, period: Any, numbers: Numbers) -> Any:
    """Return the value at a step of half a cosine from ``high`` to ``low`` in ``period`` steps."""
    return low + (high - low) * (1 + numbers.cos(math.pi * numbers.real(step) / period)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to ``eta_min`` in ``T_0`` steps, then again in periods that are ``T_mult`` times longer each.

    As ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``; ``step(epoch)`` takes fractions of an epoch.
    """

    _is_absolute: ClassVar[bool] = True

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
        """Return the learning rates of this step, one for each parameter group."""
        return [_between(self.eta_min, base, self.T_cur, self.T_i, HOST) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Advance to the next step, or go to ``epoch``, which may be a fraction."""
        if epoch is None:
            super().step()
            return
        refuse_tracing(f"{self._name}.step", "give no epoch in a compiled step")
        if epoch < 0:
            raise ArgumentError(mistake(f"{self._name}.step", "epoch", epoch, "0 or more"))
        self._go_to(epoch)
        self._sync_devices()

    def _advance(self) -> None:
        if self.last_epoch < 0:
            self._go_to(0)
            return
        self._include_new_groups()
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur %= self.T_i
            self.T_i *= self.T_mult
        self.last_epoch += 1
        self._write(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        self._include_new_groups()
        self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _restart(self) -> None:
        self._go_to(0)

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        if self.T_cur != math.floor(self.T_cur):
            raise UnsupportedError(
                mistake(self._name, "the epoch", f"{self.T_cur} into its period", "an integer in a compiled step",
                        "step the schedule after the call")
            )  # fmt: skip
        if self.T_mult == 1:
            place, period = step % self.T_0, self.T_0
        else:
            starts, period = _periods(self.T_0, self.T_mult), numbers.real(self.T_0)
            place = step
            for length, start in starts:
                began = step >= start
                place = numbers.choose(began, step - start, place)
                period = numbers.choose(began, float(length), period)
        return [_between(self.eta_min, base, place, period, numbers) for base in self.base_lrs]

    def _place(self, epoch: float) -> None:
        """Set the period that contains an epoch, and the epoch's place in it."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            periods = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**periods - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**periods


def _periods(first: int, growth: int) -> list[tuple[int, int]]:
    """Return length and start of the periods after the first, up to the range of a 32-bit counter."""
    periods, length, start = [], first, first
    while start < 1 << 31:
        length *= growth
        periods.append((length, start))
        start += length
    return periods
