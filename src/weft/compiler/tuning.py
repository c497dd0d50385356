"""``tune``: which forms of a program's products and folds are fastest on this adapter.

Every candidate is lowered and run as in the program, with timestamps; what is found becomes the choices of the device's
profile, which lowering asks first, and is kept on disk for later processes.
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
"""Times that all candidates are measured, in turn, so that a disturbance meets all of them."""
RUNS = 5
"""Runs of a candidate in a round; the first of a process, which compiles, is not counted."""
GAIN = 0.97
"""A candidate replaces the shipped choice where it takes less than this part of its time."""


@dataclass(frozen=True)
class Measured:
    """A question's answers: the shipped choice and the fastest, with the seconds that each took."""

    asked: str
    shipped: Choice
    chosen: Choice
    before: float
    after: float


@dataclass(frozen=True)
class Tuning:
    """What ``tune`` found on a device, and the file that keeps it (``None`` where nothing is kept)."""

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
            f"kept in {self.path}" if self.path else "not kept: WEFT_CACHE=0, or the disk takes no files"
        )
        return "\n".join(lines)


def tune(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Tuning:
    """Measure the products and folds of ``fn(*args)`` on its device, and keep their fastest forms; nothing else is run.

    A product's choice is a tile and the number of pieces that its depth is cut into; a fold's is how many invocations
    share a result (0: one alone, 1: a workgroup). Programs that are compiled afterwards, and eager calls, take the
    choices; programs compiled before stay as they are. Other pieces and teams add in another order, so results may
    differ in the last places from those before; they stay the same from run to run. After an interrupt, what was
    measured so far holds.

    Raises ``UnsupportedError`` on ``cpu``, where no choices are made.

    >>> import weft as wf
    >>> wf.compiler.tune(lambda x: x @ x, wf.ones(64, 64, device="cpu"))
    Traceback (most recent call last):
    ...
    weft.errors.UnsupportedError: tune: the values are on cpu, where there is nothing to choose; ...
    """
    function = fn if isinstance(fn, JitFunction) else JitFunction(fn, (), 1, False)
    graph = function.graph(*args, **kwargs)
    device = device_of(graph, devices.default())
    if not device.profile.capabilities.workgroups:
        raise UnsupportedError(
            f"tune: the values are on {device.name}, where there is nothing to choose; move them to a webgpu device"
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
    """Let lowering take what was measured from now on, and keep it; gives the file."""
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
        except KernelError:  # more than this target has, of registers or of steps in a loop
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
    """The median of some runs: by the device's clock, all dispatches of a run together."""
    with profiling() as found:
        for _ in range(RUNS):
            for spec, ranges, parameters in dispatches:
                device.dispatch_kernel(spec, ranges, parameters)
    durations = [event.duration or 0 for event in found.events if event.device == device.name]
    count = len(dispatches)
    return statistics.median(sum(durations[at * count : (at + 1) * count]) for at in range(RUNS)) / 1e9
