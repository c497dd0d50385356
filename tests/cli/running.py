"""Runs the ``weft`` command in this process, or in a new one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from weft.cli import main

SOURCE = str(Path(__file__).parents[2] / "src")


class Done(NamedTuple):
    """Exit status and output of a run."""

    status: int
    out: str
    err: str


def weft(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Run ``main`` in this process."""
    capsys.readouterr()
    status = main([str(word) for word in words])
    printed = capsys.readouterr()
    return Done(status, printed.out, printed.err)


def process(*words: object, code: str = "", folder: Path | None = None) -> Done:
    """Run ``python -m weft.cli``, or ``code``, with the words as arguments."""
    start = ["-c", code] if code else ["-m", "weft.cli"]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, *start, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        cwd=folder,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
