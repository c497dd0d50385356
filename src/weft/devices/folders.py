"""Cache directories that are private to the user, since the files in them decide which code is run.

A folder is checked at each opening: every directory on its path belongs to the user or to root and is not writable by
others; files are opened without following links and checked by their descriptor. A key that only the user can read
authenticates the files (``Folder.sign``), so that a file that was swapped, damaged or written by another user is
refused.

``WEFT_CACHE_DIR`` names another directory than the platform's own; ``WEFT_CACHE=0`` turns the caches off.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from weft.errors import ArgumentError

KEY = "key"
"""The name of the key's file, in each folder."""
KEY_BYTES = 32
LARGEST = 1 << 30
"""The largest file that is read, in bytes."""

_POSIX = os.name == "posix"
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Unsafe(Exception):
    """A path that code would be loaded from is not safe; caught in this module, where it becomes a warning."""


class Folder:
    """A directory that only the user writes to.

    Args:
        path: The directory, which exists.
        danger: For messages: why it matters that nobody else writes there.
        loss: For messages: the consequence where the folder is not used.
    """

    def __init__(
        self, path: Path, danger: str = "the files in it are trusted", loss: str = "nothing is kept"
    ) -> None:
        self.path, self._danger, self._loss = Path(os.path.realpath(path)), danger, loss
        self._warned = False
        self._secret: bytes | None = None

    def problem(self) -> str | None:
        """Return why the folder is not safe to use, ``None`` where it is."""
        try:
            with self._opened():
                return None
        except Unsafe as error:
            return str(error)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; ``None`` where the file is missing or, with a warning, not safe to use."""
        try:
            with self._opened() as folder:
                return _read(folder, self.path, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (Unsafe, OSError) as error:
            self.warn(str(error))
            return None

    def write(self, name: str, data: bytes) -> bool:
        """Write a file atomically; return False where the disk is full or read-only, or the folder not safe."""
        try:
            with self._opened() as folder:
                part = f"{secrets.token_hex(8)}.part"
                try:
                    _write(folder, self.path, part, data)
                    _replace(folder, self.path, part, name)
                except OSError:
                    _unlink(folder, self.path, part)
                    return False
                return True
        except Unsafe as error:
            self.warn(str(error))
            return False
        except OSError:
            return False

    def remove(self, name: str) -> None:
        """Remove a file, if it exists and the folder is writable."""
        with contextlib.suppress(OSError, Unsafe), self._opened() as folder:
            _unlink(folder, self.path, name)

    def touch(self, name: str) -> None:
        """Set a file's modification time to now, as the mark of its last use."""
        with contextlib.suppress(OSError):  # another process may have removed the file
            os.utime(
                self.path / name, follow_symlinks=False
            ) if os.utime in os.supports_follow_symlinks else os.utime(self.path / name)

    def sign(self, *parts: bytes) -> bytes | None:
        """Return the HMAC-SHA256 of byte strings and their lengths; ``None`` where no key can be read or made."""
        secret = self._key()
        if secret is None:
            return None
        digest = hmac.new(secret, digestmod=hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()

    def is_signed(self, signature: bytes, *parts: bytes) -> bool:
        """Return whether ``signature`` is the digest that ``sign`` returns for these byte strings."""
        expected = self.sign(*parts)
        return expected is not None and hmac.compare_digest(expected, signature)

    def warn(self, problem: str) -> None:
        """Warn of a problem of the folder, once."""
        if not self._warned:
            self._warned = True
            warnings.warn(f"{problem}; {self._danger}: {self._loss}", RuntimeWarning, stacklevel=4)

    def _key(self) -> bytes | None:
        if self._secret is None:
            self._secret = self._read_key() or self._make_key()
        return self._secret

    def _read_key(self) -> bytes | None:
        found = self.read(KEY)
        if found is None:
            return None
        try:
            shared = _POSIX and os.lstat(self.path / KEY).st_mode & 0o077
        except OSError:
            return None
        if shared or len(found) != KEY_BYTES:
            self.warn(
                f"{self.path / KEY} may be read by others or is damaged, expected a key of the user's own"
            )
            self.remove(KEY)
            return None
        return found

    def _make_key(self) -> bytes | None:
        """Write a new key and return it; where another process was faster, return the key of that process."""
        part = f"{secrets.token_hex(8)}.part"
        try:
            with self._opened() as folder:
                _write(folder, self.path, part, secrets.token_bytes(KEY_BYTES))
                try:
                    with contextlib.suppress(FileExistsError):
                        _link(folder, self.path, part, KEY)
                finally:
                    _unlink(folder, self.path, part)
        except (OSError, Unsafe):
            return None
        return self._read_key()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Yield the folder's descriptor, for calls relative to it; ``None`` on systems without such calls.

        Raises:
            Unsafe: Where the folder, or a directory above it, may be changed by others.
        """
        if not _POSIX:
            yield None
            return
        for above in reversed(self.path.parents):
            _check_above(above)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise Unsafe(f"{self.path} cannot be opened as a directory ({error.strerror})") from None
        try:
            _check_own(self.path, os.fstat(handle))
            yield handle
        finally:
            os.close(handle)


def private(name: str, danger: str, loss: str) -> Folder | None:
    """Return the user's cache directory ``name``; ``None`` where caches are turned off, or no file can be written.

    An unsafe default directory is not used, with a warning that states ``loss``.

    Raises:
        ArgumentError: For a ``WEFT_CACHE_DIR`` that cannot be used or is open to others (the message states
            ``danger``), and for a ``WEFT_CACHE`` that is neither 0 nor 1.
    """
    switch = os.environ.get("WEFT_CACHE", "1")
    if switch not in ("0", "1", ""):
        raise ArgumentError(f"WEFT_CACHE is {switch!r}, expected 0 or 1")
    if switch == "0":
        return None
    asked = os.environ.get("WEFT_CACHE_DIR")
    directory = (Path(asked) if asked else _default()) / name
    try:
        _make(directory)
    except OSError as error:
        if asked:
            raise ArgumentError(
                f"WEFT_CACHE_DIR is {asked!r}, expected a directory for files: {error}"
            ) from None
        return None
    folder = Folder(directory, danger, loss)
    problem = folder.problem()
    if problem is None:
        return folder
    if asked:
        raise ArgumentError(f"WEFT_CACHE_DIR: {problem}; {danger}")
    folder.warn(problem)
    return None


def _make(directory: Path) -> None:
    """Create a directory and its missing parents, each accessible to the user alone whatever the umask."""
    for path in (*reversed(directory.parents), directory):
        if not path.is_dir():
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is no directory")


def _check_above(path: Path) -> None:
    """Check a parent directory: it belongs to the user or root, and others cannot replace its entries.

    The mode, or the sticky bit, keeps others from replacing entries.
    """
    state = os.lstat(path)
    if not stat.S_ISDIR(state.st_mode):
        raise Unsafe(f"{path} is no longer a directory")
    if state.st_uid not in (0, os.getuid()):
        raise Unsafe(f"{path} belongs to user {state.st_uid}, expected one of yours or root's")
    if not state.st_mode & stat.S_ISVTX:
        _check_writers(path, state)


def _check_own(path: Path, state: os.stat_result) -> None:
    """Check that a directory or file belongs to the user, and that nobody else may write to it."""
    if state.st_uid != os.getuid():
        raise Unsafe(f"{path} belongs to user {state.st_uid}, expected one that only you can write to")
    _check_writers(path, state)


def _check_writers(path: Path, state: os.stat_result) -> None:
    others = state.st_mode & stat.S_IWOTH or state.st_mode & stat.S_IWGRP and not _is_own_group(state.st_gid)
    if others:
        mode = f"{stat.S_IMODE(state.st_mode):o}"
        raise Unsafe(
            f"{path} may be written by others (mode {mode}), expected one that only you can write to"
        )


def _is_own_group(group: int) -> bool:
    """Return whether a group is the user's private group (same name as the user), without other members."""
    if sys.platform == "win32":
        return False
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


# Calls on a file of a folder. They are relative to the folder's descriptor where the system supports that, so that they
# apply to the very folder that was checked.


def _read(folder: int | None, path: Path, name: str) -> bytes:
    handle = os.open(path / name, _READ) if folder is None else os.open(name, _READ, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise Unsafe(f"{path / name} is no regular file")
        if _POSIX:
            _check_own(path / name, state)
        if state.st_size > LARGEST:
            raise Unsafe(f"{path / name} takes {state.st_size} bytes, expected at most {LARGEST}")
        return file.read()


def _write(folder: int | None, path: Path, name: str, data: bytes) -> None:
    handle = (
        os.open(path / name, _CREATE, 0o600)
        if folder is None
        else os.open(name, _CREATE, 0o600, dir_fd=folder)
    )
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _replace(folder: int | None, path: Path, source: str, target: str) -> None:
    if folder is None:
        os.replace(path / source, path / target)
    else:
        os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder)


def _link(folder: int | None, path: Path, source: str, target: str) -> None:
    if folder is None:
        os.link(path / source, path / target)
    else:
        os.link(source, target, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)


def _unlink(folder: int | None, path: Path, name: str) -> None:
    with contextlib.suppress(OSError):
        if folder is None:
            os.unlink(path / name)
        else:
            os.unlink(name, dir_fd=folder)


def _default() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "weft" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "weft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"
