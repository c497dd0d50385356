"""PyTorch's ``backends.cudnn``: settings that are accepted without effect, since weft does not use cuDNN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True
fp32_precision = "none"


def is_available() -> bool:
    """Return whether there is cuDNN: False."""
    return False


def version() -> int | None:
    """Return the version of cuDNN: ``None``, since weft does not use it."""
    return None


@contextmanager
def flags(**settings: Any) -> Iterator[None]:
    """Accept settings for a ``with`` block, without effect."""
    yield
