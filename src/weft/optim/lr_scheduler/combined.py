"""Schedules of schedules: one after another, or all at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.optim.lr_scheduler.base import LRScheduler, checked
from weft.optim.lr_scheduler.plateau import ReduceLROnPlateau
from weft.optim.numbers import Numbers
from weft.optim.optimizer import Optimizer


def listed(where: str, schedulers: Iterable[Any]) -> list[LRScheduler]:
    """The schedulers that are given; ``ArgumentTypeError`` for anything else."""
    found = list(schedulers)
    for position, scheduler in enumerate(found):
        if not isinstance(scheduler, LRScheduler):
            given = f"a {type(scheduler).__name__}"
            raise ArgumentTypeError(mistake(where, f"schedulers[{position}]", given, "an LRScheduler"))
    return found


class _OfSchedulers(LRScheduler):
    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "_schedulers")
    _moving: ClassVar[frozenset[str]] = LRScheduler._moving | {"_schedulers"}
    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        """Check that the schedulers are of the optimizer and step without a metric."""
        self.optimizer = checked(self._name, optimizer)
        for position, scheduler in enumerate(schedulers):
            where = f"schedulers[{position}]"
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    mistake(self._name, where, "a ReduceLROnPlateau", "one that steps without a metric")
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    mistake(self._name, where, "of another optimizer", "all of one optimizer")
                )
        self._schedulers = list(schedulers)

    def step(self) -> None:  # type: ignore[override]
        """Go on to the next step and write its rates."""
        super().step()

    def _meet_groups(self) -> None:
        for scheduler in self._schedulers:
            scheduler._meet_groups()

    def _restart(self) -> None:
        raise UnsupportedError(
            f"{self._name}: is not the first in a SequentialLR, expected it first or one level of them; "
            f"give its schedulers and milestones to the outer SequentialLR"
        )

    def _built_in(self) -> Any:
        return [super()._built_in(), *(scheduler._built_in() for scheduler in self._schedulers)]

    def state_dict(self) -> dict[str, Any]:
        """The state, with that of each scheduler."""
        return {
            **super().state_dict(),
            "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``."""
        given = state_dict["_schedulers"]
        if len(given) != len(self._schedulers):
            raise ArgumentError(
                mistake(f"{self._name}.load_state_dict", "state_dict", f"of {len(given)} schedulers",
                        f"{len(self._schedulers)}")
            )  # fmt: skip
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, given, strict=True):
            scheduler.load_state_dict(state)
        self._placed()


class SequentialLR(_OfSchedulers):
    """One schedule after another, the next from each of ``milestones`` on, as PyTorch's of this name."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        schedulers = listed(self._name, schedulers)
        if not schedulers:
            raise ArgumentError(mistake("SequentialLR", "schedulers", "empty", "at least one"))
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                mistake("SequentialLR", "milestones", f"{len(milestones)} steps",
                        f"{len(schedulers) - 1}, one fewer than schedulers")
            )  # fmt: skip
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in self._groups:
            group["lr"] = group["initial_lr"]
        _undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def _go_on(self) -> None:
        """Step the schedule whose turn it is; the first step of a later one is its step 0."""
        self.last_epoch += 1
        place = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[place]
        if place > 0 and self._milestones[place - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler._go_on()
        self._last_lr = scheduler.get_last_lr()

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        if any(isinstance(one, SequentialLR) for one in self._schedulers):
            raise UnsupportedError(
                f"{self._name}: holds a SequentialLR in a compiled step, expected one level of them; give its "
                f"schedulers and milestones to the outer SequentialLR"
            )
        for one in self._schedulers:
            if one._cycles_momentum:
                raise UnsupportedError(
                    mistake(one._name, "cycle_momentum", True, f"False in a {self._name} of a compiled step",
                            "or step the schedule after the call")
                )  # fmt: skip
        first, *later = self._schedulers
        rates = first._closed_form(step, numbers)
        for start, scheduler in zip(self._milestones, later, strict=True):
            if isinstance(scheduler, _OfSchedulers):
                scheduler._restart()  # which says that it cannot
            began = step >= start
            pairs = zip(scheduler._closed_form(step - start, numbers), rates, strict=True)
            rates = [numbers.choose(began, new, old) for new, old in pairs]
        return rates


def _undo(scheduler: LRScheduler) -> None:
    """Take back the step 0 that building took."""
    if isinstance(scheduler, _OfSchedulers):
        for one in scheduler._schedulers:
            _undo(one)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_OfSchedulers):
    """Several schedules at once, each changing what the one before it gave, as PyTorch's of this name."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        schedulers = listed(self._name, schedulers)
        if not schedulers:
            raise ArgumentError(mistake("ChainedScheduler", "schedulers", "empty", "at least one"))
        self._take(schedulers[0].optimizer if optimizer is None else optimizer, schedulers)
        self._last_lr = self._rates()

    def _go_on(self) -> None:
        for scheduler in self._schedulers:
            scheduler._go_on()
        self._last_lr = self._rates()

    @property
    def _position(self) -> int:
        first, *others = (scheduler._position for scheduler in self._schedulers)
        if any(other != first for other in others):
            raise UnsupportedError(
                mistake(self._name, "the schedulers' steps", [first, *others], "the same in a compiled step",
                        "step the schedule after the call")
            )  # fmt: skip
        return first

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The initial rates."""
        return self._schedulers[0].base_lrs

    def _height(self, step: Any, numbers: Numbers) -> Any:
        return math.prod(scheduler._height(step, numbers) for scheduler in self._schedulers)
