"""A saved plan against tracing: seconds to the first result of a step, each in a separate process, in turns.

``python -m benchmarks.plans [--device cpu] [--turns 5]``. Both find the kernels of an earlier process in the cache of
compiled code. Tracing is timed with and without building the model and its optimizer, which a saved plan does not need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.programs import MAKERS

TRACED = """
import json, sys, time
start = time.perf_counter()
import weft as wf
from benchmarks.programs import MAKERS
wf.devices.open({device!r})
wf.set_default_device({device!r})
imported = time.perf_counter()
step, batch = MAKERS[{name!r}](wf, {device!r})
built = time.perf_counter()
compiled = wf.jit(step)
compiled(*batch).numpy()
end = time.perf_counter()
if {save!r}:
    compiled.plan(*batch).save({folder!r})
print(json.dumps({{"import": imported - start, "build and first call": end - imported, "first call": end - built}}))
"""
LOADED = """
import json, sys, time
start = time.perf_counter()
import weft as wf
from benchmarks.programs import MAKERS
wf.devices.open({device!r})
wf.set_default_device({device!r})
_, batch = MAKERS[{name!r}](wf, {device!r})
imported = time.perf_counter()
plan = wf.compiler.load_plan({folder!r})
loaded = time.perf_counter()
plan(*batch).numpy()
end = time.perf_counter()
print(json.dumps({{"load": loaded - imported, "load and first call": end - imported}}))
"""


def run(code: str, **options: object) -> dict[str, float]:
    """Return the timings that a process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code.format(**options)], capture_output=True, text=True, check=True
    )
    timings: dict[str, float] = json.loads(done.stdout)
    return timings


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    for name in [maker for maker in MAKERS if maker.endswith("step")]:
        with tempfile.TemporaryDirectory() as folder:
            options = {"name": name, "device": given.device, "folder": f"{folder}/plan"}
            run(TRACED, save=True, **options)
            turns = [run(TRACED, save=False, **options) | run(LOADED, **options) for _ in range(given.turns)]
            size = Path(folder, "plan", "plan.json").stat().st_size
        medians = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        ratio = statistics.median(turn["load and first call"] / turn["first call"] for turn in turns)
        times = ", ".join(f"{key} {1e3 * value:.0f} ms" for key, value in medians.items())
        print(f"{name}: {times}; loaded / traced {ratio:.2f}; plan.json {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
