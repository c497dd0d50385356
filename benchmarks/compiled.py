"""Compiled steps: ``weft.jit`` against PyTorch eager and compiled, JAX's ``jit`` and tinygrad's JIT, in one run.

``python -m benchmarks.compiled [--device cpu] [--only MLP,GPT,first] [--turns 9]``. JAX and tinygrad are peers if they
can be imported. PyTorch's time is the best of one and two threads and of Adam's forms (default, ``foreach``,
``fused``). On another device than ``cpu`` the peer is tinygrad's WebGPU backend, if its library is found, and only the
MLP is measured. First calls are timed in separate processes: one without a cache of compiled kernels, and one with it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from os import environ
from typing import Any

import torch

import weft as wf
from benchmarks.harness import Candidate, Row, measure, report, torch_candidates
from benchmarks.pointwise import copy_bandwidth
from benchmarks.programs import MAKERS

ADAM: dict[str, dict[str, bool]] = {"": {}, " foreach": {"foreach": True}, " fused": {"fused": True}}
FIRST = """
import time, sys
import weft as wf
from benchmarks.programs import MAKERS
wf.devices.open({device!r})
wf.set_default_device({device!r})
step, batch = MAKERS[{name!r}](wf, {device!r})
start = time.perf_counter()
compiled = wf.jit(step)
compiled(*batch).numpy()
print(time.perf_counter() - start)
"""
CHAIN = "6 pointwise ops, 4 Mi"


def ours(name: str, device: str) -> Callable[[], Any]:
    """Return the compiled step; a call of it waits for the device."""
    wf.set_default_device(device)
    step, batch = MAKERS[name](wf, device)
    compiled, opened = wf.jit(step), wf.devices.open(device)

    def run() -> None:
        compiled(*batch)
        opened.synchronize()

    return run


def torch_peers(name: str) -> list[Candidate]:
    """Return PyTorch's forms of a step, each with one thread and with two."""
    candidates: list[Candidate] = []
    forms = {"": {}} if name == CHAIN else ADAM
    for label, options in forms.items():
        step, batch = MAKERS[name](torch, **options)
        candidates += torch_candidates(lambda step=step, batch=batch: step(*batch), f"torch{label}")
    step, batch = MAKERS[name](torch)
    compiled = torch.compile(step)
    candidates += torch_candidates(lambda: compiled(*batch), "torch.compile")
    return [candidate for candidate in candidates if _works(candidate)]


def _works(candidate: Candidate) -> bool:
    try:
        with candidate.setting():
            candidate.run()
    except Exception as error:
        print(
            f"{candidate.name}: {type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr
        )
        return False
    return True


def other_peers(name: str) -> list[Candidate]:
    """Return the candidates of JAX and tinygrad, if they are installed and have this program."""
    candidates = []
    for library in ("jax", "tinygrad"):
        try:
            makers = import_module(f"benchmarks.compiled_{library}").MAKERS
        except ImportError as error:
            print(f"{library}: {error}", file=sys.stderr)
            continue
        if name not in makers:
            continue
        try:
            candidate = Candidate(library, makers[name]())
        except Exception as error:  # the library finds no compiler on this machine
            print(f"{library}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        candidates += [candidate] if _works(candidate) else []
    return candidates


def tinygrad_webgpu() -> list[Candidate]:
    """Return tinygrad's step on its WebGPU backend."""
    try:
        from benchmarks.compiled_tinygrad import mlp

        candidate = Candidate("tinygrad WebGPU", mlp("WEBGPU"))
    except Exception as error:
        print(f"tinygrad WebGPU: {type(error).__name__}: {error}", file=sys.stderr)
        return []
    return [candidate] if _works(candidate) else []


def steps(device: str, wanted: list[str], turns: int) -> list[Row]:
    """Return the rows of running steps."""
    rows = []
    for name in MAKERS:
        if not any(word in name for word in wanted) or device != "cpu" and name != "MLP step":
            continue
        peers = [*torch_peers(name), *other_peers(name)] if device == "cpu" else tinygrad_webgpu()
        moved = 8 << 22 if name == CHAIN else 0
        row = measure(f"{name}, {device}", ours(name, device), peers, turns, moved)
        details(row)
        rows.append(row)
    return rows


def details(row: Row) -> None:
    """Print the medians of all peers; the table shows the best."""
    from statistics import median

    times = {"weft": row.ours, **row.peers}
    text = ", ".join(f"{name} {median(each) * 1e6:,.0f}" for name, each in times.items())
    print(f"{row.name}: µs {text}", file=sys.stderr)


def first_calls(device: str, wanted: list[str]) -> None:
    """Print the seconds until the loss of the first step, without imports and opening the device."""
    print(f"\n| first call on {device}, s | fresh | a second process |\n| --- | --- | --- |")
    for name in MAKERS:
        if not any(word in name for word in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            settings = {**environ, "WEFT_CACHE_DIR": folder}
            program = [sys.executable, "-c", FIRST.format(device=device, name=name)]
            medians = [
                float(
                    subprocess.run(program, env=settings, check=True, capture_output=True, text=True).stdout
                )
                for _ in range(2)
            ]
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} |", flush=True)


def main() -> None:
    """Print the table of steps, then the table of first calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="MLP,CNN,GPT,pointwise,first", help="words of the rows' names")
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    wanted = given.only.split(",")
    rows = steps(given.device, wanted, given.turns)
    if rows:
        chained = given.device == "cpu" and any(row.bytes_moved for row in rows)
        report("compiled", rows, copy_bandwidth(given.turns) if chained else 0.0)
    if "first" in wanted:
        rest = [word for word in wanted if word != "first"]
        first_calls(given.device, rest or ["MLP", "GPT"])


if __name__ == "__main__":
    main()
