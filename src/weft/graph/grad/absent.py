"""``without``: a backward graph for the case that some of its seeds (the gradients of results) are absent.

On the tape, a node that no gradient reaches does not run, and its operands get no gradient. Likewise here: a node whose
gradients are all absent is removed and its results are absent; a sum with an absent term becomes the other term.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from weft.graph.ir import Atom, Graph, Node, Var
from weft.graph.passes.dce import dce


def without(graph: Graph, seeds: Sequence[Var], absent: Collection[int]) -> tuple[Graph, tuple[int, ...]]:
    """Return the graph without the absent seeds, and the positions of the outputs that remain.

    Args:
        graph: a backward graph.
        seeds: the inputs of the graph in which it is linear.
        absent: the ids of the absent seeds.
    """
    late = {var.id for var in seeds}
    gone = set(absent)
    instead: dict[int, Var] = {}
    nodes: list[Node] = []
    made = [out.id for node in graph.nodes for out in node.outputs]
    fresh = 1 + max([*made, *(var.id for var in graph.inputs)], default=0)
    for node in graph.nodes:
        flowing = [source for source in node.inputs if isinstance(source, Var) and source.id in late]
        if not flowing:
            nodes.append(node)
            continue
        late.update(out.id for out in node.outputs)
        if all(source.id in gone for source in flowing):
            gone.update(out.id for out in node.outputs)
            continue
        left = [source for source in flowing if source.id not in gone]
        if node.op == "add" and len(flowing) == 2 and len(left) == 1 and left[0].type == node.outputs[0].type:
            instead[node.outputs[0].id] = instead.get(left[0].id, left[0])
            continue
        inputs: list[Atom] = []
        for source in node.inputs:
            if isinstance(source, Var) and source.id in gone:
                source = Var(fresh, source.type, source.device)
                fresh += 1
                kind = (("shape", source.type.shape), ("dtype", source.type.dtype), ("device", source.device))
                nodes.append(Node("full", (0,), (source,), kind, node.site))
            inputs.append(instead.get(source.id, source) if isinstance(source, Var) else source)
        nodes.append(replace(node, inputs=tuple(inputs)))
    kept = tuple(
        at for at, output in enumerate(graph.outputs) if not (isinstance(output, Var) and output.id in gone)
    )
    outputs = [graph.outputs[at] for at in kept]
    found = tuple(instead.get(output.id, output) if isinstance(output, Var) else output for output in outputs)
    inputs_left = tuple(var for var in graph.inputs if var.id not in gone)
    return dce(Graph(inputs_left, graph.states, tuple(nodes), found)), kept
