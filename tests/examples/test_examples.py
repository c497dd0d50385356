"""The gallery: a short run of each example reaches its figure and draws its pictures."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weft as wf
from tests.conftest import DEVICES

ROOT = Path(__file__).parents[2]
SERIAL = "ignore::UserWarning:joblib._multiprocessing_helpers"  # said where a container has no shared memory

FIGURES = {
    "sine": (r"mean squared error: (\d\.\d+)", 0.0, 0.03),
    "digits": (r"test accuracy: (\d\.\d+)", 0.93, 1.0),
    "char_gpt": (r"nats a test letter: (\d\.\d+)", 1.0, 3.4),
    "vae": (r"nats a test digit: (\d+\.\d+)", 15.0, 28.0),
    "nerf": (r"peak signal to noise of an unseen view: (\d+\.\d+) dB", 14.0, 50.0),
    "flow_matching": (r"share on dark squares: (\d\.\d+)", 0.6, 1.0),
    "cartpole": (r"moves that the pole stays up: (\d+\.\d) of 200", 100.0, 200.0),
    "kan": (r"root mean squared error: (\d\.\d+)", 0.0, 0.1),
}
"""The last line of each example, and the bounds of its figure after a short run."""

ON_WEBGPU = ("sine", "vae", "cartpole")
"""The examples that also run on the software driver, which compiles slowly."""

RUNS = [
    pytest.param(name, device, marks=getattr(pytest.mark, device), id=f"{name}-{device}")
    for name in FIGURES
    for device in DEVICES
    if device == "cpu" or name in ON_WEBGPU
]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": f"error,{SERIAL}"}
    command = [sys.executable, "-m", f"examples.{name}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.parametrize(("name", "on"), RUNS)
def test_short_run(name: str, on: str, tmp_path: Path) -> None:
    done = run(name, "--short", "--device", DEVICES[on], "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    line, low, high = FIGURES[name]
    last = re.fullmatch(line, done.stdout.splitlines()[-1])
    assert last is not None, done.stdout
    assert low < float(last[1]) <= high
    assert "training:" not in done.stderr  # a progress bar is for terminals
    pictures = list(tmp_path.glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 5_000


def test_every_example_is_run_and_told_of() -> None:
    """Every example is in the table above and in the README, and its docstring says how to run it."""
    folder = ROOT / "examples"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "common"}
    packages = {path.parent.name for path in folder.glob("*/__main__.py")}
    assert modules | packages == FIGURES.keys()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in FIGURES:
        assert f"examples/{name}" in readme
        if name in modules:
            assert f"python -m examples.{name}\n" in (
                importlib.import_module(f"examples.{name}").__doc__ or ""
            )


def test_steps_and_eager(tmp_path: Path) -> None:
    """Without the compiler the random numbers are the same, and the losses nearly."""
    runs = [
        run("sine", "--steps", "20", "--device", "cpu", "--output", str(tmp_path), *more)
        for more in ([], ["--eager"])
    ]
    assert [done.returncode for done in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    errors = [float(done.stdout.splitlines()[-1].split()[-1]) for done in runs]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-3)
    refused = run("sine", "--steps", "0")
    assert refused.returncode == 2
    assert "--steps is 0, expected at least 1" in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
def test_a_terminal_is_shown_a_progress_bar(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [
        sys.executable,
        "-m",
        "examples.sine",
        "--steps",
        "20",
        "--device",
        "cpu",
        "--output",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=writing, check=False)
    os.close(writing)
    shown = os.read(reading, 1 << 16).decode()
    os.close(reading)
    assert done.returncode == 0
    assert "training" in shown
    assert "20/20" in shown


def test_the_checkpoint_of_the_gpt(tmp_path: Path) -> None:
    """The file holds model, optimizer, schedule and random state; the example compares the losses after loading."""
    done = run("char_gpt", "--steps", "2", "--short", "--device", "cpu", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "the same losses to the last bit" in done.stdout
    tree = wf.load(tmp_path / "checkpoint.mt", device="cpu")
    assert set(tree["parts"]) == {"model", "optimizer", "schedule"}
    assert tree["step"] == tree["parts"]["schedule"]["last_epoch"] == 2
    assert float(tree["parts"]["optimizer"]["state"][0]["step"]) == 2
    assert len(tree["random"]["cpu"]) == 4
