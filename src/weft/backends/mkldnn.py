"""PyTorch's ``backends.mkldnn``: settings that are accepted without effect, since weft does not use oneDNN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

enabled = True
deterministic = False
allow_tf32 = True
fp32_precision = "none"


def is_available() -> bool:
    """Return whether weft uses oneDNN: False."""
    return False


@contextmanager
def flags(**settings: Any) -> Iterator[None]:
    """Accept settings for a ``with`` block, without effect."""
    yield
