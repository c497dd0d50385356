"""``LRScheduler``: counts steps and writes the rates that a subclass works out into the optimizer's groups.

A subclass gives ``get_lr()``, in PyTorch's chainable form: from the present rates, so that what else changes them (a
second scheduler, the user) is kept. Where there is a form in the step number alone, ``_closed_form`` gives it, for
numbers and for traced tensors alike: in a compiled step it is part of the graph (``traced``).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import Checked
from weft.optim.groups import ParamGroup
from weft.optim.lr_scheduler.traced import follow, put_counters, trace_step
from weft.optim.numbers import HOST, Numbers
from weft.optim.optimizer import Optimizer
from weft.tensors.tensor import Tensor
from weft.tensors.watch import refuse_tracing, tracing


@argument_class("an LRScheduler")
class LRScheduler(Checked):
    """The base of all schedules.

    Building one takes step 0: the groups get their first rates, and remember the one that they came with as
    ``"initial_lr"``. With ``last_epoch`` 0 or more the schedule goes on from there, and the groups must have it.

    In a function that ``weft.jit`` compiles, ``step()`` is part of the program: the rates come from a counter on the
    device, with no reading back and no new compilation. Schedules by functions of the user are stepped outside.

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
    _moving: ClassVar[frozenset[str]] = frozenset(
        "optimizer last_epoch _step_count _last_lr _is_initial _counters _checked T_cur T_i".split()
    )
    """Attributes that steps change; the others are built into a compiled step."""
    _overwrites: ClassVar[bool] = False
    """Whether a step gives rates without regard to the present ones."""
    _counters: Mapping[str, Tensor] = MappingProxyType({})
    """By device the number of steps taken, where a compiled step counts them."""
    _checked: Any = None
    """The options with which the present rates were found to be the formula's."""

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

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step and write its rates.

        With ``epoch``, which PyTorch advises against and warns of too, go to that step.
        """
        if epoch is not None:
            self._jump(epoch)
        elif tracing():
            trace_step(self)
            return
        else:
            self._go_on()
        self._placed()

    def _jump(self, epoch: int) -> None:
        """Go to a step by its number."""
        refuse_tracing(f"{self._name}.step", "give no epoch in a compiled step")
        warnings.warn(
            f"{self._name}.step: epoch={epoch} is given, which sets the number of the step; call step() without it",
            UserWarning,
            stacklevel=3,
        )
        self._meet_groups()
        self._step_count += 1
        self.last_epoch = epoch
        self._write(self._closed_form(epoch, HOST) if self._has_form else self.get_lr())

    def _placed(self) -> None:
        """The host went on by itself: the device counts on from here, where the rates may not be the formula's."""
        self._checked = None
        put_counters(self)

    def _meet_groups(self) -> None:
        """Take in groups that the optimizer was given since the schedule was built: from their present rate on."""
        for group in self._groups[len(self.base_lrs) :]:
            self._meet(group)
            self.base_lrs.append(self._base(group))

    def _base(self, group: ParamGroup) -> float:
        """The initial rate of a group that was added."""
        found: float = group.setdefault("initial_lr", group["lr"])
        return found

    def _meet(self, group: ParamGroup) -> None:
        """Extend by one group what a subclass knows of each; ``ArgumentError`` where the groups have different ones."""

    def _shared(self, argument: str, values: Sequence[Any]) -> Any:
        """What all groups so far have, for one more."""
        if any(value != values[0] for value in values):
            raise ArgumentError(
                mistake(f"{self._name}.step", argument, f"{len(values)} different values",
                        f"{len(values) + 1}, as a parameter group was added", f"add one to schedule.{argument}")
            )  # fmt: skip
        return values[0]

    def _go_on(self) -> None:
        self._meet_groups()
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def _follow(self) -> None:
        """Take the step that a compiled program has taken on the device."""
        follow(self)

    @property
    def _position(self) -> int:
        """The number of the present step."""
        return self.last_epoch

    def _height(self, step: Any, numbers: Numbers) -> Any:
        """What the initial rates are multiplied by at a step, an int or traced; each subclass that can defines it."""
        raise UnsupportedError(
            f"{self._name}: is part of a schedule in a compiled step, expected one whose rates are its initial rate "
            f"times a formula of the step's number; step the whole after the call"
        )

    _cycles_momentum: bool = False
    """Whether steps change the momenta too."""

    def _closed_momenta(self, step: Any, numbers: Numbers) -> list[Any]:
        """The momenta of a step, one a group, where it changes them."""
        return []

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        """The rates of a step from its number alone."""
        height = self._height(step, numbers)
        return [base * height for base in self.base_lrs]

    def _restart(self) -> None:
        """Go to step 0 where another schedule had the groups in between."""
        self._meet_groups()
        self.last_epoch = 0
        chained = self._has_form and not self._overwrites
        self._write(self._closed_form(0, HOST) if chained else self.get_lr())

    @property
    def _has_form(self) -> bool:
        """Whether there is a form in the step number alone, of the class that says what the rates are or of a later."""
        rates, *forms = (
            next(place for place, kind in enumerate(type(self).__mro__) if name in vars(kind))
            for name in ("get_lr", "_height", "_closed_form")
        )
        base = type(self).__mro__.index(LRScheduler)
        return min(forms) < base and min(forms) <= rates

    @property
    def revision(self) -> Any:
        """What a compiled step has built in; ``ArgumentError`` where a rate was set that its formula cannot know."""
        self._meet_groups()
        if not self._overwrites:
            for position, (group, rate) in enumerate(zip(self._groups, self._last_lr, strict=False)):
                if group["lr"] != rate:
                    raise self._off(position, rate)
        options = self._built_in()
        if options != self._checked:
            self._check_form()
            self._checked = options
        return options

    def _check_form(self) -> None:
        """``ArgumentError`` where the present rates are not the formula's: options were changed between steps."""
        if self._overwrites:
            return
        for position, rate in enumerate(self._closed_form(self._position, HOST)):
            given, base = self._groups[position]["lr"], self._groups[position].get("initial_lr", 0.0)
            if abs(given - rate) > 1e-6 * max(abs(given), abs(base)):  # rounding adds up to far less
                raise self._off(position, rate)

    def _off(self, position: int, rate: float) -> ArgumentError:
        return ArgumentError(
            mistake(f"{self._name}.step", f"the rate of param_groups[{position}]", self._groups[position]["lr"],
                    f"{rate:.6g} at step {self._position} in a compiled step, as its options say from step 0 on",
                    "step the schedule outside of the compiled function where rates or options change by hand")
        )  # fmt: skip

    def _built_in(self) -> Any:
        moving = self._moving
        return [
            value.copy() if isinstance(value, list | dict) else value
            for key, value in self.__dict__.items()
            if key not in moving
        ]

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self._groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        """All that the schedule knows, apart from the optimizer."""
        return {key: value for key, value in self.__dict__.items() if not self._is_unsaved(key)}

    def _is_unsaved(self, key: str) -> bool:
        return key in self._unsaved or key in ("_counters", "_checked")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, this schedule's or PyTorch's; the rates are the optimizer's to restore."""
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(
                mistake(
                    f"{self._name}.load_state_dict", "state_dict", f"a {type(state_dict).__name__}", "a dict"
                )
            )
        self.__dict__.update({key: value for key, value in state_dict.items() if not self._is_unsaved(key)})
        self._placed()


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
