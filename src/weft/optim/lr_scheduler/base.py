"""``LRScheduler``: counts steps and writes the rates that a subclass works out into the optimizer's groups.

A subclass gives ``get_lr()``, in PyTorch's chainable form: from the present rates, so that what else changes them (a
second scheduler, the user) is kept. Where there is a form in the step number alone, ``_closed_form`` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.optim.groups import ParamGroup
from weft.optim.optimizer import Optimizer
from weft.tensors.watch import refuse_tracing


class LRScheduler:
    """The base of all schedules.

    Building one takes step 0: the groups get their first rates, and remember the one that they came with as
    ``"initial_lr"``. With ``last_epoch`` 0 or more the schedule goes on from there, and the groups must have it.

    >>> import weft as wf
    >>> optimizer = wf.optim.SGD([wf.nn.Parameter(wf.ones(2))], lr=1.0)
    >>> schedule = wf.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.get_last_lr()
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer",)
    """Attributes that are no part of the state."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(self._name, optimizer)
        for position, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    mistake(self._name, f"param_groups[{position}]", "without 'initial_lr'",
                            "one that has it, to go on from last_epoch", "load the optimizer's state first")
                )  # fmt: skip
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._is_initial = False
        self._start()

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _groups(self) -> list[ParamGroup]:
        return self.optimizer.param_groups

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self._groups]

    def _start(self) -> None:
        """Step 0, in which the chainable forms keep the rates as they are."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """The groups' rates for step ``last_epoch``, from the present ones; each subclass defines it."""
        raise UnsupportedError(f"{self._name}: get_lr is not defined, expected the subclass to define it")

    def get_last_lr(self) -> list[float]:
        """The rates that the last step gave."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next step and write its rates."""
        refuse_tracing(f"{self._name}.step", "step the schedule after the call")
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def _restart(self) -> None:
        """Go to step 0 where another schedule had the groups in between."""
        self.last_epoch = 0
        closed = getattr(self, "_closed_form", None)
        self._write(self.get_lr() if closed is None else closed())

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self._groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        """All that the schedule knows, apart from the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in self._unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, this schedule's or PyTorch's; the rates are the optimizer's to restore."""
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(
                mistake(
                    f"{self._name}.load_state_dict", "state_dict", f"a {type(state_dict).__name__}", "a dict"
                )
            )
        self.__dict__.update({key: value for key, value in state_dict.items() if key not in self._unsaved})


def checked(where: str, optimizer: Any) -> Optimizer:
    """An optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(
            mistake(where, "optimizer", f"a {type(optimizer).__name__}", "an Optimizer of weft")
        )
    return optimizer


def for_groups(where: str, argument: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A value for each group: one for all, or a list of one each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(
            mistake(where, argument, f"{len(value)} values", f"{count}, one a parameter group")
        )
    return list(value)


def whole(where: str, argument: str, value: Any, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "a whole number"))
    if value < least:
        raise ArgumentError(mistake(where, argument, value, f"at least {least}"))
    return value
