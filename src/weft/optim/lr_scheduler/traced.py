"""Schedules in a compiled step: the device counts the steps and computes the rates from its counter.

A traced ``schedule.step()`` adds nodes to the graph: they increase the counter, and write the schedule's formula of it
to the tensors that the optimizer's kernels read. The host does not read the device: after each run of the program it
takes the same step in its own numbers, so that ``group["lr"]``, ``get_last_lr()`` and ``state_dict()`` are those of an
eager run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from weakref import ReferenceType, ref

from weft import dtypes
from weft.autograd import no_grad
from weft.errors import UnsupportedError, mistake
from weft.ops import OPS, bind, interpreter_stack
from weft.ops.registry.interpreters import executing
from weft.optim.groups import ParamGroup, following
from weft.optim.numbers import Numbers, Traced
from weft.optim.optimizer import Optimizer
from weft.tensors.tensor import Tensor, tensor
from weft.tensors.watch import Retrace, watcher


class TraceableSchedule(Protocol):
    """The part of ``LRScheduler`` that a traced step needs; ``LRScheduler`` documents its members."""

    optimizer: Optimizer
    _counters: Mapping[str, Tensor]

    @property
    def revision(self) -> Any:
        """See ``LRScheduler``."""

    @property
    def _name(self) -> str: ...

    @property
    def _groups(self) -> list[ParamGroup]: ...

    @property
    def _position(self) -> int: ...

    @property
    def _has_form(self) -> bool: ...

    @property
    def _cycles_momentum(self) -> bool: ...

    def _closed_form(self, step: Any, numbers: Numbers) -> list[Any]: ...

    def _closed_momenta(self, step: Any, numbers: Numbers) -> list[Any]: ...

    def _advance(self) -> None: ...

    def _follow(self) -> None: ...


def trace_step(schedule: TraceableSchedule) -> None:
    """Add a step of the schedule to the traced graph; the host follows after each run."""
    if not schedule._has_form:
        raise UnsupportedError(
            f"{schedule._name}.step: is called while a function is traced, expected a schedule that is a function of "
            f"the step's number, as LinearLR, CosineAnnealingLR, StepLR or a SequentialLR of these; step it after the "
            f"call"
        )
    refuse_second(schedule)
    _ = schedule.revision  # raises where the rates are not the formula's
    rates = [
        (at, name, rate) for at, group in enumerate(schedule._groups) for name, rate in group.rates.items()
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
            values = schedule._closed_form(counter, numbers)
            for at, rate in here:
                _write(rate, values[at])
            for group, momentum in zip(
                schedule._groups, schedule._closed_momenta(counter, numbers), strict=False
            ):
                for (_, name), (target, formula) in group.numbers.items():
                    if name == device:
                        _write(target, formula(momentum, numbers))


def _prepare(schedule: TraceableSchedule, devices: set[str]) -> None:
    """Create the counters outside of the trace, as state of the program, and start the trace again."""
    waiting = [group for group in schedule._groups if not group.cycled] if schedule._cycles_momentum else []
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


def _write(target: Tensor, value: Any) -> None:
    if isinstance(value, Tensor):
        target.copy_(value)
    else:
        target.fill_(value)


def refuse_second(schedule: TraceableSchedule) -> None:
    """Raise ``UnsupportedError`` where another schedule wrote the rates in the same trace, and would be overwritten."""
    trace = ref(interpreter_stack()[0])
    for group in schedule._groups:
        known: tuple[ReferenceType[Any], ReferenceType[Any]] | None = group.stepped
        if known is not None and known[0]() is trace() and known[1]() is not schedule:
            raise UnsupportedError(
                f"{schedule._name}.step: another schedule steps the same optimizer in a compiled step, expected a "
                f"single one; use ChainedScheduler or SequentialLR for both"
            )
        group.stepped = (trace, ref(schedule))


def follow(schedule: TraceableSchedule) -> None:
    """Take the step in the host's numbers that the device has taken."""
    with following():
        schedule._advance()


def set_counters(schedule: TraceableSchedule) -> None:
    """Write the number of the current step to the counters of compiled steps."""
    with no_grad():
        for counter in schedule._counters.values():
            counter.fill_(schedule._position)
