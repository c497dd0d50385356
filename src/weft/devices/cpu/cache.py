"""The disk cache of compiled kernels: machine code of earlier processes, keyed by source, compiler and processor.

An entry holds its key and a keyed digest of its contents, so that an entry that was renamed, damaged or written by
another user is not run (``folders``). Entries are written atomically; a damaged entry is compiled anew, with a warning.
``WEFT_CACHE_DIR`` names another directory, ``WEFT_CACHE=0`` turns the cache off.
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
"""The first bytes of an entry: the file type, and the version of the entry's layout."""

LARGEST = 256 << 20
"""The size of the cache, in bytes; the least recently used entries are removed first."""

_BETWEEN = 64  # writes between two checks of the cache's size
_ENDING = ".weftobj"
_HEAD = struct.Struct("<8s32sII")  # format, keyed digest of the rest, bytes of the key and of the names


@dataclass(frozen=True)
class Entry:
    """A compiled kernel: the functions that it exports, the functions that it imports, and the object file."""

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
        """Return the entry of a file's bytes; ``None`` where their digest is not valid for this key."""
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
    """The entries in a directory, which all processes of the user may share."""

    folder: Folder
    largest: int = LARGEST
    _written: int = field(default=0, init=False)

    @property
    def directory(self) -> Path:
        """The directory of the entries."""
        return self.folder.path

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key; ``None`` where there is no valid entry that this user wrote."""
        data = self.folder.read(key + _ENDING)
        if data is None:
            return None
        entry = Entry.unpack(data, key, self.folder) if data.startswith(FORMAT) else None
        if entry is None:
            other_version = data.startswith(FORMAT[:-1]) and not data.startswith(FORMAT)
            if not other_version:
                self.folder.warn(
                    f"{self.directory / (key + _ENDING)} is damaged, or was not written under this name"
                )
            self.forget(key)
            return None
        self.folder.touch(key + _ENDING)  # marks the entry as the most recently used
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Write an entry. On a full or read-only disk the entry is not kept, and no error is raised."""
        data = entry.pack(key, self.folder)
        if data is None or not self.folder.write(key + _ENDING, data):
            return
        if self._written % _BETWEEN == 0:
            self.trim()
        self._written += 1

    def forget(self, key: str) -> None:
        """Remove an entry that cannot be used."""
        self.folder.remove(key + _ENDING)

    def trim(self) -> None:
        """Remove the least recently used entries of a cache over ``largest``, down to three quarters of it."""
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
    """Return the key of a compilation from the texts that determine it: source, compiler, processor."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def find(name: str = "cpu") -> Cache | None:
    """Return the cache in the user's cache directory ``name`` (``folders.private``); ``None`` where caches are off."""
    folder = private(name, "the code in it would be run", "kernels are compiled anew")
    return None if folder is None else Cache(folder)
