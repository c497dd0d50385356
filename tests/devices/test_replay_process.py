"""Replays under Ctrl-C, in processes of their own: a run happens as a whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ADAPTER

ROOT = Path(__file__).parents[2]

PROGRAM = """
import random, signal, sys, time
import numpy
from tests.devices.plans import accumulate, at, chain, download, pointwise, upload
from tests.devices.test_cpu_replay import products
from weft import devices
from weft.plan import Dispatch, Loop, Plan

device = devices.open(sys.argv[1])
N, SIZE, STATES = 1 << 10, 4 << 10, 6
grow = accumulate(device.profile, N)
steps = [Dispatch(grow, (at("input", 0, SIZE), at("state", number, SIZE))) for number in range(STATES)]
steps += [Dispatch(pointwise(device.profile, "a * 2.0", N), (at("state", 0, SIZE), at("output", 0, SIZE)))]
arenas, inputs = (), (SIZE,)
if device.name == "cpu":  # and products
    extra = products(device, 16, 64)
    steps.insert(3, Dispatch(extra.steps[0].spec, (at("arena", 0, 1 << 18), at("arena", 1, 1 << 18),
                                                   at("arena", 2, 1 << 18)), extra.steps[0].parameters))
    arenas = (1 << 18,) * 3
plan = Plan(tuple(steps), arenas, inputs, (SIZE,) * STATES, (SIZE,), tuple(range(STATES)))
replay = device.prepare(plan)
ones = upload(device, numpy.ones(N, "float32"))
states = [upload(device, numpy.zeros(N, "float32")) for _ in range(STATES)]
replay.run([ones], states)
random.seed(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
hit = 0
for turn in range(150):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        for _ in range(200):  # Python swallows an interrupt that falls into a finaliser
            replay.run([ones], states)
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0)  # a signal that came last is handled here, not behind the try
    except KeyboardInterrupt:
        hit += 1
    found = numpy.stack([download(device, state) for state in states])
    assert (found == found[0, 0]).all(), (turn, found[:, 0])
(result,) = replay.run([ones], states)
assert (download(device, result) == 2 * download(device, states[0])).all()
print("interrupted", hit > 100)
"""


@pytest.mark.parametrize(
    "name", [pytest.param("cpu", marks=pytest.mark.cpu), pytest.param(ADAPTER, marks=pytest.mark.webgpu)]
)
def test_ctrl_c_leaves_all_states_of_one_run(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), name],
        capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted True"), done.stderr
