"""Packages that the engine needs and weft itself does not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from weft.errors import MissingPackageError


def required(name: str, purpose: str, extra: str = "engine") -> Any:
    """Import a package of an extra; ``MissingPackageError`` says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs the package {name!r}, which is not installed: pip install 'weft[{extra}]'"
        ) from error
