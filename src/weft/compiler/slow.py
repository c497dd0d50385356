"""``announced``: log a warning for a compilation that takes long, with advice where the graph holds an unrolled loop.

The warning goes to the logger ``weft.compiler`` after two seconds. Programs that configure no logging see it on
standard error.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from weft.compiler.unrolled import unrolled_loop
from weft.graph import Graph

LOG = logging.getLogger("weft.compiler")

AFTER = 2.0
"""Seconds after which a compilation is announced."""


@contextmanager
def announced(graph: Graph) -> Iterator[None]:
    """Log a description of the graph if the block has not ended after ``AFTER`` seconds."""
    timer = threading.Timer(AFTER, lambda: LOG.warning("%s", description(graph)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def description(graph: Graph) -> str:
    """Return the size of a graph in words, and the lines of an unrolled loop in it, with the advice to use ``scan``."""
    text = f"still compiling a program of {len(graph.nodes):,} operations"
    loop = unrolled_loop(graph)
    if loop is not None:
        where = f" at the {loop.lines}" if loop.lines else ""
        text += (
            f"; it contains an unrolled loop of about {loop.steps:,} steps{where}: "
            "weft.compiler.scan compiles the body of such a loop once"
        )
    return text
