"""PyTorch's ``backends.mkl``: Intel's MKL, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Return whether weft uses Intel's MKL: False."""
    return False
