"""Saving a plan is atomic, wherever it is interrupted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import weft as wf
from weft.compiler import load_plan
from weft.compiler.plans import directory
from weft.errors import ArgumentError, ArgumentTypeError

CALLS = ("open", "write", "fsync", "close", "mkdir", "rename", "replace")
"""The system calls by which a save changes what is on disk."""


@pytest.fixture
def plan():
    w = wf.zeros(3, device="cpu")
    return wf.jit(lambda x: x + w.add_(1)).plan(wf.ones(3, device="cpu"))


def _held(path: Path) -> float:
    return load_plan(path).state_dict()["w"].tolist()[0]


def _interrupting(monkeypatch, number: int) -> list[str]:
    """Make one system call fail, by its number among all calls; return the list of calls that were made."""
    made: list[str] = []

    def wrapped(name, own):
        def call(*args, **kwargs):
            made.append(name)
            if len(made) == number:
                raise OSError(28, "No space left on device")
            return own(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))
    return made


@pytest.mark.parametrize("before", [False, True])
def test_a_failure_of_any_system_call_keeps_the_earlier_plan(plan, tmp_path, before) -> None:
    x = wf.ones(3, device="cpu")
    number, done = 0, False
    while not done:
        number += 1
        path = tmp_path / str(number) / "plan"
        path.parent.mkdir()
        if before:
            plan.save(path)
        held = plan.state_dict()["w"].tolist()[0]
        plan(x)
        with pytest.MonkeyPatch.context() as patch:
            made = _interrupting(patch, number)
            try:
                plan.save(path)
                done = len(made) < number
            except OSError:
                pass
        left = sorted(value.name for value in path.parent.iterdir())
        if done:
            assert left == ["plan"] and _held(path) == held + 1
        elif path.exists():
            assert _held(path) in (held, held + 1) and (before or _held(path) == held + 1)
            assert [value for value in left if value.endswith(".tmp")] == []
        else:
            assert not before and left == []
    assert number > 12


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import weft as wf
w = wf.zeros(3, device="cpu")
plan = wf.jit(lambda x: x + w.add_(1)).plan(wf.ones(3, device="cpu"))
if sys.argv[4] == "before":
    plan.save(sys.argv[2])
plan(wf.ones(3, device="cpu"))
left = int(sys.argv[3])
def wrapped(own):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return own(*args, **kwargs)
    return call
for name in ("open", "write", "fsync", "close", "mkdir", "rename", "replace"):
    setattr(os, name, wrapped(getattr(os, name)))
plan.save(sys.argv[2])
"""


@pytest.mark.parametrize(("number", "before"), [(3, "none"), (11, "before"), (12, "before")])
def test_a_process_that_is_killed_leaves_a_whole_plan(tmp_path, number, before) -> None:
    path = tmp_path / "plan"
    source = str(Path(wf.__file__).parents[1])
    command = [sys.executable, "-c", KILLED, source, str(path), str(number), before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 9, done.stderr
    if before == "none":
        assert not path.exists()
    else:
        assert _held(path) in (0.0, 1.0)
    w = wf.full((3,), 5.0, device="cpu")
    wf.jit(lambda x: x + w).plan(wf.ones(3, device="cpu")).save(
        path
    )  # what is left behind is in nobody's way
    assert _held(path) == 5.0 and not (tmp_path / ".plan.previous").exists()


def test_between_the_renames_the_older_plan_is_found(plan, tmp_path, caplog) -> None:
    plan.save(tmp_path / "plan")
    os.rename(tmp_path / "plan", tmp_path / ".plan.previous")
    assert _held(tmp_path / "plan") == 0.0
    assert "a save to" in caplog.text and "was interrupted" in caplog.text


def test_nothing_but_a_plan_is_taken_away(plan, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(
        ArgumentError, match=r"save: directory is '.*mine', which holds 'thesis\.txt', expected a new"
    ):
        plan.save(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="save: directory is the file"):
        plan.save(tmp_path / "file")
    with pytest.raises(ArgumentTypeError, match="save: directory is a int"):
        plan.save(3)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_directories_are_made_and_links_stay_links(plan, tmp_path) -> None:
    plan.save(tmp_path / "deep" / "er" / "plan")
    os.symlink(tmp_path / "deep" / "er" / "plan", tmp_path / "link")
    plan(wf.ones(3, device="cpu"))
    plan.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and _held(tmp_path / "deep" / "er" / "plan") == 1.0
    shutil.rmtree(tmp_path / "deep")


def test_an_empty_directory_is_filled(plan, tmp_path) -> None:
    (tmp_path / "plan").mkdir()
    plan.save(tmp_path / "plan")
    assert directory.find("load_plan", tmp_path / "plan") == (tmp_path / "plan").resolve()
