"""``cse``: common subexpression elimination.

Random nodes are never merged. A recomputation begins with a ``barrier``, which is never merged either, so that its
nodes have other operands than the nodes that they repeat.
"""

from __future__ import annotations

import math
from typing import Any

from weft.graph.ir import Atom, Graph, Node, Var
from weft.graph.passes.rewrite import Rewriting
from weft.ops import lookup

APART = frozenset({"barrier"})
"""Ops that are never merged, besides random ops."""


def cse(graph: Graph) -> Graph:
    """Return the graph with equal nodes merged into the first of them.

    >>> import weft as wf
    >>> traced = wf.compiler.trace(lambda x: x.exp() * x.exp(), wf.ones(2))
    >>> [node.op for node in cse(traced.graph).nodes]
    ['exp', 'mul']
    """
    known: dict[Any, Node] = {}
    instead: dict[int, Var] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if any(isinstance(source, Var) and source.id in instead for source in node.inputs):
            inputs = tuple(instead.get(i.id, i) if isinstance(i, Var) else i for i in node.inputs)
            node = Node(node.op, inputs, node.outputs, node.attributes, node.site)
        first = node if _apart(node.op) else known.setdefault(_key(node), node)
        if first is node or repr(first.attributes) != repr(node.attributes):  # 0.0 and -0.0 are equal keys
            kept.append(node)
        else:
            instead.update({out.id: same for out, same in zip(node.outputs, first.outputs, strict=True)})
    rewriting = Rewriting(graph)
    for node in graph.nodes:
        for out in node.outputs:
            if out.id in instead:
                rewriting.replace(out, instead[out.id])
    return rewriting.finished(kept) if instead else graph


def _apart(op: str) -> bool:
    return op in APART or lookup(op).random


def _key(node: Node) -> Any:
    """Return a key that is equal for equal nodes; 1, 1.0 and True are different numbers, as are 0.0 and -0.0."""
    inputs = tuple([source.id if type(source) is Var else _number(source) for source in node.inputs])
    return node.op, inputs, node.attributes, node.outputs[0].device


def _number(number: Atom) -> Any:
    return (
        (type(number), number, math.copysign(1.0, number))
        if type(number) is float
        else (type(number), number)
    )
