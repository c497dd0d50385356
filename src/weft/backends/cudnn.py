"""PyTorch's ``backends.cudnn``: settings that are accepted and change nothing, as there is no cuDNN."""

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
    """Whether there is cuDNN: False."""
    return False


def version() -> int | None:
    """The version of cuDNN: ``None``, there is none."""
    return None


@contextmanager
def flags(**settings: Any) -> Iterator[None]:
    """Accept settings for a block; they change nothing."""
    yield
