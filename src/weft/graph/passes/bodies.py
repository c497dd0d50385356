"""``bodies``: remove unused results of loops and branches, and operands that are unused then.

A loop that was recorded for a gradient returns the carried values at the start of each step; where no gradient reads
them, they are removed. Carried values themselves stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.graph.ir import Graph, Node, Var
from weft.graph.passes.dce import dce

Narrow = Callable[[Node, dict[str, Any], set[int]], "Node | None"]
"""Returns a node without unused results and operands, or ``None`` where all are used; takes attributes and live ids."""


def bodies(graph: Graph) -> Graph:
    """Return the graph with loops and branches that return only results that are read.

    >>> import weft as wf
    >>> x = wf.ones(3, device="cpu")
    >>> traced = wf.compiler.trace(lambda x: wf.compiler.scan(lambda c, x: (c + x, c.exp()), x[0], x)[0], x)
    >>> [len(node.outputs) for node in bodies(traced.graph).nodes if node.op == "scan"]
    [1]
    """
    if not any(node.op in NARROW for node in graph.nodes):
        return graph
    live = {output.id for output in graph.outputs if isinstance(output, Var)}
    live.update(state.final.id for state in graph.states)
    changed = False
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if node.op in NARROW and any(out.id in live for out in node.outputs):
            found = NARROW[node.op](node, dict(node.attributes), live)
            changed = changed or found is not None
            node = found or node
        live.update(source.id for source in node.inputs if isinstance(source, Var))
        nodes.append(node)
    return Graph(graph.inputs, graph.states, tuple(reversed(nodes)), graph.outputs) if changed else graph


def _scan(node: Node, options: dict[str, Any], live: set[int]) -> Node | None:
    body: Graph = options["body"]
    carries, sequences = options["carries"], options["sequences"]
    kept = [at for at, out in enumerate(node.outputs) if at < carries or out.id in live]
    made = _giving(body, kept)
    read = _read((made,), range(carries, len(body.inputs)))
    if len(kept) == len(node.outputs) and len(read) == len(body.inputs) - carries:
        return None
    taken = [*range(carries), *read]
    options |= {"body": _taking(made, taken), "sequences": sum(at < carries + sequences for at in read)}
    if not options["sequences"] and not carries:
        return None  # a loop needs at least one operand
    return _narrowed(node, [node.inputs[at] for at in taken], kept, options)


def _cond(node: Node, options: dict[str, Any], live: set[int]) -> Node | None:
    kept = [at for at, out in enumerate(node.outputs) if out.id in live]
    made = tuple(_giving(options[name], kept) for name in ("then", "otherwise"))
    taken = _read(made, range(len(node.inputs) - 1))
    if len(kept) == len(node.outputs) and len(taken) == len(node.inputs) - 1:
        return None
    options |= {"then": _taking(made[0], taken), "otherwise": _taking(made[1], taken)}
    return _narrowed(node, [node.inputs[0], *(node.inputs[1 + at] for at in taken)], kept, options)


def _while(node: Node, options: dict[str, Any], live: set[int]) -> Node | None:
    graphs = (options["condition"], options["body"])
    carries = options["carries"]
    read = _read(graphs, range(carries, len(node.inputs)))
    if len(read) == len(node.inputs) - carries:
        return None
    taken = [*range(carries), *read]
    options |= {"condition": _taking(graphs[0], taken), "body": _taking(graphs[1], taken)}
    return _narrowed(node, [node.inputs[at] for at in taken], range(carries), options)


NARROW: dict[str, Narrow] = {"scan": _scan, "cond": _cond, "while_loop": _while}


def _giving(body: Graph, kept: Sequence[int]) -> Graph:
    """Return a body with some of its results, without nodes that are dead then."""
    outputs = tuple(body.outputs[at] for at in kept)
    return dce(Graph(body.inputs, body.states, body.nodes, outputs))


def _read(graphs: Sequence[Graph], places: Sequence[int]) -> list[int]:
    """Return the positions, among ``places``, of the inputs that at least one of the bodies reads."""
    used = [
        {source.id for node in graph.nodes for source in node.inputs if isinstance(source, Var)}
        | {output.id for output in graph.outputs if isinstance(output, Var)}
        for graph in graphs
    ]
    return [
        at
        for at in places
        if any(graph.inputs[at].id in ids for graph, ids in zip(graphs, used, strict=True))
    ]


def _taking(body: Graph, taken: Sequence[int]) -> Graph:
    return Graph(tuple(body.inputs[at] for at in taken), body.states, body.nodes, body.outputs)


def _narrowed(node: Node, inputs: Sequence[Any], kept: Sequence[int], options: dict[str, Any]) -> Node:
    outputs = tuple(node.outputs[at] for at in kept)
    return Node(node.op, tuple(inputs), outputs, tuple(options.items()), node.site)
