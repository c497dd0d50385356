"""Compiled steps: ``weft.jit`` against PyTorch eager and compiled, JAX's ``jit`` and tinygrad's JIT, in one run.

``python -m benchmarks.compiled [--device cpu] [--only MLP,GPT,first] [--turns 9]``. JAX and tinygrad are peers where
they can be imported. PyTorch counts with its best of one thread and two, and of Adam's forms (default, ``foreach``,
``fused``). On another device than ``cpu`` the peer is tinygrad's WebGPU backend, where its library is found, and the
rows are the MLP's. First calls are timed in processes of their own: one without a cache of compiled kernels, and one
after it.
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
    """The compiled step; a call of it waits for the device."""
    wf.set_default_device(device)
    step, batch = MAKERS[name](wf, device)
    compiled, opened = wf.jit(step), wf.devices.open(device)

    def run() -> None:
        compiled(*batch)
        opened.synchronize()

    return run


def torch_peers(name: str) -> list[Candidate]:
    """PyTorch's forms, each with one thread and with two."""
    found: list[Candidate] = []
    forms = {"": {}} if name == CHAIN else ADAM
    for label, options in forms.items():
        step, batch = MAKERS[name](torch, **options)
        found += torch_candidates(lambda step=step, batch=batch: step(*batch), f"torch{label}")
    step, batch = MAKERS[name](torch)
    compiled = torch.compile(step)
    found += torch_candidates(lambda: compiled(*batch), "torch.compile")
    return [value for value in found if _works(value)]


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
    """JAX and tinygrad, where they are installed and have this program."""
    found = []
    for library in ("jax", "tinygrad"):
        try:
            makers = import_module(f"benchmarks.compiled_{library}").MAKERS
        except ImportError as error:
            print(f"{library}: {error}", file=sys.stderr)
            continue
        if name not in makers:
            continue
        try:
            one = Candidate(library, makers[name]())
        except Exception as error:  # it has no compiler here
            print(f"{library}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        found += [one] if _works(one) else []
    return found


def tinygrad_webgpu() -> list[Candidate]:
    """tinygrad's step on its WebGPU backend."""
    try:
        from benchmarks.compiled_tinygrad import mlp

        one = Candidate("tinygrad WebGPU", mlp("WEBGPU"))
    except Exception as error:
        print(f"tinygrad WebGPU: {type(error).__name__}: {error}", file=sys.stderr)
        return []
    return [one] if _works(one) else []


def steps(device: str, wanted: list[str], turns: int) -> list[Row]:
    """The rows of running steps."""
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
    """All peers' medians, of which the table has the best."""
    from statistics import median

    times = {"weft": row.ours, **row.peers}
    text = ", ".join(f"{name} {median(each) * 1e6:,.0f}" for name, each in times.items())
    print(f"{row.name}: µs {text}", file=sys.stderr)


def first_calls(device: str, wanted: list[str]) -> None:
    """Seconds until the first step's loss is there, imports and opening the device apart."""
    print(f"\n| first call on {device}, s | fresh | a second process |\n| --- | --- | --- |")
    for name in MAKERS:
        if not any(word in name for word in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            settings = {**environ, "WEFT_CACHE_DIR": folder}
            program = [sys.executable, "-c", FIRST.format(device=device, name=name)]
            found = [
                float(
                    subprocess.run(program, env=settings, check=True, capture_output=True, text=True).stdout
                )
                for _ in range(2)
            ]
        print(f"| {name} | {found[0]:.2f} | {found[1]:.2f} |", flush=True)


def main() -> None:
    """The table of steps, then that of first calls."""
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
