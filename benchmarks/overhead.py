"""Overhead of small operations on ``cpu`` and ``webgpu`` against NumPy and PyTorch, and the time of ``import weft``.

``python -m benchmarks.overhead [DEVICE]``: ``cpu``, ``webgpu`` or ``webgpu:software``.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Row, measure, report


def import_seconds(times: int = 7) -> Row:
    """Return the time of a new interpreter that imports weft, minus that of an interpreter that imports nothing."""
    row = Row("import weft")
    for _ in range(times):
        taken = []
        for source in ("pass", "import weft"):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", source], check=True)
            taken.append(time.perf_counter() - start)
        row.ours.append(taken[1] - taken[0])
    return row


def main() -> None:
    """Measure operations on 16 elements, where the overhead dominates; a turn on a GPU ends by a synchronisation."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    a, b = wf.ones(16, device=device), wf.ones(16, device=device)
    m = wf.ones(4, 4, device=device)
    leaf = wf.ones(16, device=device, requires_grad=True)
    ta, tb, tm, tleaf = torch.ones(16), torch.ones(16), torch.ones(4, 4), torch.ones(16, requires_grad=True)
    na, nb, nm = np.ones(16, np.float32), np.ones(16, np.float32), np.ones((4, 4), np.float32)
    rows = [
        measure("add", lambda: wf.add(a, b), {"numpy": lambda: np.add(na, nb), "torch": lambda: torch.add(ta, tb)}),
        measure("a * 2", lambda: a * 2.0, {"numpy": lambda: na * 2.0, "torch": lambda: ta * 2.0}),
        measure("add_", lambda: a.add_(b), {"torch": lambda: ta.add_(tb)}),
        measure("add, recorded", lambda: leaf + b, {"torch": lambda: tleaf + tb}),
        measure("sum", lambda: a.sum(), {"numpy": lambda: na.sum(), "torch": lambda: ta.sum()}),
        measure("reshape", lambda: a.reshape(4, 4),
                {"numpy": lambda: na.reshape(4, 4), "torch": lambda: ta.reshape(4, 4)}),
        measure("m.T", lambda: m.T, {"numpy": lambda: nm.T, "torch": lambda: tm.T}),
        measure("m[1]", lambda: m[1], {"numpy": lambda: nm[1], "torch": lambda: tm[1]}),
    ]  # fmt: skip
    wf.synchronize(device)
    report("overhead", [*rows, import_seconds()])
    print(f"\nDevice: {wf.devices.open(device).description}")


if __name__ == "__main__":
    main()
