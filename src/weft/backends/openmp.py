"""PyTorch's ``backends.openmp``: whether there is OpenMP, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Whether weft uses OpenMP: False."""
    return False
