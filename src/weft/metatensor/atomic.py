"""A file that is there whole, or not at all: written under another name, on disk before it takes its own."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

BUFFER = 1 << 20


class _Descriptor(io.RawIOBase):
    """An open file by its number, which somebody else closes: what an error leaves in a buffer is not written later."""

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
    """A file to write, which takes the place of ``path`` when the block ends, and is gone if it fails.

    The bytes are flushed to disk (fsync) before the rename, and the directory after it. An older file keeps its
    permissions; through a symbolic link the file behind it is replaced.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a")
    ...     with replacing(path) as file:
    ...         _ = file.write(b"whole")
    ...     path.read_bytes()
    b'whole'
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(target)!r} is a directory, expected the name of a file")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        try:
            file = io.BufferedWriter(_Descriptor(handle), BUFFER)
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the new name is on disk once its directory is
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
