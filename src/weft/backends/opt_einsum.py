"""PyTorch's ``backends.opt_einsum``: settings that are accepted without effect."""

from __future__ import annotations

enabled = True
strategy = "auto"


def is_available() -> bool:
    """Return whether weft uses opt_einsum: False."""
    return False
