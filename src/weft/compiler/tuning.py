"""``tune``: which tile, and how many pieces of the depth, are fastest for the products of a program on this adapter.

Every candidate is lowered and run as ``matmul`` itself would be, with timestamps; what is found becomes the choices of
the device's profile, which lowering asks first, and is kept on disk for later processes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft import devices
from weft.codegen import generate
from weft.compiler.jit import JitFunction
from weft.compiler.program import device_of
from weft.devices.base import Device, Range, Storage
from weft.dtypes import DType
from weft.errors import KernelError, UnsupportedError
from weft.graph import passes
from weft.graph.lowered import Call, Repeat
from weft.graph.lowering import lower
from weft.graph.products import asked
from weft.kernels import Library, Offset, Operand
from weft.ops import OPS, bind
from weft.ops.products import Asked, Choice, Layout, candidates, gpu_program
from weft.profiler import profile as profiling
from weft.target import TargetProfile
from weft.tensors.creation import ones
from weft.tensors.eager import EAGER

TRIED = 12
"""Candidates that are measured of each product: those that the shipped table expects to be fastest."""
ROUNDS = 3
"""Times that all candidates are measured, in turn, so that a disturbance meets all of them."""
RUNS = 5
"""Runs of a candidate in a round; the first of a process, which compiles, is not counted."""
GAIN = 0.97
"""A candidate replaces the shipped choice where it takes less than this part of its time."""


@dataclass(frozen=True)
class Measured:
    """A product's choices: the shipped one and the fastest, with the seconds that each took."""

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
            f"{self.device}: {len(self.measured)} product{'' if len(self.measured) == 1 else 's'} measured"
        ]
        for one in self.measured:
            gain = (
                f"{one.before / one.after:.2f} times as fast" if one.chosen != one.shipped else "as shipped"
            )
            chosen = f"{one.chosen[0]}, {one.chosen[1]} piece{'s' if one.chosen[1] > 1 else ''}"
            lines.append(f"  {one.asked}: {chosen} ({one.after * 1e6:,.1f} us, {gain})")
        lines.append(
            f"kept in {self.path}" if self.path else "not kept: WEFT_CACHE=0, or the disk takes no files"
        )
        return "\n".join(lines)


def tune(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Tuning:
    """Measure the products of ``fn(*args)`` on its device, and keep the fastest forms; nothing else of it is run.

    Programs that are compiled afterwards, and eager calls, take the choices; programs compiled before stay as they
    are. Choices with other numbers of pieces add in another order, so results may differ in the last places from
    those before; they stay the same from run to run. After an interrupt, what was measured so far holds.

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
    if device.profile.dialect == "llvm":
        raise UnsupportedError(
            f"tune: the values are on {device.name}, where there is nothing to choose; move them to a webgpu device"
        )
    plain = replace(device.profile, choices={})
    found: dict[str, tuple[Asked, Call]] = {}
    for call in _calls(lower(passes.run(graph, plain), plain).calls):
        product = asked(call)
        if product is not None:
            found.setdefault(str(product[0]), (product[0], call))
    made: list[Measured] = []
    path = None
    try:
        for question, call in found.values():
            made.append(_measured(device, plain, question, call))
    finally:
        if made:
            path = _adopted(device, made)
    return Tuning(device.name, tuple(made), path)


def _adopted(device: Device, made: Sequence[Measured]) -> Path | None:
    """Let lowering take what was measured from now on, and keep it; gives the file."""
    path = device.choose({**device.profile.choices, **{one.asked: one.chosen for one in made}})
    EAGER.forget()
    return path


def _calls(steps: Sequence[Call | Repeat]) -> Iterator[Call]:
    for step in steps:
        if isinstance(step, Repeat):
            yield from _calls(step.calls)
        else:
            yield step


def _measured(device: Device, plain: TargetProfile, question: Asked, call: Call) -> Measured:
    """Run all candidates of a product in turn."""
    shipped, *others = candidates(plain, question)[:TRIED]
    product = _Product(device, call)
    runs = {shipped: product.run(replace(plain, choices={str(question): shipped}))}
    for choice in others:
        try:
            runs[choice] = product.run(replace(plain, choices={str(question): choice}))
        except KernelError:  # more than this target has, of registers or of steps in a loop
            continue
    seconds: dict[Choice, list[float]] = {choice: [] for choice in runs}
    for _ in range(ROUNDS):
        for choice, run in runs.items():
            seconds[choice].append(_seconds(device, run))
    times = {choice: min(found) for choice, found in seconds.items()}
    best = min(times, key=times.__getitem__)
    chosen = best if times[best] < GAIN * times[shipped] else shipped
    return Measured(str(question), shipped, chosen, times[shipped], times[chosen])


def _seconds(device: Device, run: Callable[[], int]) -> float:
    """The median of some runs: by the device's clock, all dispatches of a run together."""
    with profiling() as found:
        counts = [run() for _ in range(RUNS)]
    durations = iter([one.duration or 0 for one in found.events if one.device == device.name])
    return statistics.median(sum(next(durations) for _ in range(count)) for count in counts) / 1e9


class _Product:
    """A call of ``matmul`` with memory to run it in: operands where the call has them, ones in them."""

    def __init__(self, device: Device, call: Call) -> None:
        kernel = call.kernel
        assert isinstance(kernel, Library)
        self.device, self.types = device, kernel.dtypes
        batch0, batch1, m, n, k = map(int, call.arguments[:5])
        numbers = [tuple(map(int, call.arguments[at : at + 5])) for at in (5, 10)]
        self.offsets = [one[0] for one in numbers] + [0]
        c = (batch1 * m * n, m * n, n, 1)
        self.layout = Layout((batch0, batch1), m, n, k, numbers[0][1:], numbers[1][1:], c)
        options = dict(kernel.options)
        self.operands = [
            Operand(at, dtype, aligned=at == 2 or bool(options[side]))
            for at, (dtype, side) in enumerate(zip(self.types, "abc", strict=True))
        ]
        sizes = [(batch0, batch1, m, k), (batch0, batch1, k, n), (batch0, batch1, m, n)]
        self.storages = [
            self._filled(dtype, offset + _reach(size, strides))
            for dtype, offset, size, strides in zip(
                self.types, self.offsets, sizes, (self.layout.a, self.layout.b, c), strict=True
            )
        ]

    def _filled(self, dtype: DType, elements: int) -> Storage:
        made = bind(OPS["cast"], ones(elements, device=self.device.name), dtype=dtype)
        storage: Storage = made._data.storage
        return storage

    def run(self, profile: TargetProfile) -> Callable[[], int]:
        """What runs the product as it is lowered for a target, and says in how many dispatches; run once already."""
        a, b, c = self.operands
        program = gpu_program(a, b, c, self.layout, profile, 3)
        scratch = [
            self.device.allocate(count * self.device.itemsize(dtype)) for dtype, count in program.temporaries
        ]
        values: list[Range] = [*self.storages, *scratch]
        offsets = [*self.offsets, *(0 for _ in scratch)]
        calls = []
        for step in program.steps:
            numbers = [
                offsets[one.index] if isinstance(one, Offset) else one
                for one in step.arguments
                if isinstance(one, int | float | Offset)
            ]
            calls.append((generate(step.kernel, profile), [values[at] for at in step.buffers], numbers))

        def run() -> int:
            for spec, ranges, parameters in calls:
                self.device.dispatch_kernel(spec, ranges, parameters)
            return len(calls)

        run()
        self.device.synchronize()
        return run


def _reach(size: Sequence[int], strides: Sequence[int]) -> int:
    """Elements up to the last one of a view."""
    return 1 + sum((count - 1) * stride for count, stride in zip(size, strides, strict=True))
