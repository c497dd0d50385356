"""Twenty thousand nearly valid files: each is refused or read, within limits of time and memory, over most branches.

The cases run in separate processes (see ``fuzz.py``) with limited memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASES = {"measured": 6_000, "free": 14_000}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_fuzz() -> None:
    commands = {
        "measured": ["-m", "tests.metatensor.fuzz", str(CASES["measured"]), "1", "--coverage"],
        "free": ["-m", "tests.metatensor.fuzz", str(CASES["free"]), "2"],
    }
    running = {
        name: subprocess.Popen(
            [sys.executable, "-W", "error", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for name, command in commands.items()
    }
    results: dict[str, dict[str, Any]] = {}
    for name, process in running.items():
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, name
        results[name] = json.loads(output)
    for name, result in results.items():
        assert result["failed"] == 0, result["failures"]
        assert result["read"] + result["refused"] == CASES[name]
        assert result["read"] > CASES[name] // 20, "nearly all were refused: the mutations are too coarse"
        assert result["slowest"] < 2.0
    measured = results["measured"]
    assert measured["covered"] >= 0.95 * measured["branches"], measured["missing"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_the_limit_of_memory_holds() -> None:
    """The fuzzer relies on this: an allocation above the limit is a ``MemoryError``."""
    program = """
from tests.metatensor.fuzz import limit_memory, MOST_BYTES
import numpy
limit_memory(1000)
numpy.empty(MOST_BYTES // 2, numpy.uint8)
try:
    numpy.empty(2 * MOST_BYTES, numpy.uint8)
except MemoryError:
    print("held")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "held", done.stderr
