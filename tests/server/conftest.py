"""The server that most tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import Served, load, serving
from weft.engine import Engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Return the tiny engine."""
    with load(tmp_path_factory.mktemp("server")) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def served(engine: Engine) -> Iterator[Served]:
    """Return a server with default settings, which allows embeddings."""
    with serving(engine, pooling="mean") as running:
        yield running
