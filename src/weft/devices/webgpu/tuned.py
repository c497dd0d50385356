"""Choices that were measured on an adapter, on disk: one file for each adapter and driver, private to the user.

The file is JSON with a version. It is written whole or not at all; one that cannot be read is ignored, with a warning
that says so, and written anew by the next ``weft tune``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from weft.devices.folders import private
from weft.devices.webgpu.adapters import AdapterInfo
from weft.target import Choices

FORMAT = 1
"""The version of the file's form, and of what is asked and answered in it."""


def path_of(info: AdapterInfo) -> Path | None:
    """The file of an adapter with its present driver; ``None`` where nothing is kept."""
    directory = private("tuned", "what lies in it decides which kernels are made", "choices are not kept")
    if directory is None:
        return None
    named = "\n".join((info.backend, info.device, info.driver))
    return directory / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.json"


def load(info: AdapterInfo) -> Choices:
    """What was measured on an adapter; nothing, with a warning, where the file is damaged or of a newer weft."""
    path = path_of(info)
    if path is None:
        return {}
    try:
        text = path.read_bytes()
    except OSError:
        return {}
    try:
        return _choices(json.loads(text), info)
    except ValueError as error:  # what is no JSON and no UTF-8 is one too
        warnings.warn(f"{path} is ignored: {error}; `weft tune` writes it anew", RuntimeWarning, stacklevel=2)
        return {}


def _choices(found: Any, info: AdapterInfo) -> Choices:
    """The choices of a file's contents; ``ValueError`` says what is wrong with them."""
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
    """Write an adapter's choices; gives the file, or ``None`` where nothing is kept or the disk takes no files."""
    path = path_of(info)
    if path is None:
        return None
    contents = {
        "format": FORMAT,
        "device": info.device,
        "driver": info.driver,
        "choices": {asked: list(answer) for asked, answer in sorted(choices.items())},
    }
    try:
        number, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError:
        return None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(contents, file, indent=1)
        os.replace(name, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        return None
    return path
