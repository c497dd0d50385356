"""Checkpoints in shards: Hugging Face's names and index, and atomic replacement under failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.numpy

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, FormatError
from weft.io import shards
from weft.io.shards import INDEX

COUNT, ELEMENTS = 10, 100


def state(value: float, device: str = "cpu") -> dict[str, wf.Tensor]:
    return {
        f"layer.{at}.weight": wf.full((ELEMENTS,), float(value + at), device=device) for at in range(COUNT)
    }


def index_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name + ".index.json").read_text())


@pytest.mark.parametrize("suffix", [".safetensors", ".mt"])
def test_shards_are_listed_in_an_index(suffix: str, tmp_path: Path, device: Device) -> None:
    path = tmp_path / f"model{suffix}"
    wf.save(state(1, device.name), path, max_shard_size=3 * 4 * ELEMENTS)
    index = index_of(path)
    assert index["metadata"]["total_size"] == COUNT * ELEMENTS * 4
    assert set(index["weight_map"]) == set(state(1))
    files = sorted(set(index["weight_map"].values()))
    assert len(files) == 4 and not path.exists()
    assert [name.rpartition("-")[2] for name in files] == [f"00004{suffix}"] * 4
    assert all(name.startswith("model-") for name in files)
    for name in (path, path.with_name(path.name + ".index.json")):
        found = wf.load(name, device=device.name)
        assert {key: value[0].item() for key, value in found.items()} == {
            f"layer.{n}.weight": 1.0 + n for n in range(COUNT)
        }


def test_shards_are_what_the_formats_own_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    wf.save(state(1), path, max_shard_size="1KB")
    found: dict[str, Any] = {}
    for name in set(index_of(path)["weight_map"].values()):
        found |= safetensors.numpy.load_file(tmp_path / name)
    assert {key: float(value[0]) for key, value in found.items()} == {
        f"layer.{n}.weight": 1.0 + n for n in range(COUNT)
    }


def test_what_hugging_face_wrote_is_read(tmp_path: Path) -> None:
    weights = {"a": numpy.ones(3, "float32"), "b": numpy.zeros((2, 2), "float16")}
    for at, name in enumerate(weights, 1):
        safetensors.numpy.save_file({name: weights[name]}, tmp_path / f"model-0000{at}-of-00002.safetensors")
    names = {name: f"model-0000{at}-of-00002.safetensors" for at, name in enumerate(weights, 1)}
    index = {"metadata": {"total_size": 20}, "weight_map": names}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = wf.load(tmp_path / "model.safetensors", device="cpu")
    assert set(found) == {"a", "b"} and found["b"].dtype is wf.float16


@pytest.mark.parametrize("sizes", [(400, None), (None, 400), (400, 1000), (1000, 400)])
def test_a_checkpoint_takes_the_place_of_another(sizes: tuple[Any, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for value, size in enumerate(sizes):
        wf.save(state(value), path, max_shard_size=size)
    assert wf.load(path, device="cpu")["layer.0.weight"][0].item() == 1
    expected = (
        {path.name}
        if sizes[1] is None
        else {path.name + ".index.json", *index_of(path)["weight_map"].values()}
    )
    assert {entry.name for entry in tmp_path.iterdir()} == expected


CHILD = """
import os, sys
import weft as wf
path, call, at, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])
state = {f"layer.{n}.weight": wf.full((100,), 2.0 + n, device="cpu") for n in range(10)}
real, calls = getattr(os, call), 0
def killed(*args, **options):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), 9)
    return real(*args, **options)
setattr(os, call, killed)
wf.save(state, path, max_shard_size=size)
print("done")
"""


@pytest.mark.skipif(os.name != "posix", reason="a process is killed by a signal")
@pytest.mark.parametrize(("before", "after"), [(1200, 1200), (None, 1200), (1200, None)])
def test_a_writer_that_is_killed_leaves_one_checkpoint_whole(before: Any, after: Any, tmp_path: Path) -> None:
    """A writer is killed at the k-th write, fsync and rename, for some k from the first to past the last."""
    path = tmp_path / "model.safetensors"
    script = tmp_path.parent / f"{tmp_path.name}_child.py"
    script.write_text(CHILD)
    outcomes = set()
    for call, places in (
        ("write", (1, 3, 5)),
        ("fsync", (1, 2, 8, 11)),
        ("replace", (1, 2, 5)),
        ("unlink", (1, 3)),
    ):
        for at in places:
            wf.save(state(1), path, max_shard_size=before)
            done = subprocess.run(
                [sys.executable, str(script), str(path), call, str(at), repr(after)], capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == -9 or done.stdout == "done\n", done.stderr
            found = {
                key: value[0].item() - int(key.split(".")[1])
                for key, value in wf.load(path, device="cpu").items()
            }
            assert set(found) == set(state(1)) and len(set(found.values())) == 1
            outcomes.add((done.returncode, next(iter(found.values()))))
    assert (-9, 1.0) in outcomes and (0, 2.0) in outcomes


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize(("before", "after"), [(1200, 1200), (None, 1200), (1200, None)])
def test_a_save_that_fails_leaves_nothing_of_its_own(
    call: str, before: Any, after: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of the function fails once; after an error behind the commit the new checkpoint stays."""
    path = tmp_path / "model.safetensors"
    real = getattr(os, call)
    for position in range(1, 40):
        wf.save(state(1), path, max_shard_size=before)
        names = {entry.name for entry in tmp_path.iterdir()}
        calls = 0

        def fail(*args: Any, position: int = position) -> Any:
            nonlocal calls
            if call == "open" and not args[1] & os.O_WRONLY and not os.path.isdir(args[0]):
                return real(*args)  # a check of the previous checkpoint, which is allowed to fail
            calls += 1
            if calls == position:
                raise OSError("the disk is full")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            failed = _failed(state(2), path, after)
        value = wf.load(path, device="cpu")["layer.0.weight"][0].item()
        if not failed:
            assert value == 2 and calls < position
            return
        if value == 1:
            assert {entry.name for entry in tmp_path.iterdir()} == names
    raise AssertionError("it never succeeded")


def _failed(data: dict[str, wf.Tensor], path: Path, size: Any) -> bool:
    try:
        wf.save(data, path, max_shard_size=size)
    except OSError:
        return True
    return False


def _edit(path: Path, change: Any) -> None:
    index = path.with_name(path.name + ".index.json")
    found = json.loads(index.read_text())
    change(found)
    index.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.pop("weight_map"), "weight_map is missing"),
        (lambda index: index.update(metadata=3), "metadata is 3"),
        (lambda index: index["weight_map"].update({"layer.0.weight": "../secret"}), "weight_map of 'layer.0.weight' is '../secret'"),
        (lambda index: index["weight_map"].update({"layer.0.weight": 3}), "weight_map of 'layer.0.weight' is 3"),
        (lambda index: index["weight_map"].update({"layer.0.weight": "gone.safetensors"}), "'gone.safetensors', expected a file that is there"),
        (lambda index: index["weight_map"].update({"more": next(iter(index["weight_map"].values()))}), "the part 'more' is missing"),
        (lambda index: index["weight_map"].pop("layer.0.weight"), "the part 'layer.0.weight' is not in the index"),
    ],
)  # fmt: skip
def test_an_index_is_not_trusted(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    wf.save(state(1), path, max_shard_size=1200)
    _edit(path, change)
    with pytest.raises(FormatError, match=message):
        wf.load(path, device="cpu")
    path.with_name(path.name + ".index.json").write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        wf.load(path, device="cpu")


def test_old_shards_named_by_a_strange_index_are_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "model.safetensors", tmp_path / "precious.txt"
    other.write_text("mine")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "precious.txt"}}))
    wf.save(state(1), path)
    assert other.read_text() == "mine"


@pytest.mark.parametrize("place", [1, 12])
def test_a_failed_save_leaves_the_index_of_others(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards with foreign names stay until the new index has replaced theirs."""
    path, calls = tmp_path / "model.safetensors", 0
    safetensors.numpy.save_file({"a": numpy.ones(3, "float32")}, tmp_path / "part.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    real = os.replace

    def fail(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == place or args[1].name == index.name:
            raise OSError("the disk is full")
        real(*args)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        wf.save(state(1), path, max_shard_size=1200)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert wf.load(path, device="cpu")["a"].tolist() == [1, 1, 1]


def test_sizes(tmp_path: Path) -> None:
    for size, error in (
        ("5 parsecs", ArgumentError),
        (0, ArgumentError),
        (True, ArgumentError),
        (1.5, ArgumentTypeError),
    ):
        with pytest.raises(error, match="max_shard_size"):
            wf.save(state(1), tmp_path / "a.mt", max_shard_size=size)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


WRITER = """
import sys, weft as wf
path, kind = sys.argv[1:]
for step in range(10**9):
    tree = {f"t{at}": wf.full((8,), float(step), device="cpu") for at in range(6)}
    sharded = kind == "shards" or step % 3
    wf.save(tree, path, max_shard_size=40 if sharded else None)
"""


@pytest.mark.parametrize("kind", ["shards", "both"])
def test_readers_beside_a_writer_always_see_a_whole_checkpoint(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path, kind])
    try:
        deadline = time.monotonic() + 60
        while not (path.exists() or (tmp_path / (path.name + INDEX)).exists()):
            assert time.monotonic() < deadline
            assert writer.poll() is None
        seen: set[float] = set()
        reads = 0
        while reads < 150 or len(seen) < 4:
            assert time.monotonic() < deadline, f"{reads} reads saw {len(seen)} states of the file"
            reads += 1
            tree = wf.load(path, device="cpu")
            steps = {value.tolist()[0] for value in tree.values()}
            assert len(tree) == 6
            assert len(steps) == 1, "tensors of several saves in one load"
            seen |= steps
    finally:
        writer.kill()
        writer.wait()
    wf.save({"a": wf.ones(1, device="cpu")}, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], (
        "a killed writer's files are collected"
    )


def test_a_running_writers_files_are_left_alone(tmp_path: Path) -> None:
    path, tree = tmp_path / "x.mt", {"a": wf.ones(1, device="cpu"), "b": wf.ones(1, device="cpu")}
    reached, go = threading.Event(), threading.Event()

    def slowly(target: Path, parts: Any, metadata: Any) -> None:
        shards._write_file(target, parts, metadata)
        reached.set()
        assert go.wait(30)

    parts = {(name,): value.numpy() for name, value in tree.items()}
    thread = threading.Thread(target=shards.write, args=(path, parts, {}, {}, 1, slowly))
    thread.start()
    assert reached.wait(30)
    wf.save(tree, path)  # another save, of the same name
    left = [entry.name for entry in tmp_path.iterdir() if "-of-" in entry.name]
    go.set()
    thread.join()
    assert len(left) == 1
    assert len(wf.metatensor.open(tmp_path / left[0])) == 1
