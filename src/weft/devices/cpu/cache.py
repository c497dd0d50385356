"""Compiled kernels on disk: machine code of an earlier process, by what it was made from and for.

Private to the user: the directory must be theirs, and nobody else may write to it, since what lies in it is run.
``WEFT_CACHE_DIR`` names another directory, ``WEFT_CACHE=0`` turns the cache off. Entries are written whole or not
at all; one that is damaged is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.devices.folders import private

FORMAT = b"weftcpu2"
"""The first bytes of an entry: what it is, and the version of its layout."""

LARGEST = 256 << 20
"""Bytes that the entries may take together; the longest unused go first."""

_BETWEEN = 64  # writes between two looks at the size of the whole
_ENDING = ".weftobj"
_HEAD = struct.Struct("<8s32sI")  # format, checksum of the rest, bytes of the names


@dataclass(frozen=True)
class Entry:
    """The public functions of a kernel, those that it calls and does not have, and the object file."""

    functions: tuple[str, ...]
    imports: tuple[str, ...]
    object: bytes

    def pack(self) -> bytes:
        """The bytes of the entry's file."""
        names = json.dumps([self.functions, self.imports]).encode()
        rest = names + self.object
        return _HEAD.pack(FORMAT, hashlib.sha256(rest).digest(), len(names)) + rest

    @staticmethod
    def unpack(data: bytes) -> Entry | None:
        """The entry of a file, ``None`` where the bytes are not those that were written."""
        if len(data) < _HEAD.size:
            return None
        format_, checksum, length = _HEAD.unpack_from(data)
        rest = data[_HEAD.size :]
        if format_ != FORMAT or hashlib.sha256(rest).digest() != checksum:
            return None
        functions, imports = json.loads(rest[:length])
        return Entry(tuple(functions), tuple(imports), rest[length:])


@dataclass
class Cache:
    """Entries in one directory; every process of the user may use it at the same time."""

    directory: Path
    largest: int = LARGEST
    _written: int = field(default=0, init=False)

    def get(self, key: str) -> Entry | None:
        """The entry of a key, ``None`` where there is none that is whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        entry = Entry.unpack(data)
        if entry is None:
            self.forget(key)
            return None
        with contextlib.suppress(OSError):  # another process may have dropped it meanwhile
            os.utime(path)  # used: it is the last one to go
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry. A disk that is full or read-only costs the entry, not the computation."""
        try:
            number, name = tempfile.mkstemp(dir=self.directory, suffix=".part")
        except OSError:
            return
        try:
            with os.fdopen(number, "wb") as file:
                file.write(entry.pack())
            os.replace(name, self._path(key))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            return
        if self._written % _BETWEEN == 0:
            self.trim()
        self._written += 1

    def forget(self, key: str) -> None:
        """Drop an entry that cannot be used."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def trim(self) -> None:
        """Drop the entries that were not used for longest until the rest takes three quarters of what is allowed."""
        found = []
        for path in self.directory.glob(f"*{_ENDING}"):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self.largest:
            return
        for _, size, path in sorted(found):
            if total <= self.largest * 3 // 4:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}{_ENDING}"


def key_of(parts: Sequence[str]) -> str:
    """The name of what was made from these texts: source, compiler, processor."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def find(what: str = "cpu") -> Cache | None:
    """The cache that the environment asks for (``folders.private``); ``None`` where there is none.

    ``what``: the directory in it, ``"cpu"`` for compiled kernels.
    """
    directory = private(what, "the code in it would be run", "compiled kernels are not kept")
    return None if directory is None else Cache(directory)
