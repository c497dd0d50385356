"""Replays of plans: cost of a run and of each dispatch, against single dispatches and PyTorch's eager operations.

``python -m benchmarks.replay [DEVICE]``: ``cpu``, ``webgpu`` or ``webgpu:software``. Kernels have 16 elements, so that
the overhead dominates. Every timed call waits for the device, so that no candidate pays for the work of another. The
host's cost of recording is timed separately, on an idle device.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch

from benchmarks.harness import Row, measure, report
from tests.devices.plans import accumulate, at, chain, pointwise, upload
from weft import devices
from weft.devices import Device, Replay
from weft.plan import Dispatch, Loop, Plan

N, SIZE = 16, 64


def compared(name: str, device: Device, plan: Plan, states: int, eager: Callable[[], None] | None) -> Row:
    """Measure a plan's replay against the same dispatches one by one, and on the processor against PyTorch."""
    replayed, single = device.prepare(plan), Replay(device, plan)
    given = [upload(device, np.zeros(size // 4, np.float32)) for size in plan.inputs]
    held = [upload(device, np.zeros(N, np.float32)) for _ in range(states)]

    def waited(replay: Replay) -> Callable[[], None]:
        def run() -> None:
            replay.run(given, held)
            device.synchronize()

        return run

    peers = {"one by one": waited(single)}
    if device.name == "cpu" and eager is not None:
        peers["torch"] = eager
    return measure(name, waited(replayed), peers)


def chains(device: Device, count: int) -> Row:
    """Return a plan of a chain of kernels through an arena into a new output."""
    x, out = torch.ones(N), torch.empty(N)

    def eager() -> None:
        for _ in range(count):
            torch.add(x, x, out=out)

    return compared(f"kernels: {count}", device, chain(device, count), 0, eager)


def in_place(device: Device, count: int, times: int = 1) -> Row:
    """Return a plan that increments states in place, once or in a loop, without outputs."""
    step = accumulate(device.profile, N)
    steps = tuple(
        Dispatch(step, (at("input", 0, SIZE), at("state", number, SIZE))) for number in range(count)
    )
    plan = Plan((Loop(times, steps),), (), (SIZE,), (SIZE,) * count, (), tuple(range(count)))
    x, ys = torch.zeros(N), [torch.zeros(N) for _ in range(count)]

    def eager() -> None:
        for _ in range(times):
            for y in ys:
                y.add_(x)

    return compared(f"states in place: {count}, rounds: {times}", device, plan, count, eager)


def large(device: Device, n: int) -> Row:
    """Return a plan of kernels large enough for several threads."""
    spec = pointwise(device.profile, "exp(a) * 0.5", n)
    places = (at("input", 0, 4 * n), at("arena", 0, 4 * n)), (at("arena", 0, 4 * n), at("output", 0, 4 * n))
    plan = Plan(tuple(Dispatch(spec, each) for each in places), (4 * n,), (4 * n,), (), (4 * n,))
    return compared(f"kernels of {n:,} elements: 2", device, plan, 0, None)


def host_time(device: Device, count: int, times: int = 50) -> float:
    """Return the microseconds until ``run`` returns, for ``count`` dispatches on an idle device."""
    replay = device.prepare(chain(device, count))
    given = [upload(device, np.ones(N, np.float32))]
    taken = []
    for _ in range(times):
        replay.run(given, [])
        device.synchronize()
        start = perf_counter()
        replay.run(given, [])
        taken.append(perf_counter() - start)
    device.synchronize()
    return statistics.median(taken) * 1e6


def main() -> None:
    """Print the table of calls, and the host's cost of a dispatch, from 100 kernels and a single kernel."""
    device = devices.open(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    rows = [
        chains(device, 1),
        chains(device, 100),
        in_place(device, 1),
        in_place(device, 20),
        in_place(device, 1, 100),
    ]
    report("replay", [*rows, large(device, 1 << 18)])
    first, hundred = host_time(device, 1), host_time(device, 100)
    print(
        f"\nUntil run returns: 1 kernel {first:.1f} µs, 100 kernels {hundred:.1f}: "
        f"{(hundred - first) / 99:.3f} a dispatch"
    )
    print(f"Device: {device.description}")


if __name__ == "__main__":
    main()
