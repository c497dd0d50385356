"""``ReduceLROnPlateau``: a smaller rate when a metric has stopped improving."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.optim.lr_scheduler.base import LRScheduler, checked, for_groups
from weft.optim.optimizer import Optimizer
from weft.tensors.watch import refuse_tracing


class ReduceLROnPlateau(LRScheduler):
    """The rate times ``factor`` after ``patience`` steps without a better metric.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``. A better metric is lower (``mode="min"``) or higher (``"max"``)
    by more than ``threshold``, relative to the best value (``"rel"``) or absolute (``"abs"``). After a reduction
    ``cooldown`` steps are not counted. No rate falls below ``min_lr``.
    """

    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer",)

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError(mistake(self._name, "factor", factor, "below 1"))
        for name, value, allowed in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in allowed:
                raise ArgumentError(
                    mistake(self._name, name, repr(value), f"{allowed[0]!r} or {allowed[1]!r}")
                )
        self.optimizer = checked(self._name, optimizer)
        self.factor = factor
        self.default_min_lr: Any = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs: list[float] = for_groups(self._name, "min_lr", optimizer, min_lr)
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = self._rates()
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether the cooldown after a reduction lasts, in which steps are not counted."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the metric of a step, a number or a tensor of one element, and reduce the rates where they are due.

        ``epoch``, which is deprecated, sets the number of the step.
        """
        refuse_tracing("ReduceLROnPlateau.step", "step the schedule after the call")
        current = float(metrics)
        if epoch is not None:
            warnings.warn(
                f"ReduceLROnPlateau.step: epoch={epoch} is given, which sets the number of the step; leave it out",
                UserWarning,
                stacklevel=2,
            )
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _is_better(self, value: float, best: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        mark = (
            best * (1.0 + sign * self.threshold)
            if self.threshold_mode == "rel"
            else best + sign * self.threshold
        )
        return value > mark if self.mode == "max" else value < mark

    def _reduce(self) -> None:
        if len(self._groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    mistake(f"{self._name}.step", "min_lrs", f"{len(self.min_lrs)} values",
                            f"{len(self._groups)}, one for each parameter group", "set min_lrs after adding a group")
                )  # fmt: skip
            self.min_lrs = [self.default_min_lr] * len(self._groups)
        for group, least in zip(self._groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``."""
        super().load_state_dict(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
