"""Optimisation passes on graphs: functions ``Graph -> Graph`` that run before lowering.

``PASSES`` lists the passes in order; ``run`` repeats them until no pass changes the graph.
"""

from __future__ import annotations

from collections.abc import Callable

from weft.graph.ir import Graph
from weft.graph.passes.bodies import bodies
from weft.graph.passes.cse import cse
from weft.graph.passes.dce import dce
from weft.graph.passes.patterns import patterns
from weft.graph.passes.scales import scales
from weft.graph.passes.simplify import simplify
from weft.target import TargetProfile

Pass = Callable[[Graph, TargetProfile], Graph]
Observe = Callable[[str, Graph], None]


def _plain(rewrite: Callable[[Graph], Graph]) -> Pass:
    """Return a pass that ignores the target."""
    return lambda graph, profile: rewrite(graph)


PASSES: tuple[tuple[str, Pass], ...] = (
    ("simplify", _plain(simplify)),
    ("cse", _plain(cse)),
    ("dce", _plain(dce)),
    ("bodies", _plain(bodies)),
    ("patterns", _plain(patterns)),
    ("scales", scales),
)
"""Name and function of each pass, in order."""
ROUNDS = 8
"""The most repetitions of the passes; usually two suffice, of which the second changes nothing."""


def run(graph: Graph, profile: TargetProfile, observe: Observe | None = None) -> Graph:
    """Return the graph after all passes; ``observe`` is called with the name and graph of each pass that changed it."""
    unchanged = 0
    for name, pass_ in PASSES * ROUNDS:
        found = pass_(graph, profile)
        unchanged = unchanged + 1 if found is graph else 0
        if found is not graph and observe is not None:
            observe(name, found)
        graph = found
        if unchanged == len(PASSES):
            break
    return graph


__all__ = ["PASSES", "bodies", "cse", "dce", "patterns", "run", "scales", "simplify"]
