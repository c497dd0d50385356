"""Checks that a path, through symbolic links, names a regular file, before the file is read or replaced.

Replacing a device node by ``rename`` would destroy it, and opening a FIFO would wait for its other end. Both are
refused before anything is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from weft.errors import ArgumentError, ArgumentTypeError, DirectoryError, MissingFileError, PathError, mistake

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)
REASONS = {
    errno.ELOOP: "a loop of symbolic links",
    errno.ENAMETOOLONG: "a name that is too long for the file system",
    errno.ENOTDIR: "below something that is no directory",
}


def name_of(where: str, path: object) -> str:
    """Return a path as text that the file system can encode.

    Raises:
        ArgumentTypeError: for an object that is no path.
        ArgumentError: for a path that is empty or contains a NUL or a lone surrogate.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(mistake(where, "path", f"a {type(path).__name__}", "a file name"))
    name = os.fspath(path)
    if not isinstance(name, str):
        raise ArgumentTypeError(mistake(where, "path", repr(name)[:80], "a file name as text"))
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ArgumentError(
            mistake(where, "path", ascii(name)[:120], "a name that the file system can encode")
        ) from None
    if "\0" in name or not name:
        raise ArgumentError(
            mistake(where, "path", ascii(name)[:120], "a name with no NUL, and not an empty one")
        )
    return name


def target_of(where: str, path: object) -> Path:
    """Return the absolute path of the file that a write to ``path`` replaces, with symbolic links resolved.

    The file is regular or does not exist yet.

    Raises:
        DirectoryError: for a directory.
        MissingFileError: if the folder of a new file does not exist.
        PathError: for a device, FIFO or socket, a loop of links, or a name that is too long.
    """
    name = name_of(where, path)
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        target = Path(os.path.realpath(name))
        if not target.parent.is_dir():
            raise MissingFileError(
                mistake(
                    where,
                    "path",
                    repr(name),
                    "a name in a folder that is there",
                    f"make {str(target.parent)!r} first",
                )
            ) from None  # fmt: skip
        return target
    except OSError as error:
        raise _unusable(where, name, error) from None
    _expect_regular(where, name, mode)
    return Path(os.path.realpath(name))


def open_regular(where: str, path: object) -> int:
    """Return a descriptor of the regular file at ``path``, open for reading; a FIFO or a device is not opened.

    Raises:
        MissingFileError: if there is no such file.
        DirectoryError: for a directory.
        PathError: for a device, FIFO or socket, a loop of links, or a name that is too long.
    """
    name = name_of(where, path)
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    try:
        # checked before opening: opening a device can change its state
        _expect_regular(where, name, os.stat(name).st_mode)
        handle = os.open(name, flags)
    except PathError:
        raise
    except FileNotFoundError:
        raise MissingFileError(f"{where}: there is no file {name!r}, expected one") from None
    except OSError as error:
        raise _unusable(where, name, error) from None
    try:
        # checked again after opening, in case the name was given to another file in between
        _expect_regular(where, name, os.fstat(handle).st_mode)
    except PathError:
        os.close(handle)
        raise
    return handle


def _expect_regular(where: str, name: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((text for test, text in KINDS if test(mode)), "no regular file")
    error = DirectoryError if stat.S_ISDIR(mode) else PathError
    raise error(mistake(where, "path", f"{name!r}, {kind}", "the name of a regular file"))


def _unusable(where: str, name: str, error: OSError) -> Exception:
    """Return the error of a path that the system refuses; errors of permissions and disks keep the system's class."""
    reason = REASONS.get(error.errno or 0)
    if reason is None:
        return error
    return PathError(mistake(where, "path", f"{name[:120]!r}, {reason}", "the name of a regular file"))
