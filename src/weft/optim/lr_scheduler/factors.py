"""Schedules that multiply the rate by a factor: at every step, at milestones, or until a last step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, ClassVar

from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops.registry.arguments import integer
from weft.optim.groups import ParamGroup
from weft.optim.lr_scheduler.base import LRScheduler, checked, for_groups, whole
from weft.optim.numbers import Numbers
from weft.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class _FunctionSchedule(LRScheduler):
    """A schedule by a function for each group; the state dict has those that are callable objects with attributes."""

    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        checked(self._name, optimizer)
        self.lr_lambdas: list[Factor] = for_groups(self._name, "lr_lambda", optimizer, lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise ArgumentTypeError(
                    mistake(self._name, "lr_lambda", f"a {type(function).__name__}", "a function of the step")
                )
        super().__init__(optimizer, last_epoch)

    def _include(self, group: ParamGroup) -> None:
        if len(self.lr_lambdas) == len(self.base_lrs):
            self.lr_lambdas.append(self._common("lr_lambdas", self.lr_lambdas))

    def state_dict(self) -> dict[str, Any]:
        """Return the state; functions are not saved, callable objects are by their attributes."""
        saved = [None if isinstance(f, FunctionType) else dict(f.__dict__) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``."""
        super().load_state_dict(state_dict)
        for function, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                function.__dict__.update(saved)


class LambdaLR(_FunctionSchedule):
    """The initial rate times ``lr_lambda(step)``: a function, or a list with a function for each group.

    As ``torch.optim.lr_scheduler.LambdaLR``.
    """

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        pairs = zip(self.lr_lambdas, self.base_lrs, strict=True)
        return [base * function(self.last_epoch) for function, base in pairs]


class MultiplicativeLR(_FunctionSchedule):
    """The rate times ``lr_lambda(step)`` at each step, as ``torch.optim.lr_scheduler.MultiplicativeLR``."""

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self._is_initial:
            return self._rates()
        pairs = zip(self.lr_lambdas, self._rates(), strict=True)
        return [rate * function(self.last_epoch) for function, rate in pairs]


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` steps, as ``torch.optim.lr_scheduler.StepLR``."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = whole("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        return self.gamma ** numbers.real(step // self.step_size)


class MultiStepLR(LRScheduler):
    """The rate times ``gamma`` at each step of ``milestones``, as ``torch.optim.lr_scheduler.MultiStepLR``."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones: Counter[int] = Counter(
            integer("MultiStepLR", "milestones", milestone) for milestone in milestones
        )
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self.last_epoch not in self.milestones:
            return self._rates()
        return [rate * self.gamma ** self.milestones[self.last_epoch] for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        passed = sum(numbers.real(step >= milestone) * count for milestone, count in self.milestones.items())
        return self.gamma**passed


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for ``total_iters`` steps, as ``torch.optim.lr_scheduler.ConstantLR``."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(mistake("ConstantLR", "factor", factor, "in [0, 1]"))
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        return [rate * (1.0 / self.factor) for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        return numbers.choose(step >= self.total_iters, 1.0, self.factor)


class LinearLR(LRScheduler):
    """The rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` steps.

    As ``torch.optim.lr_scheduler.LinearLR``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(mistake("LinearLR", "start_factor", start_factor, "in (0, 1]"))
        if not 0 <= end_factor <= 1:
            raise ArgumentError(mistake("LinearLR", "end_factor", end_factor, "in [0, 1]"))
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [rate * (1.0 + rise / before) for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        rise = (self.end_factor - self.start_factor) / max(self.total_iters, 1)
        return self.start_factor + rise * numbers.real(numbers.least(step, self.total_iters))


class ExponentialLR(LRScheduler):
    """The rate times ``gamma`` at each step, as ``torch.optim.lr_scheduler.ExponentialLR``."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        return self._rates() if self._is_initial else [rate * self.gamma for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        return self.gamma ** numbers.real(step)


class PolynomialLR(LRScheduler):
    """The rate times ``(1 - step / total_iters) ** power``, 0 from then on.

    As ``torch.optim.lr_scheduler.PolynomialLR``.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = whole("PolynomialLR", "total_iters", total_iters)
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, one for each parameter group."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        left = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [rate * (left / before) ** self.power for rate in self._rates()]

    def _factor(self, step: Any, numbers: Numbers) -> Any:
        left = self.total_iters - numbers.least(step, self.total_iters)  # an integer, so exact for any step
        return (numbers.real(left) / self.total_iters) ** self.power
