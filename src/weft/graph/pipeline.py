"""``compile_graph``: all stages from a graph to a plan, in order, for a target profile; no device is needed."""

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
    """Return the fused kernel calls of a graph for a target: passes, lowering, fusion and ordering."""
    return ordered(fuse(lower(passes.run(graph, profile), profile), profile), profile)


def compile_graph(graph: Graph, profile: TargetProfile, gather: Gather | None = None) -> Plan:
    """Return the plan of a graph for a target; ``UnsupportedError`` for an op without kernels there."""
    return plan(lower_graph(graph, profile), profile, gather)
