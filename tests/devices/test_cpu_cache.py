"""Compiled kernels on disk: found again, rebuilt when damaged, bounded, private."""

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
    """How many modules a process compiles that uses the cache in a directory."""
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
    support = first - len(entries)  # what is made for this process alone
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
    store = cache.Cache(tmp_path, largest=10_000)
    entry = cache.Entry(("f",), (), bytes(1000))
    size = len(entry.pack())
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
    store = cache.Cache(tmp_path)
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
    assert [path.name for path in tmp_path.iterdir()] == ["same.weftobj"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    store.put("other", entry)
    assert [path.name for path in tmp_path.iterdir()] == ["same.weftobj"]
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
    with pytest.warns(RuntimeWarning, match="compiled kernels are not kept"):
        assert cache.find() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ArgumentError, match=r"WEFT_CACHE_DIR is .*expected a directory"):
        cache.find()
    monkeypatch.setenv("WEFT_CACHE", "no")
    with pytest.raises(ArgumentError, match="WEFT_CACHE is 'no', expected 0 or 1"):
        cache.find()
