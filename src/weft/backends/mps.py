"""PyTorch's ``backends.mps``: Metal Performance Shaders, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Return whether weft uses Metal Performance Shaders: False."""
    return False


def is_built() -> bool:
    """Return whether weft was built with Metal Performance Shaders: False."""
    return False


def is_macos13_or_newer() -> bool:
    """Return whether Metal Performance Shaders can be used on this version of macOS: False."""
    return False
