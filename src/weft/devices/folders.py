"""Directories for what processes keep for later ones, private to the user: what lies there decides what is run.

``WEFT_CACHE_DIR`` names another place than the platform's own, ``WEFT_CACHE=0`` turns keeping off.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from pathlib import Path

from weft.errors import ArgumentError


def private(name: str, danger: str, loss: str) -> Path | None:
    """The user's own directory of that name; ``None`` where keeping is turned off, or the home takes no files.

    ``ArgumentError`` for a ``WEFT_CACHE_DIR`` that cannot be used or is open to others (``danger`` says why that
    matters), and for a ``WEFT_CACHE`` that is neither 0 nor 1. An unsafe default directory is left alone, with a
    warning that says what is lost.
    """
    switch = os.environ.get("WEFT_CACHE", "1")
    if switch not in ("0", "1", ""):
        raise ArgumentError(f"WEFT_CACHE is {switch!r}, expected 0 or 1")
    if switch == "0":
        return None
    asked = os.environ.get("WEFT_CACHE_DIR")
    directory = (Path(asked) if asked else _default()) / name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = _unsafe(directory)
    except OSError as error:
        if asked:
            raise ArgumentError(
                f"WEFT_CACHE_DIR is {asked!r}, expected a directory for files: {error}"
            ) from None
        return None
    if problem is None:
        return directory
    text = f"{directory} {problem}, expected one that only you can write to; {danger}"
    if asked:
        raise ArgumentError(f"WEFT_CACHE_DIR: {text}")
    warnings.warn(f"{text}: {loss}", RuntimeWarning, stacklevel=3)
    return None


def _unsafe(directory: Path) -> str | None:
    """What is wrong with a directory that code is loaded from."""
    if not hasattr(os, "getuid"):
        return None  # Windows: the profile's folders are the user's own
    state = directory.stat()
    if state.st_uid != os.getuid():
        return f"belongs to user {state.st_uid}"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"may be written by others (mode {stat.S_IMODE(state.st_mode):o})"
    return None


def _default() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "weft" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "weft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"
