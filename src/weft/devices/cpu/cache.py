"""Compiled kernels on disk: machine code of an earlier process, by what it was made from and for.

An entry holds its key and a keyed digest of everything in it, so that one that was renamed, damaged or written by
another user is not run (``folders``). Entries are written whole or not at all; one that is not whole is made anew, with
a warning. ``WEFT_CACHE_DIR`` names another directory, ``WEFT_CACHE=0`` turns the cache off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.devices.folders import Folder, private

FORMAT = b"weftcpu3"
"""The first bytes of an entry: what it is, and the version of its layout."""

LARGEST = 256 << 20
"""Bytes that the entries may take together; the longest unused go first."""

_BETWEEN = 64  # writes between two looks at the size of the whole
_ENDING = ".weftobj"
_HEAD = struct.Struct("<8s32sII")  # format, keyed digest of the rest, bytes of the key and of the names


@dataclass(frozen=True)
class Entry:
    """The public functions of a kernel, those that it calls and does not have, and the object file."""

    functions: tuple[str, ...]
    imports: tuple[str, ...]
    object: bytes

    def pack(self, key: str, folder: Folder) -> bytes | None:
        """Return the bytes of the entry's file; ``None`` where the folder has no key to sign it with."""
        name, names = key.encode(), json.dumps([self.functions, self.imports]).encode()
        signature = folder.sign(FORMAT, name, names, self.object)
        if signature is None:
            return None
        return _HEAD.pack(FORMAT, signature, len(name), len(names)) + name + names + self.object

    @staticmethod
    def unpack(data: bytes, key: str, folder: Folder) -> Entry | None:
        """Return the entry of a file, ``None`` where the bytes are not those that were written under this key."""
        if len(data) < _HEAD.size:
            return None
        _, signature, key_length, names_length = _HEAD.unpack_from(data)
        end = _HEAD.size + key_length
        name, names, code = data[_HEAD.size : end], data[end : end + names_length], data[end + names_length :]
        if name != key.encode() or not folder.is_signed(signature, FORMAT, name, names, code):
            return None
        functions, imports = json.loads(names)
        return Entry(tuple(functions), tuple(imports), code)


@dataclass
class Cache:
    """Entries in one directory; every process of the user may use it at the same time."""

    folder: Folder
    largest: int = LARGEST
    _written: int = field(default=0, init=False)

    @property
    def directory(self) -> Path:
        """Where the entries are."""
        return self.folder.path

    def get(self, key: str) -> Entry | None:
        """The entry of a key, ``None`` where there is none that is whole and of this user's own."""
        data = self.folder.read(key + _ENDING)
        if data is None:
            return None
        entry = Entry.unpack(data, key, self.folder) if data.startswith(FORMAT) else None
        if entry is None:
            if data.startswith(FORMAT) or not data.startswith(FORMAT[:-1]):  # not that of another version
                self.folder.warn(
                    f"{self.directory / (key + _ENDING)} is damaged, or not what was written under its name"
                )
            self.forget(key)
            return None
        self.folder.touch(key + _ENDING)  # used: it is the last one to go
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry. A disk that is full or read-only costs the entry, not the computation."""
        data = entry.pack(key, self.folder)
        if data is None or not self.folder.write(key + _ENDING, data):
            return
        if self._written % _BETWEEN == 0:
            self.trim()
        self._written += 1

    def forget(self, key: str) -> None:
        """Drop an entry that cannot be used."""
        self.folder.remove(key + _ENDING)

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
    folder = private(what, "the code in it would be run", "compiled kernels are made anew")
    return None if folder is None else Cache(folder)
