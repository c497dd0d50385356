"""Atomic file writes: a file is written under a temporary name, flushed to disk and then renamed."""

from __future__ import annotations

import io
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from weft.metatensor.regular import target_of

if sys.platform != "win32":
    import fcntl

BUFFER = 1 << 20


class _Descriptor(io.RawIOBase):
    """A raw stream over a file descriptor that its owner closes: after an error no buffered bytes are written."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return os.write(self._handle, data)

    def close(self) -> None:
        self._handle = -1


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; it replaces ``path`` when the block ends and is removed if the block fails.

    The bytes are flushed to disk (fsync) before the rename, and the directory after it. An older file keeps its
    permissions; through a symbolic link the file behind it is replaced. Temporary files that killed processes left
    for the same ``path`` are removed first.

    Raises:
        PathError: for a path that names no regular file (a directory, a device, a FIFO).

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a")
    ...     with replacing(path) as file:
    ...         _ = file.write(b"whole")
    ...     path.read_bytes()
    b'whole'
    """
    target = target_of("save", path)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666
    handle, name = _create_locked(target, mode)
    try:
        try:
            file = io.BufferedWriter(_Descriptor(handle), BUFFER)
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(name, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    if os.name == "posix":  # the new name is on disk once its directory is
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def marking(target: Path) -> Iterator[str]:
    """Yield the token of a writer of several files beside ``target``; a locked file shows that the writer is running.

    Raises ``OSError`` if no file can be created in the folder.
    """
    handle, name = _create_locked(target, 0o600)
    try:
        yield name.name.split(".")[-2]
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
        os.close(handle)


def is_running(target: Path, token: str) -> bool:
    """Return whether the writer that got the token from ``marking`` is still running."""
    return _is_locked(target.with_name(_temporary(target, token)))


def _create_locked(target: Path, mode: int) -> tuple[int, Path]:
    """Create a file beside ``target``, open for writing, with a lock that the system releases when the process ends.

    The lock distinguishes the files of running writers from those of killed writers, which are removed first.
    """
    remove_abandoned(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        name = target.with_name(_temporary(target, secrets.token_hex(4)))
        handle = os.open(name, flags, mode)
        if _take_lock(handle) is not False and os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # another writer took it for an abandoned file before it was locked


def remove_abandoned(target: Path, begins: bool = False) -> None:
    """Remove the temporary files of writers of ``target`` that were killed.

    With ``begins``, also those of all files whose names begin with the name of ``target``.
    """
    suffix = ".*" if begins else ""
    temporary = re.compile(rf"\.{re.escape(target.name[:40])}{suffix}\.[0-9a-f]{{8}}\.tmp")
    for entry in entries(target.parent):
        if temporary.fullmatch(entry) and not _is_locked(target.with_name(entry)):
            with suppress(OSError):
                target.with_name(entry).unlink()


def entries(folder: Path) -> list[str]:
    """Return the names in a folder, or an empty list if the folder cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _temporary(target: Path, token: str) -> str:
    return f".{target.name[:40]}.{token}.tmp"


def _is_locked(path: Path) -> bool:
    """Return whether a running process holds the lock of a temporary file, True if this cannot be determined."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return _take_lock(handle) is not True
    finally:
        os.close(handle)


def _take_lock(handle: int) -> bool | None:
    """Lock an open file; return False if another process has the lock, None on a system without locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True
