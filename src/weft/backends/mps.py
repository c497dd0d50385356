"""PyTorch's ``backends.mps``: whether there is Metal Performance Shaders, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Whether weft uses Metal Performance Shaders: False."""
    return False


def is_built() -> bool:
    """Whether weft was built with it: False."""
    return False


def is_macos13_or_newer() -> bool:
    """Whether it may be used on this system: False."""
    return False
