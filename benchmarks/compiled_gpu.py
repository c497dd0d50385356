"""Compiled steps on a GPU, and the cost of a dispatch of a replay, against PyTorch, eager and as a CUDA graph.

``python -m benchmarks.compiled_gpu [--device webgpu] [--only MLP,replay,matmul,GPT] [--quick]``. Needs weft, NumPy and
PyTorch, nothing else. Every time is the median of batches of calls, each ended by a synchronisation. TF32 is off.
Without CUDA the peers' columns are empty; ``--quick`` takes small sizes, to show that the script runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.programs import SMALL, Sizes, Step, gpt, mlp
from weft.devices import Device
from weft.graph.pipeline import compile_graph

CUDA = torch.cuda.is_available()
Call = Callable[[], Any]
BATCHES = 7


def median(call: Call, finish: Call, seconds: float) -> float:
    """Return the seconds of a call after a warm-up: the median of batches that take about ``seconds`` each."""
    for _ in range(3):
        call()
    finish()
    start = time.perf_counter()
    call()
    finish()
    count = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    times = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times)


def graphed(step: Step, batch: tuple[Any, ...]) -> Call:
    """Return a step as a CUDA graph; its optimizer is ``capturable``."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(*batch)
    return graph.replay


def compared(
    name: str, device: Device, make: Callable[..., tuple[Step, tuple[Any, ...]]], seconds: float
) -> None:
    """Print a line: a compiled training step, and PyTorch's forms of it."""
    step, batch = make(wf, device.name)
    compiled = wf.jit(step)
    start = time.perf_counter()
    loss = compiled(*batch).item()
    first = time.perf_counter() - start
    ours = median(lambda: compiled(*batch), device.synchronize, seconds)
    trained = compiled(*batch).item()
    if not trained < loss:
        raise AssertionError(f"{name}: the loss went from {loss} to {trained}, expected less on one batch")
    with wf.profiler.profile() as profiled:
        compiled(*batch)
    dispatches = len(profiled.events)
    peers = {}
    if CUDA:
        for label, options in (("eager", {}), ("eager, fused Adam", {"fused": True})):
            theirs, given = make(torch, "cuda", **options)
            peers[label] = median(lambda s=theirs, g=given: s(*g), torch.cuda.synchronize, seconds)
        theirs, given = make(torch, "cuda", capturable=True)
        peers["CUDA graph"] = median(graphed(theirs, given), torch.cuda.synchronize, seconds)
    line(name, ours, peers, f"first call {first:.2f} s, {dispatches} dispatches")


def line(name: str, ours: float, peers: dict[str, float], remark: str) -> None:
    """Print a row: weft's time in µs, and each peer's time with the ratio of weft's time to it."""
    text = ", ".join(f"{label} {each * 1e6:,.1f} ({ours / each:.2f})" for label, each in peers.items())
    print(f"| {name} | {ours * 1e6:,.1f} | {text} | {remark} |", flush=True)


def replay(device: Device, seconds: float, counts: tuple[int, ...] = (1, 100, 500)) -> None:
    """Print the cost of an additional small kernel in chains of dependent kernels, which are not fused."""
    times = {}
    for count in counts:
        step = wf.jit(lambda x, count=count: rolled(x, count))
        x = wf.ones(64, 64, device=device.name)
        plan = compile_graph(wf.compiler.trace(lambda x, n=count: rolled(x, n), x).graph, device.profile)
        dispatches = sum(1 for _ in plan.dispatches())
        times[dispatches] = median(lambda s=step, x=x: s(x), device.synchronize, seconds)
        host = hosted(lambda s=step, x=x: s(x), device)
        peers = {}
        if CUDA:
            y = torch.ones(64, 64, device="cuda")
            peers["eager"] = median(lambda y=y, n=count: rolled(y, n), torch.cuda.synchronize, seconds)
            peers["CUDA graph"] = median(
                graphed(lambda y, n=count: rolled(y, n), (y,)), torch.cuda.synchronize, seconds
            )
        line(f"replay of {dispatches} small products", times[dispatches], peers, f"host {host * 1e6:,.1f} µs")
    (few, short), *_, (many, long) = sorted(times.items())
    print(f"\nOne more dispatch: {(long - short) / (many - few) * 1e6:.2f} µs\n", flush=True)


def rolled(x: Any, count: int) -> Any:
    """Return a chain of products."""
    for _ in range(count):
        x = x @ x
    return x


def hosted(call: Call, device: Device) -> float:
    """Return the seconds until a call returns, on an idle device."""
    times = []
    for _ in range(30):
        device.synchronize()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    device.synchronize()
    return statistics.median(times)


def matmul(device: Device, seconds: float, size: int) -> None:
    """Print a square product in float32, checked against float64 on some rows."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    x, y = (wf.tensor(array, device=device.name) for array in (a, b))
    compiled = wf.jit(lambda x, y: x @ y)
    rows = rng.integers(0, size, 8)
    want = a[rows].astype(np.float64) @ b.astype(np.float64)
    error = float(np.abs(compiled(x, y).numpy()[rows] - want).max() / np.abs(want).max())
    if not error < 2e-5:
        raise AssertionError(f"matmul: off by {error:.1e} of the largest value, expected at most 2e-5")
    ours, peers = median(lambda: compiled(x, y), device.synchronize, seconds), {}
    if CUDA:
        p, q = (torch.from_numpy(array).cuda() for array in (a, b))
        peers["eager"] = median(lambda: p @ q, torch.cuda.synchronize, seconds)
    rates = [f"{2 * size**3 / each / 1e12:.2f}" for each in (ours, *peers.values())]
    line(f"matmul, {size}³", ours, peers, f"{' and '.join(rates)} TFLOP/s, error {error:.1e}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="webgpu")
    parser.add_argument("--only", default="MLP,replay,matmul,GPT")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the script runs")
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    wf.set_default_device(given.device)
    device = wf.devices.open(given.device)
    peer = f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}" if CUDA else "no CUDA"
    print(f"{time.strftime('%Y-%m-%d')}; {device.description}; peer: {peer}\n")
    print("| what | weft, µs | peers, µs (ours of theirs) | |\n| --- | --- | --- | --- |", flush=True)
    seconds, sizes = (0.02, Sizes(2, 32, 4, 16, 4, 50)) if given.quick else (0.2, SMALL)
    wanted = given.only.split(",")
    if "MLP" in wanted:
        compared("MLP step", device, mlp, seconds)
    if "matmul" in wanted:
        matmul(device, seconds, 128 if given.quick else 4096)
    if "GPT" in wanted:
        name = f"GPT step, {sizes.layers} layers of {sizes.width}, {sizes.batch} x {sizes.tokens} tokens"
        compared(name, device, lambda *a, **o: gpt(*a, sizes=sizes, **o), seconds)
    if "replay" in wanted:
        replay(device, seconds, (1, 20) if given.quick else (1, 100, 500))


if __name__ == "__main__":
    main()
