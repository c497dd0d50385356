"""``scales``: move the scale of an operand of a matrix product behind the product, into the product's epilogue.

``(s q) k^T`` equals ``s (q k^T)`` bit by bit where s is a power of two. So attention with heads of 16, 64 or 256 needs
no kernel that scales the queries. The pass applies to targets whose products have epilogues, to float32 only (the
unscaled product could overflow in a narrower type), and to scales up to 1. Other scales stay, since moving them changes
rounding.
"""

from __future__ import annotations

import math

from weft import dtypes
from weft.graph.ir import Atom, Graph, Node, Var
from weft.graph.passes.rewrite import Rewriting, Rule, rewritten
from weft.ops import lookup
from weft.target import TargetProfile

SMALLEST = 2.0**-20
"""The least scale that is moved; smaller scales stay, since their purpose is not known."""


def scales(graph: Graph, profile: TargetProfile) -> Graph:
    """Return the graph with scales moved from operands of products to their results."""
    if not profile.capabilities.epilogues:
        return graph
    return rewritten(graph, lambda op: _RULES if op.name == "matmul" else ())


def scaled_product(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite a product of which an operand, possibly through views, is a value times a number."""
    type_ = node.outputs[0].type
    if type_.dtype is not dtypes.float32 or node.attributes or 1 in type_.shape[-2:]:
        return None
    operands: list[Atom] = []
    factors: list[float] = []
    for source in node.inputs:
        found = _unscaled(source, node, graph)
        operands.append(source if found is None else found[0])
        factors += [] if found is None else [found[1]]
    if not factors:
        return None
    product = graph.emit(node, "matmul", *operands)
    for factor in factors:
        product = graph.emit(node, "mul", product, factor)
    return product


_RULES: tuple[Rule, ...] = (scaled_product,)


def _unscaled(atom: Atom, like: Node, graph: Rewriting) -> tuple[Var, float] | None:
    """Return an operand without its factor, and the factor, where only products read the scaled value."""
    views: list[Node] = []
    while (maker := graph.maker(atom)) is not None and lookup(maker.op).view is not None:
        views.append(maker)
        atom = maker.inputs[0]
    if maker is None or maker.op != "mul" or not _only_multiplied(maker.outputs[0], graph):
        return None
    numbers = [factor for factor in maker.inputs if not isinstance(factor, Var)]
    values = [factor for factor in maker.inputs if isinstance(factor, Var)]
    if len(numbers) != 1 or not _is_moved(numbers[0]) or values[0].type != maker.outputs[0].type:
        return None
    value = values[0]
    for view in reversed(views):
        value = graph.emit(like, view.op, value, **dict(view.attributes))
    return value, float(numbers[0])


def _is_moved(scale: float) -> bool:
    return SMALLEST <= abs(scale) <= 1 and abs(math.frexp(scale)[0]) == 0.5


def _only_multiplied(var: Var, graph: Rewriting) -> bool:
    for id_ in graph.readers(var):
        reader = graph.origin(id_)
        if reader is None:
            return False
        if reader.op != "matmul" and not (
            lookup(reader.op).view is not None and _only_multiplied(reader.outputs[0], graph)
        ):
            return False
    return True
