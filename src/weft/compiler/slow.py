"""``announced``: a log line for compilations that take long, which says what is compiled and what would be faster."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from weft.graph import Graph

LOG = logging.getLogger("weft.compiler")

AFTER = 2.0
"""Seconds after which a compilation is announced."""
REPEATED = 8
"""Times that a line was traced from which on it counts as a loop."""


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
    """How large a graph is, and the line of a loop that was written out in it, with the advice to use ``scan``.

    A loop shows as one line of the user's that made the same operation many times.
    """
    text = f"still compiling a program of {len(graph.nodes):,} operations"
    places = Counter((node.site, node.op) for node in graph.nodes if node.site)
    (site, _), times = max(places.items(), key=lambda item: item[1], default=(("", ""), 0))
    if times >= REPEATED:
        text += (
            f"; the line {site} was traced some {times:,} times: "
            "a loop of equal steps is compiled once with weft.compiler.scan"
        )
    return text
