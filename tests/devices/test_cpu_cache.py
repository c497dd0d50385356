"""The disk cache of compiled kernels: hits, damaged entries, the size limit, privacy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from weft.devices import folders
from weft.devices.cpu import cache
from weft.errors import ArgumentError

SCRIPT = """
import weft as wf
from weft.devices.cpu import compiler
calls = []
optimise = compiler._optimise
compiler._optimise = lambda *given: (calls.append(1), optimise(*given))[1]
x = wf.arange(10, device="cpu").float()
assert (x * 2 + 1).sum().item() == 100
assert (wf.ones(40, 40, device="cpu") @ wf.ones(40, 40, device="cpu")).sum().item() == 64000
assert x.half().exp()[1].item() == 2.71875
print(len(calls))
"""


def run(directory: Path, **environment: str) -> int:
    """Run a process with the cache in a directory; return the number of modules that it compiles."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False,
        env=os.environ | {"WEFT_CACHE_DIR": str(directory), "WEFT_CACHE": "1"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_second_process_compiles_less(tmp_path: Path) -> None:
    first = run(tmp_path)
    entries = list((tmp_path / "cpu").glob("*.weftobj"))
    assert first >= len(entries) >= 5
    support = first - len(entries)  # modules that are not cached
    assert run(tmp_path) == support
    assert all(entry.stat().st_mode & 0o077 == 0 for entry in entries)
    assert run(tmp_path, WEFT_CACHE="0") == first
    entries[0].write_bytes(entries[0].read_bytes()[:-1])
    entries[1].write_bytes(b"")
    damaged = bytearray(entries[2].read_bytes())
    damaged[200] ^= 1
    entries[2].write_bytes(damaged)
    assert run(tmp_path) == support + 3
    assert run(tmp_path) == support


def test_an_entry_of_another_compiler_or_processor_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {cache.key_of(parts) for parts in (["a", "b"], ["a", "c"], ["ab", ""], ["", "ab"], ["a", "b", ""])}
    assert len(keys) == 5


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    store = cache.Cache(folders.Folder(tmp_path), largest=10_000)
    entry = cache.Entry(("f",), (), bytes(1000))
    size = len(entry.pack("00", store.folder) or b"")
    for number in range(20):
        store.put(f"{number:02}", entry)
        os.utime(tmp_path / f"{number:02}.weftobj", (number, number))
    assert store.get("00") == entry  # used now
    store.trim()
    kept = sorted(path.name for path in tmp_path.glob("*.weftobj"))
    assert len(kept) * size <= 7500
    assert "00.weftobj" in kept
    assert "19.weftobj" in kept
    assert "01.weftobj" not in kept


def test_many_writers_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cache.Cache(folders.Folder(tmp_path))
    entry = cache.Entry(("f", "g"), ("h",), os.urandom(50_000))
    wrong: list[object] = []

    def work() -> None:
        for _ in range(30):
            store.put("same", entry)
            if store.get("same") != entry:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "same.weftobj"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.os, "replace", full)
    store.put("other", entry)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "same.weftobj"]
    assert store.get("other") is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
def test_a_directory_that_others_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_CACHE", "1")
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path))
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu").chmod(0o777)
    with pytest.raises(ArgumentError, match=r"may be written by others.*only you can write to"):
        cache.find()
    monkeypatch.delenv("WEFT_CACHE_DIR")
    monkeypatch.setattr(folders, "_default", lambda: tmp_path)
    with pytest.warns(RuntimeWarning, match="kernels are compiled anew"):
        assert cache.find() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ArgumentError, match=r"WEFT_CACHE_DIR is .*expected a directory"):
        cache.find()
    monkeypatch.setenv("WEFT_CACHE", "no")
    with pytest.raises(ArgumentError, match="WEFT_CACHE is 'no', expected 0 or 1"):
        cache.find()


ENTRY = cache.Entry(("f",), ("g",), b"machine code")
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX owners and modes")


@pytest.fixture
def store(tmp_path: Path) -> cache.Cache:
    """A cache with the entries ``a`` and ``b``, opened anew as by another process."""
    (tmp_path / "cpu").mkdir()
    made = cache.Cache(folders.Folder(tmp_path / "cpu"))
    made.put("a", ENTRY)
    made.put("b", cache.Entry(("h",), (), b"other code"))
    assert made.get("a") == ENTRY
    return cache.Cache(folders.Folder(tmp_path / "cpu"))


def refused(store: cache.Cache, problem: str) -> None:
    """Assert that the entry ``a`` is not used, and that a single warning says why."""
    with pytest.warns(RuntimeWarning, match=problem) as caught:
        found = [store.get("a"), store.get("a")]
    assert found == [None, None]
    assert len(caught) == 1


def test_swapped_entries_are_not_used(store: cache.Cache) -> None:
    a, b = store.directory / "a.weftobj", store.directory / "b.weftobj"
    a.rename(store.directory / "c")
    b.rename(a)
    refused(store, "damaged, or was not written under this name")
    store.put("a", ENTRY)
    assert store.get("a") == ENTRY


def test_a_checksum_without_the_key_is_not_enough(store: cache.Cache, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = folders.Folder(tmp_path / "other")
    forged = cache.Entry(("f",), ("g",), b"evil code").pack("a", other)
    assert forged is not None
    (store.directory / "a.weftobj").write_bytes(forged)
    refused(store, "damaged, or was not written under")


@pytest.mark.parametrize("at", range(0, 140, 9))
def test_every_damaged_byte_is_found(store: cache.Cache, at: int) -> None:
    path = store.directory / "a.weftobj"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x55
    path.write_bytes(data)
    refused(store, "damaged, or was not written under")


@POSIX
def test_links_and_fifos_in_the_place_of_entries(store: cache.Cache) -> None:
    path = store.directory / "a.weftobj"
    path.rename(store.directory / "real")
    path.symlink_to(store.directory / "real")
    refused(store, "a.weftobj|symbolic links")
    path.unlink()
    os.mkfifo(path)
    refused(cache.Cache(folders.Folder(store.directory)), "no regular file")


@POSIX
def test_a_key_that_others_can_read_is_replaced(store: cache.Cache) -> None:
    key = store.directory / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    key.chmod(0o644)
    refused(store, "may be read by others")
    assert key.read_bytes() != before
    assert key.stat().st_mode & 0o777 == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_folders_are_checked_at_each_access(
    store: cache.Cache, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_is_own_group", lambda group: False)
    assert store.get("a") == ENTRY
    store.directory.parent.chmod(mode)  # the parent directory, after the first check
    try:
        refused(store, "may be written by others")
        store.put("c", ENTRY)
        assert not (store.directory / "c.weftobj").exists()
    finally:
        store.directory.parent.chmod(0o700)
    assert store.get("a") == ENTRY


@POSIX
def test_other_peoples_folders_and_files_are_refused(store: cache.Cache) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(store.directory / "a.weftobj", 12345, 12345)
    refused(store, "belongs to user 12345")
    os.chown(store.directory.parent, 12345, 12345)
    refused(
        cache.Cache(folders.Folder(store.directory)), "belongs to user 12345, expected one of yours or root's"
    )
    os.chown(store.directory.parent, 0, 0)


@POSIX
def test_folders_are_made_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_CACHE", "1")
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "one" / "two"))
    before = os.umask(0)
    try:
        kept = cache.find()
    finally:
        os.umask(before)
    assert kept is not None
    for path in (kept.directory, kept.directory.parent, kept.directory.parent.parent):
        assert path.stat().st_mode & 0o777 == 0o700


def test_processes_that_start_together_agree_on_a_key(tmp_path: Path) -> None:
    script = (
        "import sys; from weft.devices.folders import Folder; print(Folder(sys.argv[1]).sign(b'x').hex())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in running}) == 1
