"""The demo, run as a newcomer runs it: on each device it learns, saves, reloads and draws."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import DEVICES

ROOT = Path(__file__).parents[2]
SERIAL = "ignore::UserWarning:joblib._multiprocessing_helpers"  # said where a container has no shared memory
SECONDS = {"cpu": 60, "webgpu": 600}


@pytest.mark.parametrize("name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in DEVICES])
def test_demo(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.digits", "--device", DEVICES[name], "--output", str(tmp_path)]
    environment = {**os.environ, "PYTHONWARNINGS": f"error,{SERIAL}"}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    seconds = time.perf_counter() - started

    assert done.returncode == 0, done.stderr
    last = re.fullmatch(r"test accuracy: (0\.\d{4}|1\.0000)", done.stdout.splitlines()[-1])
    assert last is not None, done.stdout
    assert float(last[1]) >= 0.98
    assert "training:" not in done.stderr  # a progress bar is for terminals
    assert seconds < SECONDS[name]
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "curves.png", "digits.png"}
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert 5_000 < picture.stat().st_size < 150_000


def test_demo_lists_its_options() -> None:
    command = [sys.executable, "-m", "examples.digits", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(
        option in done.stdout
        for option in ("--device", "--epochs", "--short", "--eager", "--seed", "--output")
    )
