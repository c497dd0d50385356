"""Schedules of rate and momentum in cycles (Smith 2017; Smith and Topin 2018): ``CyclicLR``, ``OneCycleLR``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, ClassVar

from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.optim.groups import ParamGroup
from weft.optim.lr_scheduler.base import LRScheduler, checked, for_groups, whole
from weft.optim.numbers import HOST, Numbers
from weft.optim.optimizer import Optimizer


def _uses_beta1(where: str, optimizer: Optimizer) -> bool:
    """Return whether the momentum is the first of ``betas``; ``ArgumentError`` where the optimizer has no momentum."""
    if not {"momentum", "betas"} & set(optimizer.defaults):
        raise ArgumentError(
            mistake(
                where, "cycle_momentum", True, f"False with {type(optimizer).__name__}, which has no momentum"
            )
        )
    return "betas" in optimizer.defaults


def _set_momentum(group: ParamGroup, beta1: bool, value: float) -> None:
    if beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _start_momentum(optimizer: Optimizer, beta1: bool, largest: list[float], base: list[float]) -> None:
    for group, high, low in zip(optimizer.param_groups, largest, base, strict=True):
        _set_momentum(group, beta1, high)
        group["max_momentum"], group["base_momentum"] = high, low


SCALES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, x: 1.0),
    "triangular2": ("cycle", lambda gamma, x: 1 / 2.0 ** (x - 1)),
    "exp_range": ("iterations", lambda gamma, x: gamma**x),
}
"""For each mode of ``CyclicLR`` the variable of its scale, and the scale as a function of gamma and the variable."""


class CyclicLR(LRScheduler):
    """Cycles of the rate from ``base_lr`` up to ``max_lr`` and down again; momentum cycles the opposite way.

    As ``torch.optim.lr_scheduler.CyclicLR``: ``mode`` determines the height of a cycle, or ``scale_fn``, a function of
    the cycle's or the step's number (``scale_mode``).
    """

    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "_scale_fn_custom")
    _is_absolute: ClassVar[bool] = True

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        checked("CyclicLR", optimizer)
        if scale_fn is None and mode not in SCALES:
            raise ArgumentError(mistake("CyclicLR", "mode", repr(mode), f"one of {', '.join(SCALES)}"))
        base_lrs = for_groups("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs: list[float] = for_groups("CyclicLR", "max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else SCALES[mode][0]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = _uses_beta1("CyclicLR", optimizer)
            self.base_momentums: list[float] = for_groups(
                "CyclicLR", "base_momentum", optimizer, base_momentum
            )
            self.max_momentums: list[float] = for_groups("CyclicLR", "max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = rate
            if cycle_momentum:
                _start_momentum(optimizer, self.use_beta1, self.max_momentums, self.base_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _include(self, group: ParamGroup) -> None:
        self.max_lrs.append(self._common("max_lrs", self.max_lrs))
        if self.cycle_momentum:
            self.base_momentums.append(self._common("base_momentums", self.base_momentums))
            self.max_momentums.append(self._common("max_momentums", self.max_momentums))

    def _initial_rate(self, group: ParamGroup) -> float:
        group.setdefault("initial_lr", group["lr"])
        return float(self._common("base_lrs", self.base_lrs))

    def scale_fn(self, x: float) -> float:
        """Return the scale of a cycle's height."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return SCALES[self.mode][1](self.gamma, x)

    def get_lr(self) -> list[float]:
        """Return the rates of this step, and set the momenta."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self._groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                _set_momentum(group, self.use_beta1, high - (high - low) * height * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height * scale for low, high in pairs]

    @property
    def _cycles_momentum(self) -> bool:  # type: ignore[override]
        return self.cycle_momentum

    def _scaled_height(self, step: Any, numbers: Numbers) -> Any:
        """Return the height in the cycle at a step, between 0 and 1."""
        if self._scale_fn_custom is not None:
            raise UnsupportedError(
                mistake(self._name, "scale_fn", "a function", "a mode in a compiled step",
                        "step the schedule after the call")
            )  # fmt: skip
        period = math.floor(self.total_size)
        if period != self.total_size:
            raise UnsupportedError(
                mistake(self._name, "the length of a cycle", self.total_size, "an integer in a compiled step")
            )
        cycle, x = 1 + step // period, numbers.real(step % period) / period
        down = (x - 1) / (self.step_ratio - 1) if self.step_ratio < 1 else 0.0
        height = numbers.choose(x <= self.step_ratio, x / self.step_ratio, down)
        scale = SCALES[self.mode][1]
        return height * scale(self.gamma, numbers.real(cycle if self.scale_mode == "cycle" else step))

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        height = self._scaled_height(step, numbers)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _closed_momenta(self, step: Any, numbers: Numbers) -> list[Any]:
        if not self.cycle_momentum:
            return []
        height = self._scaled_height(step, numbers)
        bounds = zip(self.base_momentums, self.max_momentums, strict=True)
        return [high - (high - low) * height for low, high in bounds]

    def state_dict(self) -> dict[str, Any]:
        """Return the state; a function for the scale is not saved, a callable object is by its attributes."""
        scale = self._scale_fn_custom
        saved = None if scale is None or isinstance(scale, FunctionType) else dict(scale.__dict__)
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``."""
        super().load_state_dict(state_dict)
        saved = state_dict.get("_scale_fn_custom")
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)


ANNEALING: dict[str, Callable[[Any, Any, Any, Numbers], Any]] = {
    "cos": lambda start, end, part, numbers: end + (start - end) / 2.0 * (numbers.cos(math.pi * part) + 1),
    "linear": lambda start, end, part, numbers: (end - start) * part + start,
}
"""The annealing functions from a start to an end, by the part of the phase in [0, 1]."""

_Phase = tuple[float, str, str, str, str]


class OneCycleLR(LRScheduler):
    """A single cycle of the rate over all steps, up to ``max_lr`` and down to nearly 0; momentum moves inversely.

    As ``torch.optim.lr_scheduler.OneCycleLR``: the first rate is ``max_lr / div_factor``, the last rate is the first
    divided by ``final_div_factor``. The rise takes the fraction ``pct_start`` of the steps, which are ``total_steps``,
    or ``epochs`` times ``steps_per_epoch``. Further steps raise ``ArgumentError``.
    """

    _is_absolute: ClassVar[bool] = True

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        checked("OneCycleLR", optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ArgumentError(mistake("OneCycleLR", "pct_start", pct_start, "a float in [0, 1]"))
        if anneal_strategy not in ANNEALING:
            raise ArgumentError(
                mistake("OneCycleLR", "anneal_strategy", repr(anneal_strategy), "'cos' or 'linear'")
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self.cycle_momentum = cycle_momentum
        largest = for_groups("OneCycleLR", "max_lr", optimizer, max_lr)
        if cycle_momentum:
            self.use_beta1 = _uses_beta1("OneCycleLR", optimizer)
            high = for_groups("OneCycleLR", "max_momentum", optimizer, max_momentum)
            low = for_groups("OneCycleLR", "base_momentum", optimizer, base_momentum)
            if last_epoch == -1:
                _start_momentum(optimizer, self.use_beta1, high, low)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, largest, strict=True):
                group["initial_lr"], group["max_lr"] = rate / div_factor, rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _include(self, group: ParamGroup) -> None:
        names = ["initial_lr", "max_lr", "min_lr"]
        if self.cycle_momentum:
            names += ["base_momentum", "max_momentum"]
        known = self._groups[: len(self.base_lrs)]
        for name in names:
            if name not in group:
                group[name] = self._common(name, [other[name] for other in known])

    def get_lr(self) -> list[float]:
        """Return the rates of this step, and set the momenta."""
        step, phases = self.last_epoch, self._schedule_phases
        if step > self.total_steps:
            raise ArgumentError(
                mistake("OneCycleLR.step", "the step", step, f"at most {self.total_steps}, the total_steps")
            )
        place = next((i for i, phase in enumerate(phases) if step <= phase["end_step"]), len(phases) - 1)
        phase, start = phases[place], phases[place - 1]["end_step"] if place else 0.0
        part = (step - start) / (phase["end_step"] - start)
        anneal = ANNEALING[self._anneal_func_type]
        if self.cycle_momentum:
            for group in self._groups:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                _set_momentum(group, self.use_beta1, anneal(*ends, part, HOST))
        # step total_steps lies beyond the line's end, where PyTorch's rate is negative
        return [
            max(0.0, anneal(group[phase["start_lr"]], group[phase["end_lr"]], part, HOST))
            for group in self._groups
        ]

    def _built_in(self) -> Any:
        names = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
        return super()._built_in(), [[group.get(name) for name in names] for group in self._groups]

    @property
    def _cycles_momentum(self) -> bool:  # type: ignore[override]
        return self.cycle_momentum

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]:
        rates = self._along(step, "lr", numbers)
        return [numbers.choose(rate > 0, rate, 0.0) for rate in rates]

    def _closed_momenta(self, step: Any, numbers: Numbers) -> list[Any]:
        return self._along(step, "momentum", numbers) if self.cycle_momentum else []

    def _along(self, step: Any, quantity: str, numbers: Numbers) -> list[Any]:
        """Return each group's ``"lr"`` or ``"momentum"`` at a step, in the phase that contains the step."""
        anneal, ends = ANNEALING[self._anneal_func_type], [0.0]
        ends += [phase["end_step"] for phase in self._schedule_phases]
        values: list[Any] = []
        for at, phase in reversed(list(enumerate(self._schedule_phases))):
            part = (numbers.real(step) - ends[at]) / (ends[at + 1] - ends[at])
            bounds = [
                (group[phase[f"start_{quantity}"]], group[phase[f"end_{quantity}"]]) for group in self._groups
            ]
            here = [anneal(*pair, part, numbers) for pair in bounds]
            inside = step <= math.floor(ends[at + 1])
            values = [
                numbers.choose(inside, value, later)
                for value, later in zip(here, values or here, strict=True)
            ]
        return values


def _total(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total_steps is not None:
        return whole("OneCycleLR", "total_steps", total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ArgumentError(
            mistake("OneCycleLR", "total_steps", None, "a number of steps, or epochs and steps_per_epoch")
        )
    return whole("OneCycleLR", "epochs", epochs) * whole("OneCycleLR", "steps_per_epoch", steps_per_epoch)


def _phases(total: int, rise: float, three: bool) -> list[dict[str, Any]]:
    """Return each phase: its last step, and the group's options between which rate and momentum are annealed."""
    top, low = "max_momentum", "base_momentum"
    rows: list[_Phase] = [(rise * total - 1, "initial_lr", "max_lr", top, low)]
    if three:
        rows.append((2 * rise * total - 2, "max_lr", "initial_lr", low, top))
        rows.append((total - 1, "initial_lr", "min_lr", top, top))
    else:
        rows.append((total - 1, "max_lr", "min_lr", low, top))
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(names, row, strict=True)) for row in rows]
