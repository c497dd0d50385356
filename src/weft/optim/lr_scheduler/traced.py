"""Schedules in a compiled step: the device counts the steps and works the rates out from its counter.

A traced ``schedule.step()`` adds nodes to the graph: one to the counter, and the schedule's formula of it into the
tensors that the optimizer's kernels read. Nothing is read back: after each run of the program the host takes the same
step in its own numbers, so that ``group["lr"]``, ``get_last_lr()`` and ``state_dict()`` are as in the eager run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType, ref

from weft import dtypes
from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import UnsupportedError
from weft.ops import FUNCTIONS, OPS, bind, interpreter_stack
from weft.ops.core import executing
from weft.optim.groups import following
from weft.tensors.tensor import Tensor, tensor
from weft.tensors.watch import Retrace, watcher

if TYPE_CHECKING:
    from weft.optim.lr_scheduler.base import LRScheduler


class Numbers(Protocol):
    """What a schedule's formula needs beside operators, so that it is written once for the host and the graph."""

    def real(self, value: Any) -> Any:
        """A whole number, or whether something holds, as a number with a fraction."""

    def cos(self, value: Any) -> Any:
        """The cosine."""

    def least(self, value: Any, other: int) -> Any:
        """The smaller of two whole numbers."""

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        """``value`` where the condition holds, else ``other``."""


class _Host:
    def real(self, value: Any) -> Any:
        return float(value)

    def cos(self, value: Any) -> Any:
        return math.cos(value)

    def least(self, value: Any, other: int) -> Any:
        return min(value, other)

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        return value if condition else other


class _Traced:
    """Tensors of no dimensions; fractions are of the type of the rates."""

    def __init__(self, dtype: DType, device: str) -> None:
        self.dtype, self.device = dtype, device

    def real(self, value: Any) -> Any:
        return value.to(dtype=self.dtype) if isinstance(value, Tensor) else float(value)

    def cos(self, value: Any) -> Any:
        return value.cos() if isinstance(value, Tensor) else math.cos(value)

    def least(self, value: Any, other: int) -> Any:
        return value.clamp(max=other)

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        return FUNCTIONS["where"].function(condition, self._same(value), self._same(other))

    def _same(self, value: Any) -> Any:
        """A number as a tensor of the rates' type, which ``where`` would take for one of 32 bits."""
        if isinstance(value, Tensor):
            return value
        return bind(OPS["full"], value, shape=(), dtype=self.dtype, device=self.device)


HOST: Numbers = _Host()


def trace_step(schedule: LRScheduler) -> None:
    """Put a step of the schedule into the graph that is traced; the host follows after each run of it."""
    if not schedule._has_form:
        raise UnsupportedError(
            f"{schedule._name}.step: is called while a function is traced, expected a schedule that is a formula of "
            f"the step's number, as LinearLR, CosineAnnealingLR, StepLR or SequentialLR of such; step it after the call"
        )
    refuse_second(schedule)
    _ = schedule.revision  # which says where the rates are not the formula's
    rates = [
        (at, name, one) for at, group in enumerate(schedule._groups) for name, one in group.rates.items()
    ]
    if not rates:
        return
    if {name for _, name, _ in rates} - set(schedule._counters):
        with executing():
            schedule._counters = {
                name: tensor(schedule._position, dtype=dtypes.int32, device=name) for _, name, _ in rates
            }
        raise Retrace  # what is made in a trace is no state of it
    watch = watcher.get()
    if watch is not None:
        watch.depends(schedule)
        watch.afterwards(schedule._follow)
    with no_grad():
        found = {}
        for name, counter in schedule._counters.items():
            bind(OPS["add"], counter, 1, into=(counter,))
            dtype = next(rate.dtype for _, device, rate in rates if device == name)
            found[name] = schedule._closed_form(counter, _Traced(dtype, name))
        for at, name, rate in rates:
            value = found[name][at]
            rate.copy_(value) if isinstance(value, Tensor) else rate.fill_(value)


def refuse_second(schedule: LRScheduler) -> None:
    """``UnsupportedError`` where another schedule wrote the rates in the same trace: the last one would win."""
    trace = ref(interpreter_stack()[0])
    for group in schedule._groups:
        known: tuple[ReferenceType[Any], ReferenceType[Any]] | None = group.stepped
        if known is not None and known[0]() is trace() and known[1]() is not schedule:
            raise UnsupportedError(
                f"{schedule._name}.step: another schedule steps the same optimizer in a compiled step, expected one; "
                f"use ChainedScheduler or SequentialLR for both"
            )
        group.stepped = (trace, ref(schedule))


def follow(schedule: LRScheduler) -> None:
    """Take a step in the host's numbers that the device has taken."""
    with following():
        schedule._go_on()


def put_counters(schedule: LRScheduler) -> None:
    """Tell the device the number of the present step, where a compiled step counts on from it."""
    with no_grad():
        for counter in schedule._counters.values():
            counter.fill_(schedule._position)
