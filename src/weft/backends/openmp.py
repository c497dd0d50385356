"""PyTorch's ``backends.openmp``: OpenMP, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Return whether weft uses OpenMP: False."""
    return False
