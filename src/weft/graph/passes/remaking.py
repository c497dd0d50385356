"""``remade``: rules that recompute an expensive result cheaply from the other results of its node.

The result of dropout follows from its mask without random numbers, and the result of a norm from its statistics without
a reduction: each is one pointwise expression. The mask and the statistics are small, so they are saved instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from weft.graph.ir import Atom, Graph, Node, Var
from weft.graph.passes.rewrite import type_of
from weft.ops import lookup
from weft.ops.make.randomness import dropout_scale

Emit = Callable[..., Var]
"""Appends a node with an op, operands and attributes, and returns its output."""


def _dropout(node: Node, emit: Emit) -> Var:
    scaled = emit("mul", node.inputs[0], dropout_scale(dict(node.attributes)["p"]))
    return emit("where", node.outputs[1], scaled, 0.0)


def _norm(node: Node, emit: Emit) -> Var:
    x, *parameters = node.inputs
    scale_and_shift = [*parameters, *(1.0, 0.0)[len(parameters) :]]
    return emit("normalize_by", x, *node.outputs[1:], dict(node.attributes)["eps"], *scale_and_shift)


RULES: dict[str, Callable[[Node, Emit], Var]] = {"dropout": _dropout, "norm": _norm}
"""The recomputation of an op's first output from its operands and its other outputs."""


def remade(graph: Graph, nodes: Iterable[Node]) -> dict[int, Node]:
    """Return nodes that recompute the first outputs of some nodes, by the ids of all values that they compute.

    The nodes are for another graph, such as the backward graph: the last node of each rule has the id of the recomputed
    output.
    """
    found: dict[int, Node] = {}
    made = [out.id for node in graph.nodes for out in node.outputs]
    fresh = 1 + max(
        [*made, *(var.id for var in graph.inputs), *(state.initial.id for state in graph.states)], default=0
    )
    for node in nodes:
        rule = RULES.get(node.op)
        if rule is None:
            continue
        result = node.outputs[0]
        steps: list[Node] = []

        def emit(
            op: str, *inputs: Atom, like: Node = node, steps: list[Node] = steps, **attributes: Any
        ) -> Var:
            nonlocal fresh
            (type_,) = lookup(op).infer(*map(type_of, inputs), **attributes)
            made = Var(fresh, type_, like.outputs[0].device)
            fresh += 1
            steps.append(Node(op, inputs, (made,), tuple(attributes.items()), like.site))
            return made

        last = rule(node, emit)
        if last.type.dtype is not result.type.dtype:
            emit("cast", last, dtype=result.type.dtype)
        steps[-1] = Node(steps[-1].op, steps[-1].inputs, (result,), steps[-1].attributes, node.site)
        found.update({out.id: step for step in steps for out in step.outputs})
    return found
