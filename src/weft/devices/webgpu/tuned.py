"""Measured kernel choices on disk: a JSON file for each adapter and driver, private to the user.

The file has a version and is written atomically. A file that cannot be read is ignored, with a warning, and written
anew by the next ``weft tune``.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from weft.devices.folders import Folder, private
from weft.devices.webgpu.adapters import AdapterInfo
from weft.target import Choices

FORMAT = 2
"""The version of the file's form, and of the meaning of its choices."""


def path_of(info: AdapterInfo) -> Path | None:
    """Return the file of an adapter with its present driver; ``None`` where caches are off."""
    folder = _folder()
    return None if folder is None else folder.path / _name(info)


def _folder() -> Folder | None:
    return private("tuned", "the files in it decide which kernels are generated", "choices are not kept")


def _name(info: AdapterInfo) -> str:
    named = "\n".join((info.backend, info.device, info.driver))
    return f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.json"


def load(info: AdapterInfo) -> Choices:
    """Return the choices of an adapter; none, with a warning, where the file is damaged or of a newer weft."""
    folder = _folder()
    text = None if folder is None else folder.read(_name(info))
    if folder is None or text is None:
        return {}
    try:
        found = json.loads(text)
        made = _choices(found, info)
        if not folder.is_signed(_signature(found), _signed(info, made)):
            raise ValueError("its digest is not that of its choices")
    except (ValueError, RecursionError) as error:  # invalid JSON and UTF-8 raise ValueError, too
        path = folder.path / _name(info)
        warnings.warn(f"{path} is ignored: {error}; `weft tune` writes it anew", RuntimeWarning, stacklevel=2)
        return {}
    return made


def _signed(info: AdapterInfo, choices: Choices) -> bytes:
    """Return the bytes that a file's digest covers: all that is read from the file, and its adapter."""
    return json.dumps([FORMAT, info.backend, info.device, info.driver, sorted(choices.items())]).encode()


def _signature(found: dict[str, Any]) -> bytes:
    digest = found.get("digest")
    return bytes.fromhex(digest) if isinstance(digest, str) else b""


def _choices(found: Any, info: AdapterInfo) -> Choices:
    """Return the choices of a file's contents; raises ``ValueError`` with the problem of invalid contents."""
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise ValueError("it is no list of choices")
    if found["format"] != FORMAT:
        raise ValueError(f"its format is {found['format']}, expected {FORMAT}, that of this version of weft")
    if (found.get("device"), found.get("driver")) != (info.device, info.driver):
        raise ValueError(f"it is of {found.get('device')!r} with {found.get('driver')!r}")
    choices = found.get("choices")
    if not isinstance(choices, dict):
        raise ValueError("its choices are missing")
    made = {}
    for asked, answer in choices.items():
        named = isinstance(answer, list) and len(answer) == 2 and isinstance(answer[0], str)
        if not named or type(answer[1]) is not int or answer[1] < 0:
            raise ValueError(f"the choice for {asked!r} is {answer!r}, expected a name and a number")
        made[asked] = (answer[0], answer[1])
    return made


def save(info: AdapterInfo, choices: Choices) -> Path | None:
    """Write an adapter's choices; return the file, or ``None`` where caches are off or the disk is not writable."""
    folder = _folder()
    digest = None if folder is None else folder.sign(_signed(info, choices))
    if folder is None or digest is None:
        return None
    contents = {
        "format": FORMAT,
        "device": info.device,
        "driver": info.driver,
        "choices": {asked: list(answer) for asked, answer in sorted(choices.items())},
        "digest": digest.hex(),
    }
    written = folder.write(_name(info), json.dumps(contents, indent=1).encode())
    return folder.path / _name(info) if written else None
