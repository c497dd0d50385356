"""``weft inspect``: trees and statistics of files of weft and of the safetensors library, and of malicious files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import weft as wf
from tests.cli.running import process, weft
from tests.metatensor.hostile import built, header
from weft import metatensor as mt
from weft.cli import figures
from weft.errors import FormatError

Capture = pytest.CaptureFixture[str]


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_state_dict_of_the_safetensors_library(tmp_path: Path, capsys: Capture) -> None:
    tensors = {
        "layers.0.weight": np.arange(6, dtype="f4").reshape(2, 3),
        "layers.0.bias": np.zeros(2, "i8"),
        "norm": np.ones((), ml_dtypes.bfloat16),
    }
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(tensors, path, {"author": "someone"})
    done = weft(capsys, "inspect", path)
    assert (done.status, done.err) == (0, "")
    rows = table(done.out)
    assert (
        rows[0][1:]
        == f"safetensors, {path.stat().st_size} bytes; 3 parts, 3 of them tensors with 9 elements".split()
    )
    assert ["layers"] in rows
    assert ["weight", "F32", "[2,", "3]", "24"] in rows
    assert ["bias", "I64", "[2]", "16"] in rows
    assert ["norm", "BF16", "[]", "2"] in rows
    assert rows[-1] == ["metadata:", "author"]
    assert json.loads(weft(capsys, "inspect", path, "--metadata").out) == {"author": "someone"}
    schema = json.loads(weft(capsys, "inspect", path, "--schema").out)
    assert schema["properties"]["norm"] == {"TypeDef:Tensor": {"dtype": "BF16", "shape": []}}


def test_a_tree_its_values_and_what_it_shares(tmp_path: Path, capsys: Capture) -> None:
    weight = wf.ones(2, 2, device="cpu")
    path = tmp_path / "run.mt"
    wf.save(
        {"a": {"w": weight, "tied": weight}, "name": "x\x1b[31m\n", "none": None, "n": [1, 2.5, True]},
        path,
        metadata={"deep": {"er": [1]}},
    )
    done = weft(capsys, "inspect", path)
    lines = [line.strip() for line in done.out.splitlines()]
    assert any(line.startswith("w ") and "F32 [2, 2]" in line for line in lines)
    assert any(line.startswith("tied ") and line.endswith("same as a.w") for line in lines)
    assert any(line.startswith("none ") and line.endswith("None") for line in lines)
    assert any("String = 'x\\x1b[31m\\n'" in line for line in lines)
    assert any("Float64 = 2.5" in line for line in lines)
    assert lines[-1] == "metadata: deep"  # and not weft's own notes
    assert json.loads(weft(capsys, "inspect", path, "--metadata").out) == {"deep": {"er": [1]}}


def test_shards_are_one_tree(tmp_path: Path, capsys: Capture) -> None:
    state = {f"layer{at}.weight": wf.full((100,), float(at), device="cpu") for at in range(4)}
    for name in ("model.safetensors", "model.mt"):
        wf.save(state, tmp_path / name, max_shard_size=800)
        for given_name in (name, f"{name}.index.json"):
            done = weft(capsys, "inspect", tmp_path / given_name, "--stats")
            assert done.status == 0, done.err
            assert "in 2 shards" in done.out
            assert ["weight", "F32", "[100]", "400", "3", "3", "3", "0", "0"] in table(done.out)
        done = weft(capsys, "inspect", tmp_path / name, "--schema")
        found = mt.compile(json.loads(done.out)).sections
        assert sorted(found) == sorted(state)


def test_datasets_show_their_rows_fields_and_figures(tmp_path: Path, capsys: Capture) -> None:
    rows = [{"id": n, "text": "é" * n, "score": float(n)} for n in range(4)]
    path = tmp_path / "data.mt"
    mt.save(path, {"train": rows, "words": ["a", "bc"], "marks": [1, 2, 3]})
    shown = table(weft(capsys, "inspect", path, "--stats").out)
    assert ["train", "4", "rows", "of", "24", "bytes", str(4 + 4 + 4 * 24 + 12)] in shown
    assert ["id", "Int64", "0", "3", "1.5", "1.11803", "0"] in shown
    assert ["text", "String"] in shown
    assert ["words", "2", "of", "String", str(4 + 16 + 3)] in shown
    assert ["marks", "3", "of", "Int64", "32", "1", "3", "2", "0.816497", "0"] in shown


@given(
    arrays.arrays(
        st.sampled_from(["f4", "f8", "f2", "i8", "u8", "i1", "?"]),
        st.integers(0, 40),
    )
)
def test_figures_are_those_of_numpy(array: Any) -> None:
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        good = wide[~np.isnan(wide)]
        found = figures.figures(array)
        if not len(array):
            assert found == ()
            return
        assert found[4] == f"{len(array) - len(good):,}"
        if len(good) and np.isfinite(good).all() and np.abs(good).max() < 1e100:
            exact = array[~np.isnan(wide)]
            least, largest = exact.min().item(), exact.max().item()
            for shown, exactly in ((found[0], least), (found[1], largest)):  # of 0 and -0 either may be least
                assert (
                    float(shown) == float(f"{exactly:.6g}")
                    if array.dtype.kind == "f"
                    else shown == str(int(exactly))
                )
            scale = max(1e-300, np.abs(good).max())
            assert float(found[2]) == pytest.approx(good.mean(), rel=1e-5, abs=1e-6 * scale)
            assert float(found[3]) == pytest.approx(good.std(), rel=1e-5, abs=1e-6 * scale)


def test_figures_of_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).standard_normal(1001).astype("f4") + 1e3
    array[7] = np.nan
    whole = figures.figures(array)
    monkeypatch.setattr(figures, "PIECE", 10)
    in_pieces = figures.figures(array)
    assert in_pieces == whole
    assert float(whole[3]) == pytest.approx(np.nanstd(array.astype("f8")), rel=1e-5)
    assert figures.figures(np.array([1, np.inf], "f4"))[:3] == ("1", "inf", "inf")
    assert figures.figures(np.full(3, np.nan, "f4")) == ("", "", "", "", "3")
    assert figures.figures(np.array([1.5, -2], ml_dtypes.bfloat16))[:3] == ("-2", "1.5", "-0.25")
    assert figures.figures(np.array([1j])) == ()


def test_names_made_to_do_harm_are_harmless(tmp_path: Path, capsys: Capture) -> None:
    names = ["\x1b[2J", "two\nlines", "\ud800", "." * 5000, "x" * 100_000, "‮over", "a..b"]
    entry = {"TypeDef:Tensor": {"dtype": "U8", "shape": [1]}}
    path = tmp_path / "bad.mt"
    offsets = {name: [64 * at, 64 * at + 1] for at, name in enumerate(names)}
    text = json.dumps(header(dict.fromkeys(names, entry), offsets)).encode()
    path.write_bytes(built(text, bytes(64 * len(names) - 63)))
    done = weft(capsys, "inspect", path, "--stats")
    assert done.status == 0, done.err
    assert len(done.out) < 30_000
    assert all(letter.isprintable() or letter == "\n" for letter in done.out)
    assert process("inspect", path, "--schema").status == 0


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes long"),
    "text": (b"hello, this is no tensor file", "header's length"),
    "cut short": (built(header({"w": {"TypeDef:Tensor": {"dtype": "F32", "shape": [4]}}}, {"w": [0, 16]}), bytes(9)),
                  "expected 0 <= start <= end <= 9"),
    "pickle": (b"PK\x03\x04 and more of it", "is no whole zip archive"),
    "two lines": (built({"metatensor": 1, "schema": {"TypeDef:Struct": True}, "offsets": {"a\nb": [0, 0]}}), "'a\\n"),
    "notes": (built({"metatensor": 1, "schema": {"TypeDef:Struct": True}, "offsets": {}, "metadata": {"weft.tree": [1]}}),
              "weft.tree"),
    "a count": (built(header({"r": {"TypeDef:Array": True, "items": {"TypeDef:Uint8": True}}}, {"r": [0, 4]}), b"\xff" * 4),
                "the count 4294967295"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("command", ["inspect", "convert", "diff"])
def test_bad_files_are_one_line_and_a_status(
    case: str, command: str, tmp_path: Path, capsys: Capture
) -> None:
    data, words = BAD[case]
    path = tmp_path / "bad.mt"
    path.write_bytes(data)
    more: dict[str, list[Any]] = {
        "inspect": [],
        "convert": [tmp_path / "out.safetensors"],
        "diff": [path, "--values"],
    }
    if (case, command) == ("a count", "convert"):
        words = "expected a tensor"
    done = weft(capsys, command, path, *more[command])
    assert done.status == (2 if command == "diff" else 1)
    assert done.out == ""
    assert done.err.startswith(f"weft {command}: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.mt"]


def test_missing_files_and_folders(tmp_path: Path, capsys: Capture) -> None:
    done = weft(capsys, "inspect", tmp_path / "none.mt")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"weft inspect: open: there is no file {str(tmp_path / 'none.mt')!r}, expected one\n"
    assert "a directory, expected the name of a regular file" in weft(capsys, "inspect", tmp_path).err
    assert weft(capsys, "diff", tmp_path, tmp_path).status == 2
    index = tmp_path / "m.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "gone.safetensors"}}')
    assert "expected a file that is there" in weft(capsys, "inspect", tmp_path / "m.safetensors").err


def test_no_device_and_no_driver_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.mt"
    mt.save(path, {"w": np.ones(3, "f4")})
    code = (
        "import sys\nfrom weft.cli import main\nstatus = main(sys.argv[1:])\n"
        "assert not {'wgpu', 'llvmlite', 'torch', 'safetensors'} & set(sys.modules)\nsys.exit(status)"
    )
    other = tmp_path / "b.safetensors"
    assert process("inspect", path, "--stats", code=code).status == 0
    assert process("convert", path, other, code=code) == (0, "", "")
    assert process("diff", path, other, "--values", code=code) == (0, "", "")


def test_as_a_process(tmp_path: Path) -> None:
    path = tmp_path / "é.mt"
    mt.save(path, {"w": np.ones(3, "f4")})
    done = process("inspect", "é.mt", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("é.mt: metatensor, ")
    assert (
        process("inspect", "none.mt", folder=tmp_path).err
        == "weft inspect: open: there is no file 'none.mt', expected one\n"
    )
    assert process("inspect").status == 2
    assert process("inspect", path, "--stats", "--schema").status == 2


def test_shards_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    from weft.cli.files import checkpoint

    for at in range(2):
        safetensors.numpy.save_file({f"w{at}": np.ones(1)}, tmp_path / f"{at}.safetensors", {"a": str(at)})
    (tmp_path / "m.safetensors.index.json").write_text(
        json.dumps({"weight_map": {f"w{at}": f"{at}.safetensors" for at in range(2)}})
    )
    with (
        checkpoint(str(tmp_path / "m.safetensors")) as opened,
        pytest.raises(FormatError, match="metadata 'a'"),
    ):
        opened.metadata  # noqa: B018


def test_depth_and_match(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.safetensors"
    state = {
        f"layers.{at}.{name}": wf.ones(size)
        for at in range(20)
        for name, size in (("weight", 6), ("bias", 2))
    }
    wf.save(state | {"scale": wf.ones(1)}, path)
    lines = weft(capsys, "inspect", path, "--depth", "1").out.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["layers", "40", "parts", "640"],
        ["scale", "F32", "[1]", "4"],
    ]
    assert len(weft(capsys, "inspect", path, "--depth", "2").out.splitlines()) == 1 + 20 + 1 + 1
    shown = weft(capsys, "inspect", path, "--match", "layers.1?.bias").out
    assert shown.count("bias") == 10
    assert "weight" not in shown
    assert "10 parts" in shown.splitlines()[0]
    assert "--depth is 0, expected 1 or more" in weft(capsys, "inspect", path, "--depth", "0").err
