"""``weft convert``: the target, in another format or in shards, has all of the source, or nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

import weft as wf
from tests.cli.running import process, weft
from tests.metatensor.hostile import built, header
from weft import metatensor as mt
from weft.cli import files
from weft.metatensor.scalars import TENSORS, native

Capture = pytest.CaptureFixture[str]
GOLDEN = sorted((Path(__file__).parents[1] / "metatensor" / "golden").glob("*.mt"))


def done_well(capsys: Capture, *words: object) -> None:
    done = weft(capsys, *words)
    assert (done.status, done.out, done.err) == (0, "", "")


def some() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "layers.0.weight": rng.standard_normal((5, 7), "f4"),
        "layers.0.bias": rng.standard_normal(7).astype(ml_dtypes.bfloat16),
        "layers.1.mask": rng.random(9) < 0.5,
        "ids": np.arange(2**62, 2**62 + 3),
        "scale": np.array(0.5, "f2"),
        "none": np.zeros((0, 3), "f4"),
    }


def same(found: Any, expected: Any) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert found[name].tobytes() == value.tobytes()


def test_a_file_of_the_safetensors_library_there_and_back(tmp_path: Path, capsys: Capture) -> None:
    a, b, c = tmp_path / "a.safetensors", tmp_path / "b.mt", tmp_path / "c.safetensors"
    safetensors.numpy.save_file(some(), a, {"author": "someone", "format": "np"})
    done_well(capsys, "convert", a, b)
    with mt.open(b) as file:
        same(file, some())
        assert {key: file.metadata[key] for key in ("author", "format")} == {
            "author": "someone",
            "format": "np",
        }
    done_well(capsys, "convert", b, c)
    same(safetensors.numpy.load_file(c), some())
    with safe_open(c, "numpy") as opened:
        assert opened.metadata() == {"author": "someone", "format": "np"}


def test_every_tensor_type_goes_both_ways(tmp_path: Path, capsys: Capture) -> None:
    tensors = {}
    for at, (key, name) in enumerate(TENSORS.items()):
        dtype = native(name)
        data = np.random.default_rng(at).integers(0, 2, 24 * dtype.itemsize, "u1")
        tensors[key] = data.view(dtype)
    mt.save(tmp_path / "a.mt", tensors)
    done_well(capsys, "convert", tmp_path / "a.mt", tmp_path / "b.safetensors")
    done_well(capsys, "convert", tmp_path / "b.safetensors", tmp_path / "c.mt")
    for name in ("b.safetensors", "c.mt"):
        with mt.open(tmp_path / name) as file:
            same(file, tensors)


def test_what_load_gives_is_the_same(tmp_path: Path, capsys: Capture) -> None:
    """Names that clash as paths, and names that look like escapes or indices, stay unchanged."""
    state = {
        name: wf.full((2,), float(at), device="cpu")
        for at, name in enumerate(["a", "a.b", "c.0", "c.1", "x%2Ey", "", "value"])
    }
    wf.save(state, tmp_path / "a.safetensors")
    done_well(capsys, "convert", tmp_path / "a.safetensors", tmp_path / "b.mt")
    done_well(capsys, "convert", tmp_path / "b.mt", tmp_path / "c.safetensors")
    done_well(capsys, "convert", tmp_path / "b.mt", tmp_path / "d.mt", "--max-shard-size", 9)
    for name in ("a.safetensors", "b.mt", "c.safetensors", "d.mt"):
        found = wf.load(tmp_path / name, device="cpu")
        assert {key: value.tolist() for key, value in found.items()} == {
            key: value.tolist() for key, value in state.items()
        }


def test_a_tree_of_tensors_is_named_by_its_keys(tmp_path: Path, capsys: Capture) -> None:
    w = wf.ones(2, device="cpu")
    wf.save({"model": {"w": w, "a.b": w, "tied": [w, {3: w}]}}, tmp_path / "a.mt")
    done_well(capsys, "convert", tmp_path / "a.mt", tmp_path / "b.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "b.safetensors")
    assert sorted(found) == ["model.a.b", "model.tied.0", "model.tied.1.3", "model.w"]


@pytest.mark.parametrize("suffix", ["mt", "safetensors"])
@pytest.mark.parametrize("target", ["mt", "safetensors"])
def test_into_shards_and_out_of_them(suffix: str, target: str, tmp_path: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(1)
    state = {f"l{at}.w": wf.tensor(rng.standard_normal(100, "f4"), device="cpu") for at in range(6)}
    wf.save(state, tmp_path / f"a.{suffix}", metadata={"who": "me"})
    done_well(
        capsys, "convert", tmp_path / f"a.{suffix}", tmp_path / f"b.{target}", "--max-shard-size", "1kB"
    )
    assert len(list(tmp_path.glob("b-*"))) == 3
    assert (tmp_path / f"b.{target}.index.json").exists()
    assert not (tmp_path / f"b.{target}").exists()
    done_well(capsys, "convert", tmp_path / f"b.{target}.index.json", tmp_path / f"c.{suffix}")
    for name in (f"b.{target}", f"c.{suffix}"):
        found = wf.load(tmp_path / name, device="cpu")
        assert {key: value.tolist() for key, value in found.items()} == {
            key: value.tolist() for key, value in state.items()
        }
        with files.checkpoint(str(tmp_path / name)) as opened:
            assert opened.metadata["who"] == "me"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_metatensor_files_of_all_kinds_keep_schema_and_bytes(
    path: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The expected file of each feature is copied, split into shards of one part each, and joined again."""
    done_well(capsys, "convert", path, tmp_path / "whole.mt")
    with mt.open(path) as old, mt.open(tmp_path / "whole.mt") as new:
        assert new.schema == old.schema
        assert new.layout.endian == old.layout.endian
        assert new.metadata == old.metadata
        count = len(old)
    done_well(capsys, "convert", path, tmp_path / "parts.mt", "--max-shard-size", 1)
    assert len(list(tmp_path.glob("parts-*"))) == (count if count > 1 else 0)
    done_well(capsys, "convert", tmp_path / "parts.mt", tmp_path / "joined.mt")
    for name in ("whole.mt", "parts.mt", "joined.mt"):
        done = weft(capsys, "diff", path, tmp_path / name, "--values")
        assert (done.status, done.out, done.err) == (0, "", ""), name


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a number": ({"w": np.ones(2), "a": {"epoch": 3}}, {}, "'a.epoch' is Int64, expected a tensor"),
    "a text": ({"w": np.ones(2), "name": "x"}, {}, "'name' is String, expected a tensor"),
    "rows": ({"train": [{"a": 1}]}, {}, "'train' is"),
    "metadata": ({"w": np.ones(2)}, {"step": 3}, "metadata 'step' is 3, expected a text"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("shard", [[], ["--max-shard-size", "10"]])
def test_what_safetensors_cannot_hold_is_named_and_nothing_written(
    case: str, shard: list[str], tmp_path: Path, capsys: Capture
) -> None:
    tree, metadata, words = REFUSED[case]
    path = tmp_path / "a.mt"
    mt.save(path, tree, metadata=metadata)
    done = weft(capsys, "convert", path, tmp_path / "b.safetensors", *shard)
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "None"), ([], "[]"), ({}, "{}"), (3, "Int64")],
)
def test_what_a_tree_holds_beside_tensors_is_named(
    value: Any, words: str, tmp_path: Path, capsys: Capture
) -> None:
    wf.save({"w": wf.ones(2, device="cpu"), "x": {"y.z": value}}, tmp_path / "a.mt")
    done = weft(capsys, "convert", tmp_path / "a.mt", tmp_path / "b.safetensors")
    assert (done.status, f"'x.y.z' is {words}, expected a tensor" in done.err) == (1, True), done.err


def test_two_tensors_of_one_name_are_refused(tmp_path: Path, capsys: Capture) -> None:
    ones = wf.ones(2, device="cpu")
    wf.save({"a": {"b": ones}, "a.b": ones + 1, "n": [ones]}, tmp_path / "a.mt")
    done = weft(capsys, "convert", tmp_path / "a.mt", tmp_path / "b.safetensors")
    assert (done.status, "'a.b' is the name of two tensors" in done.err) == (1, True)


def test_a_mistake_found_while_writing_leaves_nothing(tmp_path: Path, capsys: Capture) -> None:
    """A boolean of 2 is detected when it is written, after another shard has been written."""
    entries = {
        "a": {"TypeDef:Tensor": {"dtype": "U8", "shape": [4]}},
        "b": {"TypeDef:Tensor": {"dtype": "BOOL", "shape": [4]}},
    }
    path = tmp_path / "a.mt"
    path.write_bytes(built(header(entries, {"a": [0, 4], "b": [64, 68]}), bytes(64) + b"\0\1\2\0"))
    for more in ([], ["--max-shard-size", "4"]):
        done = weft(capsys, "convert", path, tmp_path / "b.safetensors", *more)
        assert (done.status, done.out) == (1, "")
        assert "b[2] is 2, expected a byte 0 or 1" in done.err
        assert list(tmp_path.iterdir()) == [path]


def test_targets(tmp_path: Path, capsys: Capture) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.mt"
    safetensors.numpy.save_file(some(), a)
    for name in ("b.pt", "b", "b.mt.index.json"):
        done = weft(capsys, "convert", a, tmp_path / name)
        assert (done.status, "a name that ends in .mt or .safetensors" in done.err) == (1, True)
    b.write_text("mine")
    done = weft(capsys, "convert", a, b)
    assert (done.status, done.err) == (1, f"weft convert: {str(b)!r} is there already; --force replaces it\n")
    assert b.read_text() == "mine"
    done_well(capsys, "convert", a, b, "--force")
    with mt.open(b) as file:
        same(file, some())
    done_well(capsys, "convert", b, b, "--force", "--max-shard-size", "100")  # onto itself
    assert weft(capsys, "convert", a, b).status == 1  # the index is there
    done_well(capsys, "convert", b, b, "--force")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.safetensors", "b.mt"]
    with mt.open(b) as file:
        same(file, some())
    assert (
        "max_shard_size is '3 apples'"
        in weft(capsys, "convert", a, tmp_path / "c.mt", "--max-shard-size", "3 apples").err
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_file_larger_than_the_memory_given(tmp_path: Path) -> None:
    """Tensors are written one after another: 256 MB are converted with 96 MB of memory for data."""
    source = tmp_path / "a.safetensors"
    entries, end = {}, 0
    for at in range(16):
        entries[f"w{at}"] = {"dtype": "F32", "shape": [1 << 22], "data_offsets": [end, end + (1 << 24)]}
        end += 1 << 24
    text = json.dumps(entries).encode()
    with open(source, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    code = (
        "import sys, resource, numpy, weft.io, weft.cli.convert, weft.cli.diff\n"
        "used = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (96 << 20), used + (96 << 20)))\n"
        "sys.exit(weft.cli.main(sys.argv[1:]))"
    )
    hungry = code.replace("sys.exit", "numpy.ones(128 << 20, 'u1')\nsys.exit")
    assert "MemoryError" in process("inspect", source, code=hungry).err
    done = process("convert", source, tmp_path / "b.mt", code=code)
    assert done.status == 0, done.err
    assert (tmp_path / "b.mt").stat().st_size > end
    assert process("diff", source, tmp_path / "b.mt", "--values", code=code).status == 0


def test_a_checkpoint_of_pytorch_is_inspected_and_converted(tmp_path: Path, capsys: Capture) -> None:
    import torch

    model = torch.nn.Linear(3, 2)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    assert "weight" in weft(capsys, "inspect", tmp_path / "a.pt").out
    done_well(capsys, "convert", tmp_path / "a.pt", tmp_path / "b.safetensors")
    same(
        safetensors.numpy.load_file(tmp_path / "b.safetensors"),
        {k: v.numpy() for k, v in model.state_dict().items()},
    )


def test_a_part_of_a_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    a, b, c, d = tmp_path / "a.safetensors", tmp_path / "b.mt", tmp_path / "c.mt", tmp_path / "d.safetensors"
    safetensors.numpy.save_file(some(), a)
    done_well(capsys, "convert", a, b, "--match", "layers.0.*")
    assert set(wf.load(b, device="cpu")) == {"layers.0.weight", "layers.0.bias"}
    wf.save({"model": {"w.x": wf.ones(2), "w.y": wf.zeros(2)}, "list": [wf.ones(3), 4], "epoch": 3}, c)
    done_well(capsys, "convert", c, d, "--match", "model.*")
    assert set(wf.load(d, device="cpu")) == {"model.w.x", "model.w.y"}
    done_well(capsys, "convert", c, tmp_path / "e.mt", "--match", "epoch")
    assert wf.load(tmp_path / "e.mt") == {"epoch": 3}
    failed = weft(capsys, "convert", a, tmp_path / "f.mt", "--match", "nothing.*")
    assert (failed.status, failed.out) == (1, "")
    assert "--match is 'nothing.*', expected a pattern that fits the name of a part" in failed.err
    assert not (tmp_path / "f.mt").exists()
