"""Atomic writes of a plan's directory.

The files are written to a temporary directory beside the target and flushed to disk; then the directory is renamed. An
earlier plan is first moved aside; where a save is interrupted between the two renames, ``find`` returns the moved plan.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, FormatError, mistake

LOG = logging.getLogger("weft.compiler")
GRAPH, STATE = "plan.json", "state.safetensors"
"""The file names of a plan."""


def path_of(where: str, directory: Any) -> Path:
    """Return the directory's path with symbolic links resolved, so that a link is not replaced."""
    if not isinstance(directory, str | os.PathLike):
        raise ArgumentTypeError(
            mistake(where, "directory", f"a {type(directory).__name__}", "the name of a directory")
        )
    return Path(directory).resolve()


def find(where: str, directory: Any) -> Path:
    """Return the directory of a saved plan; ``FormatError`` where there is none."""
    path = path_of(where, directory)
    aside = _aside(path)
    if not path.exists() and aside.is_dir():
        LOG.warning("%s: a save to %s was interrupted; the plan saved before it is taken", where, path)
        path = aside
    if not path.is_dir():
        given = "a file" if path.exists() else "missing"
        raise FormatError(
            mistake(where, repr(str(directory)), given, "the directory of a saved plan",
                    "wf.jit(function).plan(*arguments).save(directory) writes a plan")
        )  # fmt: skip
    for name in (GRAPH, STATE):
        if not (path / name).is_file():
            raise FormatError(
                mistake(where, f"{name} in {str(directory)!r}", "missing", "the file of a saved plan")
            )
    return path


@contextmanager
def replaced(where: str, directory: Any) -> Iterator[Path]:
    """Yield an empty directory to write to, which replaces ``directory`` at the end of the block without an error.

    Raises ``ArgumentError`` where ``directory`` is a file or holds other files than a plan's.
    """
    target = path_of(where, directory)
    _check(where, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        _to_disk(temporary)
        _put(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(where: str, target: Path) -> None:
    """Raise ``ArgumentError`` for a target that holds anything but a plan."""
    if not target.exists():
        return
    if not target.is_dir():
        raise ArgumentError(
            mistake(where, "directory", f"the file {str(target)!r}", "the name of a directory")
        )
    others = sorted(entry.name for entry in target.iterdir() if entry.name not in (GRAPH, STATE))
    if others:
        raise ArgumentError(
            mistake(where, "directory", f"{str(target)!r}, which holds {others[0]!r}",
                    "a new or empty directory, or the directory of a plan, which is replaced")
        )  # fmt: skip


def _put(temporary: Path, target: Path) -> None:
    """Rename the temporary directory to the target, with an earlier plan moved aside in between."""
    aside = _aside(target)
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)  # left by a save that was interrupted after its last rename
        os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.rename(aside, target)
        raise
    _to_disk(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _to_disk(directory: Path) -> None:
    """Flush a directory's entries to disk, on POSIX systems."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
