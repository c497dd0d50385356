"""``LRScheduler``: counts steps and writes the rates that a subclass computes into the optimizer's groups.

A subclass defines ``get_lr()`` in PyTorch's chainable form: from the current rates, so that changes by a second
scheduler or by the user persist. A schedule that is a function of the step number also has ``_closed_form``, for
numbers and traced tensors: in a compiled step it is part of the graph (``traced``).
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
from weft.optim.lr_scheduler.traced import follow, set_counters, trace_step
from weft.optim.numbers import HOST, Numbers
from weft.optim.optimizer import Optimizer
from weft.tensors.tensor import Tensor
from weft.tensors.watch import refuse_tracing, tracing


@argument_class("an LRScheduler")
class LRScheduler(Checked):
    """The base of all schedules.

    The constructor takes step 0: it writes the first rates to the groups, and saves their given rates as
    ``"initial_lr"``. With ``last_epoch`` of 0 or more the schedule continues from that step, and the groups must have
    ``"initial_lr"``.

    In a function that ``weft.jit`` compiles, ``step()`` is part of the program: the rates are computed from a counter
    on the device, without synchronization or recompilation. Schedules by Python functions are stepped outside of it.

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
    """Attributes that are not part of the state dict."""
    _step_attributes: ClassVar[frozenset[str]] = frozenset(
        "optimizer last_epoch _step_count _last_lr _is_initial _counters _checked T_cur T_i".split()
    )
    """Attributes that steps change; all others are constants of a compiled step."""
    _is_absolute: ClassVar[bool] = False
    """Whether the rates of a step do not depend on the current rates."""
    _counters: Mapping[str, Tensor] = MappingProxyType({})
    """The counters of compiled steps by device: the number of steps taken."""
    _checked: Any = None
    """The options for which the current rates were last compared with the formula."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(self._name, optimizer)
        for position, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    mistake(self._name, f"param_groups[{position}]", "without 'initial_lr'",
                            "a group that has it, to continue from last_epoch", "load the optimizer's state first")
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
        """Take step 0, in which the chainable forms do not change the rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """Return the groups' rates for step ``last_epoch`` from the current rates; each subclass defines it."""
        raise UnsupportedError(f"{self._name}: get_lr is not defined, expected the subclass to define it")

    def get_last_lr(self) -> list[float]:
        """Return the rates of the last step."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Advance to the next step and write its rates; with ``epoch``, which is deprecated, set the step's number."""
        if epoch is not None:
            self._set_epoch(epoch)
        elif tracing():
            trace_step(self)
            return
        else:
            self._advance()
        self._sync_devices()

    def _set_epoch(self, epoch: int) -> None:
        """Set the number of the step, with a warning, and write its rates."""
        refuse_tracing(f"{self._name}.step", "give no epoch in a compiled step")
        warnings.warn(
            f"{self._name}.step: epoch={epoch} is given, which sets the number of the step; call step() without it",
            UserWarning,
            stacklevel=3,
        )
        self._include_new_groups()
        self._step_count += 1
        self.last_epoch = epoch
        self._write(self._closed_form(epoch, HOST) if self._has_form else self.get_lr())

    def _sync_devices(self) -> None:
        """Set the devices' counters to the host's step, after a step on the host."""
        self._checked = None
        set_counters(self)

    def _include_new_groups(self) -> None:
        """Include groups that were added to the optimizer since, with their current rate as the initial one."""
        for group in self._groups[len(self.base_lrs) :]:
            self._include(group)
            self.base_lrs.append(self._initial_rate(group))

    def _initial_rate(self, group: ParamGroup) -> float:
        """Return the initial rate of an added group."""
        rate: float = group.setdefault("initial_lr", group["lr"])
        return rate

    def _include(self, group: ParamGroup) -> None:
        """Extend a subclass's values by an added group; ``ArgumentError`` where the other groups' values differ."""

    def _common(self, argument: str, values: Sequence[Any]) -> Any:
        """Return the value that all groups have in common, for an added group."""
        if any(value != values[0] for value in values):
            raise ArgumentError(
                mistake(f"{self._name}.step", argument, f"{len(values)} different values",
                        f"{len(values) + 1}, as a parameter group was added", f"append a value to schedule.{argument}")
            )  # fmt: skip
        return values[0]

    def _advance(self) -> None:
        self._include_new_groups()
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def _follow(self) -> None:
        """Take the step on the host that a compiled program has taken on the device."""
        follow(self)

    @property
    def _position(self) -> int:
        """The number of the current step."""
        return self.last_epoch

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        """Return the factor of the initial rates at a step, an int or a traced tensor, where there is a formula."""
        raise UnsupportedError(
            f"{self._name}: is part of a schedule in a compiled step, expected a schedule whose rates are its initial "
            f"rate times a function of the step's number; step the combined schedule after the call"
        )

    _cycles_momentum: bool = False
    """Whether steps also change the momenta."""

    def _closed_momenta(self, step: Any, numbers: Numbers) -> list[Any]:
        """Return the groups' momenta at a step; empty where the schedule does not change them."""
        return []

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        """Return the rates of a step as a function of its number."""
        height = self._factor(step, numbers)
        return [base * height for base in self.base_lrs]

    def _restart(self) -> None:
        """Go to step 0, after another schedule has changed the rates."""
        self._include_new_groups()
        self.last_epoch = 0
        chained = self._has_form and not self._is_absolute
        self._write(self._closed_form(0, HOST) if chained else self.get_lr())

    @property
    def _has_form(self) -> bool:
        """Whether the rates have a closed form, defined by the class that defines ``get_lr`` or by a subclass of it."""
        rates, *forms = (
            next(place for place, kind in enumerate(type(self).__mro__) if name in vars(kind))
            for name in ("get_lr", "_factor", "_closed_form")
        )
        base = type(self).__mro__.index(LRScheduler)
        return min(forms) < base and min(forms) <= rates

    @property
    def revision(self) -> Any:
        """The constants of a compiled step; ``ArgumentError`` where a rate was set that the formula does not give."""
        self._include_new_groups()
        if not self._is_absolute:
            for position, (group, rate) in enumerate(zip(self._groups, self._last_lr, strict=False)):
                if group["lr"] != rate:
                    raise self._rate_error(position, rate)
        options = self._built_in()
        if options != self._checked:
            self._check_form()
            self._checked = options
        return options

    def _check_form(self) -> None:
        """Raise ``ArgumentError`` where the current rates are not the formula's: options were changed between steps."""
        if self._is_absolute:
            return
        for position, rate in enumerate(self._closed_form(self._position, HOST)):
            given, base = self._groups[position]["lr"], self._groups[position].get("initial_lr", 0.0)
            if abs(given - rate) > 1e-6 * max(abs(given), abs(base)):  # rounding errors are far smaller
                raise self._rate_error(position, rate)

    def _rate_error(self, position: int, rate: float) -> ArgumentError:
        return ArgumentError(
            mistake(f"{self._name}.step", f"the rate of param_groups[{position}]", self._groups[position]["lr"],
                    f"{rate:.6g} at step {self._position} in a compiled step, as its options say from step 0 on",
                    "step the schedule outside of the compiled function where rates or options change by hand")
        )  # fmt: skip

    def _built_in(self) -> Any:
        moving = self._step_attributes
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
        """Return the schedule's state, without the optimizer."""
        return {key: value for key, value in self.__dict__.items() if not self._is_unsaved(key)}

    def _is_unsaved(self, key: str) -> bool:
        return key in self._unsaved or key in ("_counters", "_checked")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``, of weft or of PyTorch; the optimizer's state dict restores the rates."""
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(
                mistake(
                    f"{self._name}.load_state_dict", "state_dict", f"a {type(state_dict).__name__}", "a dict"
                )
            )
        self.__dict__.update({key: value for key, value in state_dict.items() if not self._is_unsaved(key)})
        self._sync_devices()


def checked(where: str, optimizer: Any) -> Optimizer:
    """Return the optimizer; ``ArgumentTypeError`` for other arguments."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(
            mistake(where, "optimizer", f"a {type(optimizer).__name__}", "an Optimizer of weft")
        )
    return optimizer


def for_groups(where: str, argument: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return a list with a value for each group, from a single value or a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(
            mistake(where, argument, f"{len(value)} values", f"{count}, a value for each parameter group")
        )
    return list(value)


def whole(where: str, argument: str, value: Any, least: int = 1) -> int:
    """Return an int of at least ``least``; ``ArgumentTypeError`` or ``ArgumentError`` for other values."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "a whole number"))
    if value < least:
        raise ArgumentError(mistake(where, argument, value, f"at least {least}"))
    return value
