"""PyTorch's ``backends.mkl``: whether there is Intel's MKL, which weft does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Whether weft uses Intel's MKL: False."""
    return False
