"""Schedules in a compiled step: the device counts the steps and works the rates out from its counter.

A traced ``schedule.step()`` adds nodes to the graph: one to the counter, and the schedule's formula of it into the
tensors that the optimizer's kernels read. Nothing is read back: after each run of the program the host takes the same
step in its own numbers, so that ``group["lr"]``, ``get_last_lr()`` and ``state_dict()`` are as in the eager run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from weft import dtypes
from weft.autograd import no_grad
from weft.errors import UnsupportedError, mistake
from weft.ops import OPS, bind, interpreter_stack
from weft.ops.registry.interpreters import executing
from weft.optim.groups import following
from weft.optim.numbers import Traced
from weft.tensors.tensor import Tensor, tensor
from weft.tensors.watch import Retrace, watcher

if TYPE_CHECKING:
    from weft.optim.lr_scheduler.base import LRScheduler


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
    _prepare(schedule, {name for _, name, _ in rates})
    watch = watcher.get()
    if watch is not None:
        watch.depends(schedule)
        watch.afterwards(schedule._follow)
    with no_grad():
        for device, counter in schedule._counters.items():
            bind(OPS["add"], counter, 1, into=(counter,))
            here = [(at, rate) for at, name, rate in rates if name == device]
            numbers = Traced(here[0][1].dtype, device)
            found = schedule._closed_form(counter, numbers)
            for at, rate in here:
                _put(rate, found[at])
            for group, momentum in zip(
                schedule._groups, schedule._closed_momenta(counter, numbers), strict=False
            ):
                for (_, name), (target, formula) in group.numbers.items():
                    if name == device:
                        _put(target, formula(momentum, numbers))


def _prepare(schedule: LRScheduler, devices: set[str]) -> None:
    """Make the counters; what is made in a trace is no state of it, so that it starts again."""
    waiting = [] if not schedule._cycles_momentum else [one for one in schedule._groups if not one.cycled]
    if schedule._cycles_momentum and not {"momentum", "betas"} & set(schedule.optimizer.scheduled):
        optimizer = type(schedule.optimizer).__name__
        raise UnsupportedError(
            mistake(schedule._name, "cycle_momentum", True, f"False with {optimizer} in a compiled step",
                    "or step the schedule after the call")
        )  # fmt: skip
    if not waiting and devices <= set(schedule._counters):
        return
    with executing():
        schedule._counters = {
            name: tensor(schedule._position, dtype=dtypes.int32, device=name) for name in sorted(devices)
        }
    for group in waiting:
        group.cycled = True
    raise Retrace


def _put(target: Tensor, value: Any) -> None:
    if isinstance(value, Tensor):
        target.copy_(value)
    else:
        target.fill_(value)


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
