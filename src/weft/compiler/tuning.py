"""``tune``: measure which forms of a program's matrix products and reductions are fastest on this adapter.

Every candidate is lowered and timed as in the program. The fastest candidates become the choices of the device's
profile, which lowering consults first, and are stored on disk for later processes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft import devices
from weft.compiler.jit import JitFunction
from weft.compiler.program import device_of
from weft.compiler.subjects import Dispatch, Subject, subjects
from weft.devices.base import Device
from weft.errors import KernelError, UnsupportedError
from weft.ops.matmul.products import Choice
from weft.profiler import profile as profiling
from weft.tensors.eager import EAGER

ROUNDS = 3
"""How often all candidates are measured, in turn, so that a disturbance affects all of them."""
RUNS = 5
"""Timed runs of a candidate in a round, after one run that compiles."""
GAIN = 0.97
"""A candidate replaces the shipped choice where it takes less than this fraction of the time."""


@dataclass(frozen=True)
class Measured:
    """The measurement of one question: the shipped and the chosen answer, with their times in seconds."""

    asked: str
    shipped: Choice
    chosen: Choice
    before: float
    after: float


@dataclass(frozen=True)
class Tuning:
    """The measurements of ``tune`` on a device, and the file that stores them (``None`` where nothing is stored)."""

    device: str
    measured: tuple[Measured, ...]
    path: Path | None

    def __str__(self) -> str:
        lines = [
            f"{self.device}: {len(self.measured)} kernel{'' if len(self.measured) == 1 else 's'} measured"
        ]
        for row in self.measured:
            gain = (
                f"{row.before / row.after:.2f} times as fast" if row.chosen != row.shipped else "as shipped"
            )
            name, number = row.chosen
            lines.append(f"  {row.asked}: {name}, {number} ({row.after * 1e6:,.1f} us, {gain})")
        lines.append(
            f"stored in {self.path}"
            if self.path
            else "not stored: WEFT_CACHE=0, or the cache is not writable"
        )
        return "\n".join(lines)


def tune(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Tuning:
    """Measure the matrix products and reductions of ``fn(*args)``, and store their fastest forms; nothing else is run.

    The choice of a product is its tile and the number of splits of its depth. The choice of a reduction is the number
    of invocations that share a result (0: one invocation, 1: a workgroup). Programs compiled afterwards and eager calls
    use the choices; programs compiled before do not change. Another split or team size sums in another order, so
    results may differ by rounding from earlier results; they stay the same from run to run. After an interrupt, the
    measurements so far are stored.

    Returns:
        The measurements: for each question the shipped and the chosen form, with their times.

    Raises:
        UnsupportedError: the function runs on ``cpu``, where there are no choices.

    >>> import weft as wf
    >>> wf.compiler.tune(lambda x: x @ x, wf.ones(64, 64, device="cpu"))
    Traceback (most recent call last):
    ...
    weft.errors.UnsupportedError: tune: the values are on cpu, where kernels have no choices; ...
    """
    function = fn if isinstance(fn, JitFunction) else JitFunction(fn, (), 1, False)
    graph = function.graph(*args, **kwargs)
    device = device_of(graph, devices.default())
    if not device.profile.capabilities.workgroups:
        raise UnsupportedError(
            f"tune: the values are on {device.name}, where kernels have no choices; move them to a webgpu device"
        )
    plain = replace(device.profile, choices={})
    made: list[Measured] = []
    path = None
    try:
        for subject in subjects(device, plain, graph):
            made.append(_measured(device, subject()))  # noqa: PERF401  (an interrupt leaves those before it)
    finally:
        if made:
            path = _adopted(device, made)
    return Tuning(device.name, tuple(made), path)


def _adopted(device: Device, made: Sequence[Measured]) -> Path | None:
    """Make the measured choices those of the device, store them, and return the file."""
    path = device.choose({**device.profile.choices, **{value.asked: value.chosen for value in made}})
    EAGER.forget()
    return path


def _measured(device: Device, subject: Subject) -> Measured:
    """Run all candidates of a subject in turn."""
    shipped, *others = subject.choices
    runs = {shipped: subject.dispatches(shipped)}
    _run(device, runs[shipped])
    for choice in others:
        try:
            made = subject.dispatches(choice)
            _run(device, made)
        except KernelError:  # the candidate exceeds a limit of the target
            continue
        runs[choice] = made
    seconds: dict[Choice, list[float]] = {choice: [] for choice in runs}
    for _ in range(ROUNDS):
        for choice, made in runs.items():
            seconds[choice].append(_seconds(device, made))
    times = {choice: min(found) for choice, found in seconds.items()}
    best = min(times, key=times.__getitem__)
    chosen = best if times[best] < GAIN * times[shipped] else shipped
    return Measured(subject.question, shipped, chosen, times[shipped], times[chosen])


def _run(device: Device, dispatches: Sequence[Dispatch]) -> None:
    for spec, ranges, parameters in dispatches:
        device.dispatch_kernel(spec, ranges, parameters)
    device.synchronize()


def _seconds(device: Device, dispatches: Sequence[Dispatch]) -> float:
    """Return the median time of a run's dispatches together, by the device's clock."""
    with profiling() as found:
        for _ in range(RUNS):
            for spec, ranges, parameters in dispatches:
                device.dispatch_kernel(spec, ranges, parameters)
    durations = [event.duration or 0 for event in found.events if event.device == device.name]
    count = len(dispatches)
    return statistics.median(sum(durations[at * count : (at + 1) * count]) for at in range(RUNS)) / 1e9
