"""``dce``: dead code elimination, the removal of nodes that no output and no state needs.

Errors that a removed node would have reported (an index out of range) are not reported. All states stay.
"""

from __future__ import annotations

from weft.graph.ir import Graph, Node, Var


def dce(graph: Graph) -> Graph:
    """Return the graph with only the nodes that an output or a state's final value depends on.

    >>> import weft as wf
    >>> traced = wf.compiler.trace(lambda x: (x.exp(), x + 1)[1], wf.ones(2))
    >>> [node.op for node in dce(traced.graph).nodes]
    ['add']
    """
    live = {output.id for output in graph.outputs if isinstance(output, Var)}
    live.update(state.final.id for state in graph.states)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(out.id in live for out in node.outputs):
            kept.append(node)
            live.update(source.id for source in node.inputs if isinstance(source, Var))
    if len(kept) == len(graph.nodes):
        return graph
    return Graph(graph.inputs, graph.states, tuple(reversed(kept)), graph.outputs)
