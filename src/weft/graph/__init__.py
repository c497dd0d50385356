"""The graph IR: traced programs as frozen data, with tracing, passes, lowering, fusion and planning."""

from weft.graph.abstract import Abstract, AbstractValue
from weft.graph.interpret import interpret
from weft.graph.ir import Graph, Node, State, Var
from weft.graph.pipeline import compile_graph
from weft.graph.tracing import Tracer, Tracing

__all__ = [
    "Abstract",
    "AbstractValue",
    "Graph",
    "Node",
    "State",
    "Tracer",
    "Tracing",
    "Var",
    "compile_graph",
    "interpret",
]
