"""Combinations of schedules: one after another, or all at once."""

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
    """Return the schedulers as a list; ``ArgumentTypeError`` where an element is not a scheduler."""
    given_schedulers = list(schedulers)
    for position, scheduler in enumerate(given_schedulers):
        if not isinstance(scheduler, LRScheduler):
            given = f"a {type(scheduler).__name__}"
            raise ArgumentTypeError(mistake(where, f"schedulers[{position}]", given, "an LRScheduler"))
    return given_schedulers


class _Composite(LRScheduler):
    """The base of schedules that step others."""

    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "_schedulers")
    _step_attributes: ClassVar[frozenset[str]] = LRScheduler._step_attributes | {"_schedulers"}
    _schedulers: list[LRScheduler]

    def _set_schedulers(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        """Set the schedulers after checking that they are of the optimizer and step without a metric."""
        self.optimizer = checked(self._name, optimizer)
        for position, scheduler in enumerate(schedulers):
            where = f"schedulers[{position}]"
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    mistake(
                        self._name, where, "a ReduceLROnPlateau", "a schedule that steps without a metric"
                    )
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    mistake(self._name, where, "of another optimizer", "all of one optimizer")
                )
        self._schedulers = list(schedulers)

    def step(self) -> None:  # type: ignore[override]
        """Advance to the next step and write its rates."""
        super().step()

    def _include_new_groups(self) -> None:
        for scheduler in self._schedulers:
            scheduler._include_new_groups()

    def _restart(self) -> None:
        raise UnsupportedError(
            f"{self._name}: is not the first in a SequentialLR, expected it first, or no nested schedules; "
            f"give its schedulers and milestones to the outer SequentialLR"
        )

    def _built_in(self) -> Any:
        return [super()._built_in(), *(scheduler._built_in() for scheduler in self._schedulers)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the state of each scheduler."""
        return {
            **super().state_dict(),
            "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``."""
        given = state_dict["_schedulers"]
        if len(given) != len(self._schedulers):
            raise ArgumentError(
                mistake(f"{self._name}.load_state_dict", "state_dict", f"of {len(given)} schedulers",
                        f"{len(self._schedulers)}")
            )  # fmt: skip
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, given, strict=True):
            scheduler.load_state_dict(state)
        self._sync_devices()


class SequentialLR(_Composite):
    """Schedules one after another, each from its milestone on, as ``torch.optim.lr_scheduler.SequentialLR``."""

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
        self._set_schedulers(optimizer, schedulers)
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

    def _advance(self) -> None:
        """Step the current schedule; a later schedule starts with its step 0."""
        self.last_epoch += 1
        place = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[place]
        if place > 0 and self._milestones[place - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler._advance()
        self._last_lr = scheduler.get_last_lr()

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        if any(isinstance(scheduler, SequentialLR) for scheduler in self._schedulers):
            raise UnsupportedError(
                f"{self._name}: contains a SequentialLR in a compiled step, expected no nesting; give its schedulers "
                f"and milestones to the outer SequentialLR"
            )
        for scheduler in self._schedulers:
            if scheduler._cycles_momentum:
                raise UnsupportedError(
                    mistake(scheduler._name, "cycle_momentum", True, f"False in a {self._name} of a compiled step",
                            "or step the schedule after the call")
                )  # fmt: skip
        first, *later = self._schedulers
        rates = first._closed_form(step, numbers)
        for start, scheduler in zip(self._milestones, later, strict=True):
            if isinstance(scheduler, _Composite):
                scheduler._restart()  # raises
            began = step >= start
            pairs = zip(scheduler._closed_form(step - start, numbers), rates, strict=True)
            rates = [numbers.choose(began, new, old) for new, old in pairs]
        return rates


def _undo(scheduler: LRScheduler) -> None:
    """Undo the step 0 of the constructor."""
    if isinstance(scheduler, _Composite):
        for inner in scheduler._schedulers:
            _undo(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Composite):
    """Several schedules at once, each changing the rates of the previous one.

    As ``torch.optim.lr_scheduler.ChainedScheduler``.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        schedulers = listed(self._name, schedulers)
        if not schedulers:
            raise ArgumentError(mistake("ChainedScheduler", "schedulers", "empty", "at least one"))
        self._set_schedulers(schedulers[0].optimizer if optimizer is None else optimizer, schedulers)
        self._last_lr = self._rates()

    def _advance(self) -> None:
        for scheduler in self._schedulers:
            scheduler._advance()
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

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        return math.prod(scheduler._factor(step, numbers) for scheduler in self._schedulers)
