"""``compile_graph``: all stages from a graph to a plan, in order. Nothing here knows a device."""

from __future__ import annotations

from weft.graph import passes
from weft.graph.fuse.fusing import fuse
from weft.graph.ir import Graph
from weft.graph.lower.blocks import lower
from weft.graph.lower.lowered import Lowered
from weft.graph.lower.ordering import ordered
from weft.graph.plan.planning import Gather, plan
from weft.plan import Plan
from weft.target import TargetProfile


def lower_graph(graph: Graph, profile: TargetProfile) -> Lowered:
    """The fused kernel calls of a graph for a target, after all passes."""
    return ordered(fuse(lower(passes.run(graph, profile), profile), profile), profile)


def compile_graph(graph: Graph, profile: TargetProfile, gather: Gather | None = None) -> Plan:
    """The plan of a graph for a target; ``UnsupportedError`` where an op of it has no kernels there."""
    return plan(lower_graph(graph, profile), profile, gather)
