"""Paths that name no regular file are refused before anything is opened, written or replaced."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import weft as wf
from weft import metatensor as mt
from weft.errors import ArgumentError, DirectoryError, MissingFileError, PathError, WeftError

TREE = {"w": wf.ones(2, device="cpu")}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/null")


def node(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root makes device nodes")
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")


def endpoint(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(path))


def loop(path: Path) -> None:
    path.symlink_to(path.name)


KINDS = {
    fifo: "a FIFO", directory: "a directory", device: "a character device", node: "a character device",
    endpoint: "a socket", loop: "a loop of symbolic links",
}  # fmt: skip
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX file types")


@POSIX
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_is_no_regular_file_is_neither_replaced_nor_read(
    make: Callable[[Path], None], linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "odd.mt"
    make(odd)
    path = odd
    if linked:
        path = tmp_path / "link.mt"
        path.symlink_to(odd)
    before = (os.lstat(odd).st_mode, sorted(os.listdir(tmp_path)))
    for act in (
        lambda: wf.save(TREE, path),
        lambda: wf.save(TREE, path, max_shard_size=1),
        lambda: mt.save(path, {"a": 1}),
        lambda: wf.io.save_training(path),
        lambda: wf.load(path),
        lambda: mt.open(path),
    ):
        with pytest.raises(PathError, match=KINDS[make]):
            act()
    assert (os.lstat(odd).st_mode, sorted(os.listdir(tmp_path))) == before


@POSIX
def test_the_null_device_stays_a_device() -> None:
    with pytest.raises(PathError, match="a character device"):
        mt.save("/dev/null", {"a": 1})
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@POSIX
def test_an_index_that_is_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mt.index.json")
    done: list[BaseException] = []

    def run() -> None:
        try:
            wf.load(tmp_path / "x.mt")
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(done[0], PathError)


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "x.mt"
    link.symlink_to(tmp_path / "far" / "real.mt")  # dangling at first
    for value in (1, 2):
        wf.save({"a": value}, link)
        assert link.is_symlink()
        assert wf.load(link) == wf.load(tmp_path / "far" / "real.mt") == {"a": value}


@pytest.mark.parametrize("name", ["a\0b.mt", "\ud800.mt", ""])
def test_names_that_no_system_takes_are_argument_errors(name: str, tmp_path: Path) -> None:
    path = os.path.join(tmp_path, name) if name else name
    for act in (
        lambda: wf.save(TREE, path),
        lambda: wf.load(path),
        lambda: mt.open(path),
        lambda: mt.save(path, {}),
    ):
        with pytest.raises(ArgumentError, match="path is "):
            act()


def test_names_that_are_too_long_or_missing_say_so(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300 + ".mt")
    for act in (lambda: wf.save(TREE, long), lambda: wf.load(long)):
        with pytest.raises(PathError, match="too long"):
            act()
    with pytest.raises(MissingFileError, match=r"there is no file .*missing.mt', expected one"):
        wf.load(tmp_path / "missing.mt")
    with pytest.raises(MissingFileError, match=r"make .*away' first"):
        wf.save(TREE, tmp_path / "away" / "x.mt")
    with pytest.raises(PathError, match="below something that is no directory"):
        (tmp_path / "file").touch()
        wf.save(TREE, tmp_path / "file" / "x.mt")
    assert issubclass(DirectoryError, WeftError)


@pytest.mark.parametrize("name", ["x" * 249 + ".mt", "ü" * 120 + ".mt"])
def test_the_longest_names_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    wf.save({"a": 1}, tmp_path / name)
    assert wf.load(tmp_path / name) == {"a": 1}


CYCLE: list[object] = [1]
CYCLE.append(CYCLE)


def nested(depth: int) -> object:
    tree: object = 1
    for _ in range(depth):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    "tree", [CYCLE, {"a": CYCLE}, nested(3000), nested(66)], ids=["cycle", "within", "3000", "66"]
)
def test_trees_without_an_end_are_refused(tree: object, tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="nested"):
        wf.save(tree, tmp_path / "x.mt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("depth", [190, 199, 200, 250, 3000])
def test_metadata_that_is_saved_can_be_loaded(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "x.mt"
    if depth < 199:
        wf.save({"a": 1}, path, metadata={"m": nested(depth)})
        assert wf.load(path) == {"a": 1}
        return
    with pytest.raises(WeftError, match="nested too deep"):
        wf.save({"a": 1}, path, metadata={"m": nested(depth)})
    assert not path.exists()


def test_a_tensor_may_be_named_metatensor(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    wf.save({"metatensor": wf.ones(2, device="cpu")}, path)
    assert wf.load(path, device="cpu")["metatensor"].tolist() == [1, 1]


def test_a_small_index_takes_little_memory(tmp_path: Path) -> None:
    script = """
import resource, sys
import weft as wf
wf.ones(1, device="cpu"); from weft.io import files, shards
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try: wf.load(sys.argv[1])
except wf.errors.FormatError: pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "x.mt.index.json").write_text('{"weight_map": {}]')
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.mt"], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 20_000  # KiB
