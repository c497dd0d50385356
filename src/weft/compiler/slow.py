"""``announced``: a log line for compilations that take long, which says what is compiled and what would be faster.

It is a warning of the logger ``weft.compiler``: programs that configure no logging see it on standard error, after two
seconds and not sooner.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from weft.compiler.loops import written_out
from weft.graph import Graph

LOG = logging.getLogger("weft.compiler")

AFTER = 2.0
"""Seconds after which a compilation is announced."""


@contextmanager
def announced(graph: Graph) -> Iterator[None]:
    """Log what is being compiled, once, if it is not done after ``AFTER`` seconds."""
    timer = threading.Timer(AFTER, lambda: LOG.warning("%s", description(graph)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def description(graph: Graph) -> str:
    """How large a graph is, and the lines of a loop that was written out in it, with the advice to use ``scan``."""
    text = f"still compiling a program of {len(graph.nodes):,} operations"
    loop = written_out(graph)
    if loop is not None:
        where = f" at the {loop.lines}" if loop.lines else ""
        text += (
            f"; it holds some {loop.steps:,} equal steps of a loop{where}: "
            "a loop of equal steps is compiled once with weft.compiler.scan"
        )
    return text
