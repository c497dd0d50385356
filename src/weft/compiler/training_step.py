"""``TrainingStep``: forward, backward, limits of the gradients, optimizer and schedule as one jitted function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from weft.amp import GradScaler
from weft.autograd import enable_grad
from weft.compiler.jit import JitFunction
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, ShapeError, mistake
from weft.nn.module import Module
from weft.nn.utils import clip_grad_norm_, clip_grad_value_, normalize_grads_
from weft.optim.groups import number
from weft.optim.lr_scheduler import LRScheduler
from weft.optim.optimizer import Optimizer
from weft.random.generator import Generator, drawing_from
from weft.tensors.tensor import Tensor

Loss = Callable[..., Tensor]
MakeOptimizer = Optimizer | Callable[[Module], Optimizer]
MakeSchedule = LRScheduler | Callable[[Optimizer], LRScheduler] | None

WHERE = "compile_training"


@dataclass(frozen=True)
class Limits:
    """Limits of the gradients, which are applied before the optimizer's step."""

    max_norm: float | None = None
    max_value: float | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        for name in ("max_norm", "max_value"):
            value = getattr(self, name)
            if value is not None and not number(WHERE, name, value):
                raise ArgumentError(mistake(WHERE, name, value, "above 0, or None"))
        if self.normalize and self.max_norm is not None:
            given = f"True, with max_norm={self.max_norm}"
            raise ArgumentError(
                mistake(WHERE, "normalize_grads", given, "only one of normalize_grads and max_norm")
            )

    def apply(self, parameters: Sequence[Tensor]) -> None:
        """Apply the limits to the gradients of parameters, in place."""
        if self.max_value is not None:
            clip_grad_value_(parameters, self.max_value)
        if self.max_norm is not None:
            clip_grad_norm_(parameters, self.max_norm)
        if self.normalize:
            normalize_grads_(parameters)


class Fate:
    """The reason why a step's results can no longer be read, in words; empty while they can."""

    __slots__ = ("words",)

    def __init__(self) -> None:
        self.words = ""

    def __call__(self) -> str:
        """The words."""
        return self.words


class TrainingStep:
    """The model, loss, optimizer, schedule and scaler of a training, and the jitted step over them.

    ``generator``: the random generator of the step; ``None`` for the default generator.
    """

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer, schedule: LRScheduler | None, limits: Limits,
        scaler: GradScaler, generator: Generator | None,
    ) -> None:  # fmt: skip
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.limits, self.scaler, self.generator = limits, scaler, generator
        self.fate = Fate()
        self.program = self._make()

    def _make(self) -> JitFunction:
        model, loss, optimizer, schedule = self.model, self.loss, self.optimizer, self.schedule
        limits, scaler, generator = self.limits, self.scaler, self.generator

        def step(**inputs: Any) -> Tensor:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            with enable_grad(), nullcontext() if generator is None else drawing_from(generator):
                found = _scalar(loss, loss(model, **inputs))
                optimizer.zero_grad()
                scaler.scale(found).backward()
                scaler.unscale_(optimizer)
                limits.apply(parameters)
                scaler.step(optimizer)
                scaler.update()
                if schedule is not None:
                    schedule.step()
            return found.detach()

        step.__name__ = f"the training step of {type(model).__name__}"
        return JitFunction(step, (), 8, False)

    def set_schedule(self, schedule: LRScheduler | None) -> None:
        """Replace the schedule from the next step on."""
        if schedule is not self.schedule:
            self.schedule = schedule
            self.program = self._make()


def _scalar(loss: Loss, found: Any) -> Tensor:
    if isinstance(found, Tensor) and found.shape == ():
        return found
    code = getattr(inspect.unwrap(loss), "__code__", None)
    site = (
        "" if code is None else f" (defined at {code.co_filename.rpartition('/')[2]}:{code.co_firstlineno})"
    )
    where = f"{WHERE}: {getattr(loss, '__name__', 'loss')}{site}"
    if not isinstance(found, Tensor):
        raise ArgumentTypeError(mistake(where, "its result", f"a {type(found).__name__}", "a 0-d tensor"))
    given = f"{found.dtype.name}{list(found.shape)}"
    raise ShapeError(mistake(where, "its result", given, "a 0-d tensor", "take its mean() or sum()"))


def checked_scaler(where: str, given: Any, device: str) -> GradScaler:
    """Return the scaler after a check of its device; for ``None`` a disabled scaler."""
    if given is None:
        return GradScaler(enabled=False)
    if not isinstance(given, GradScaler):
        raise ArgumentTypeError(
            mistake(where, "scaler", f"a {type(given).__name__}", "a GradScaler of weft.amp, or None")
        )
    if given.is_enabled() and given.device != device:
        raise DeviceError(
            mistake(
                where, "scaler", f"on {given.device}", f"on {device}, as the model", f"GradScaler({device!r})"
            )
        )
    return given


def built_optimizer(where: str, given: Any, model: Module) -> Optimizer:
    """Return the optimizer, or the result of a function of the model; it must have parameters of the model."""
    found = given if isinstance(given, Optimizer) or not callable(given) else given(model)
    if not isinstance(found, Optimizer):
        source = "a function that returns " if callable(given) else ""
        expected = "an Optimizer of weft, or a function of the model that returns an Optimizer"
        raise ArgumentTypeError(mistake(where, "optimizer", f"{source}a {type(found).__name__}", expected))
    known = set(map(id, model.parameters()))
    if not any(id(parameter) in known for group in found.param_groups for parameter in group["params"]):
        expected = f"an optimizer of the {type(model).__name__}"
        raise ArgumentError(mistake(where, "optimizer", "without parameters of the model", expected))
    return found


def built_schedule(where: str, given: Any, optimizer: Optimizer) -> LRScheduler | None:
    """Return the schedule, or the result of a function of the optimizer."""
    if given is None:
        return None
    found = given if isinstance(given, LRScheduler) or not callable(given) else given(optimizer)
    if not isinstance(found, LRScheduler):
        source = "a function that returns " if callable(given) else ""
        expected = (
            "a schedule of weft.optim.lr_scheduler, or a function of the optimizer that returns a schedule"
        )
        raise ArgumentTypeError(mistake(where, "schedule", f"{source}a {type(found).__name__}", expected))
    if found.optimizer is not optimizer:
        raise ArgumentError(
            mistake(where, "schedule", "of another optimizer", "a schedule of the given optimizer")
        )
    return found
