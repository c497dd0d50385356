"""``locate``: a model by its path, or by its id on the Hugging Face Hub, whose files are downloaded once."""

from __future__ import annotations

import os
import re
from pathlib import Path

from weft.engine.packages import required
from weft.errors import MissingFileError, mistake

_PART = r"[A-Za-z0-9_][\w.-]*"
_ID = re.compile(rf"(?P<repo>{_PART}/{_PART})(?P<file>(?:/{_PART})*/{_PART}\.gguf)?")
FILES = ("*.json", "*.safetensors", "*.jinja")
"""Of a repository, the files that a directory is loaded from."""


def locate(path: str | os.PathLike[str]) -> Path:
    """Return where a model lies.

    ``owner/name`` is a repository of the Hub with ``config.json`` and safetensors, ``owner/name/file.gguf`` a file in
    one; what exists at the path goes first. Needs the extra ``hub``. ``HF_HUB_OFFLINE=1`` keeps to what was downloaded
    before.

    Raises:
        MissingFileError: where the Hub has no such repository or file, or does not answer.
        MissingPackageError: where the extra is not installed.
    """
    found = _ID.fullmatch(os.fspath(path))
    if found is None or Path(path).exists() or (not found["file"] and Path(path).suffix.lower() == ".gguf"):
        return Path(path)
    library = required("huggingface_hub", f"the model {os.fspath(path)!r}, which is no path here,", "hub")
    try:
        if found["file"]:
            return Path(library.hf_hub_download(found["repo"], found["file"][1:]))
        return Path(library.snapshot_download(found["repo"], allow_patterns=list(FILES)))
    except (OSError, library.errors.HfHubHTTPError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MissingFileError(
            mistake("load", "path", repr(os.fspath(path)), f"a path, or a model of the Hub ({first[:200]})")
        ) from error
