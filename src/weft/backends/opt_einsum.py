"""PyTorch's ``backends.opt_einsum``: settings that are accepted and change nothing."""

from __future__ import annotations

enabled = True
strategy = "auto"


def is_available() -> bool:
    """Whether weft uses opt_einsum: False."""
    return False
