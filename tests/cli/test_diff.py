"""``weft diff``: names, types, shapes and values of two files, in either format; the exit status of ``diff``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import weft as wf
from tests.cli.running import Done, process, weft
from weft import metatensor as mt
from weft.cli.figures import differing

Capture = pytest.CaptureFixture[str]


def test_what_was_added_removed_and_changed(tmp_path: Path, capsys: Capture) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.mt"
    safetensors.numpy.save_file(
        {"x.w": np.ones((2, 3), "f4"), "x.b": np.ones(2, "f4"), "gone": np.ones(1)}, a
    )
    mt.save(b, {"x.w": np.ones((2, 4), "f4"), "x.b": np.ones(2, "f2"), "new": 3})
    done = weft(capsys, "diff", a, b)
    assert done.status == 1
    assert sorted(done.out.splitlines()) == [
        "+ new: Int64",
        "- gone: Tensor(dtype=F64, shape=[1])",
        "~ x.b: Tensor(dtype=F32, shape=[2]) → Tensor(dtype=F16, shape=[2])",
        "~ x.w: Tensor(dtype=F32, shape=[2, 3]) → Tensor(dtype=F32, shape=[2, 4])",
    ]
    assert weft(capsys, "diff", a, a, "--values") == Done(0, "", "")


def test_values(tmp_path: Path, capsys: Capture) -> None:
    a, b = tmp_path / "a.mt", tmp_path / "b.mt"
    old = np.arange(10, dtype="f4")
    old[3] = np.nan
    new = old.copy()
    new[[1, 9]] += [0.5, -2]
    rows = [{"id": n, "text": str(n), "score": 0.5 * n} for n in range(3)]
    mt.save(a, {"same": old, "w": old, "cast": old, "epoch": 3, "train": rows, "words": ["a", "b"], "nan": math.nan,
                "more": [1, 2]})  # fmt: skip
    rows[1] = {"id": 4, "text": "x", "score": 0.5}
    mt.save(b, {"same": old, "w": new, "cast": new.astype("f2"), "epoch": 4, "train": rows, "words": ["a", "c"],
                "nan": math.nan, "more": [1, 2, 3]})  # fmt: skip
    assert weft(capsys, "diff", a, b).out.splitlines() == [
        "~ cast: Tensor(dtype=F32, shape=[10]) → Tensor(dtype=F16, shape=[10])"
    ]
    done = weft(capsys, "diff", a, b, "--values")
    assert done.status == 1
    assert done.out.splitlines()[1:] == [
        "! w: 2 of 10 elements differ, by 2 at most",
        "! cast: 2 of 10 elements differ, by 2 at most",
        "! epoch: 3 → 4",
        "! train.id: 1 of 3 elements differ, by 3 at most",
        "! train.text: 1 of 3 values differ",
        "! words: 1 of 2 values differ",
        "! more: 2 values → 3",
    ]


def test_a_field_of_a_dataset_and_its_length(tmp_path: Path, capsys: Capture) -> None:
    a, b, c = (tmp_path / f"{name}.mt" for name in "abc")
    mt.save(a, {"train": [{"x": 1}, {"x": 2}]})
    mt.save(b, {"train": [{"x": 1, "y": 0.5}]})
    mt.save(c, {"train": [{"x": 1}]})
    assert "+ train.items.y: Float64" in weft(capsys, "diff", a, b).out
    assert weft(capsys, "diff", a, c) == Done(0, "", "")
    assert weft(capsys, "diff", a, c, "--values") == Done(1, "! train: 2 rows → 1\n", "")


def test_trees_with_nones_and_shared_tensors(tmp_path: Path, capsys: Capture) -> None:
    a, b, c = (tmp_path / f"{name}.mt" for name in "abc")
    w = wf.ones(2, device="cpu")
    wf.save({"w": w, "tied": w, "best": None, "last": 2, "only": None}, a)
    wf.save({"w": w, "tied": w + 1, "best": 0.5, "last": None}, b)
    wf.save({"w": w, "tied": w + 0, "best": None, "last": 2, "only": None}, c, max_shard_size=8)
    done = weft(capsys, "diff", a, b, "--values")
    assert sorted(done.out.splitlines()) == [
        "! tied: 2 of 2 elements differ, by 1 at most",
        "- only: None",
        "~ best: None → Float64",
        "~ last: Int64 → None",
    ]
    assert weft(capsys, "diff", a, c, "--values") == Done(0, "", "")


DIFFERING: list[tuple[Any, Any, int, float]] = [
    (np.array([1, 2, 3], "u1"), np.array([1, 250, 3], "u1"), 1, 248),
    (np.array([2**63 - 1, -(2**63)]), np.array([2**63 - 2, 2**63 - 1]), 2, float(2**64 - 1)),
    (np.array([0.0, np.inf]), np.array([-0.0, np.inf]), 0, 0),
    (np.array([np.inf, 1]), np.array([-np.inf, 1]), 1, math.inf),
    (np.array([np.nan, 1]), np.array([1, np.nan]), 2, math.nan),
    (np.array([np.nan, 1]), np.array([1, 3]), 2, 2),
    (np.array([True, False]), np.array([True, True]), 1, 1),
    (np.array([1 + 1j, 2]), np.array([1 + 1j, 2 + 3j]), 1, 3),
    (np.array([1, 2], ml_dtypes.float8_e4m3fn), np.array([1, 2.5], "f4"), 1, 0.5),
    (np.array([1, 2**53 + 1]), np.array([1.0, 2.0**53]), 0, 0),
    (np.zeros((0, 3)), np.zeros((0, 3)), 0, 0),
]


@pytest.mark.parametrize("case", range(len(DIFFERING)))
def test_how_many_differ_and_by_how_much(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, count, largest = DIFFERING[case]
    for piece in (1 << 20, 1):
        monkeypatch.setattr("weft.cli.figures.PIECE", piece)
        differences = differing(old, new)
        assert differences[0] == count
        assert differences[1] == largest or math.isnan(differences[1]) and math.isnan(largest)


def test_as_a_process(tmp_path: Path) -> None:
    a, b = tmp_path / "a.mt", tmp_path / "b.mt"
    mt.save(a, {"w": np.ones(3, "f4")})
    mt.save(b, {"w": np.zeros(3, "f4")})
    assert process("diff", a, b) == Done(0, "", "")
    assert process("diff", a, b, "--values") == Done(1, "! w: 3 of 3 elements differ, by 1 at most\n", "")
    assert process("diff", a, tmp_path / "none").status == 2
    assert process("diff", a).status == 2
    (tmp_path / "bad.mt").write_bytes(b"no")
    done = process("diff", tmp_path / "bad.mt", a)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
