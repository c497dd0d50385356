"""The transpose of a product becomes a product of transposes, so that gradients have the layout of their weights."""

from __future__ import annotations

from weft.graph.ir import Node, Var
from weft.graph.passes.rewrite import Rewriting, Rule


def transposed_product(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite ``(a b)^T`` as ``b^T a^T``, where ``a b`` has no other reader."""
    inner = graph.maker(node.inputs[0], "matmul")
    if inner is None or len(graph.readers(inner.outputs[0])) != 1:
        return None
    rank = len(inner.outputs[0].type.shape)
    if dict(node.attributes)["order"] != (*range(rank - 2), rank - 1, rank - 2):
        return None
    a, b = inner.inputs
    assert isinstance(a, Var) and isinstance(b, Var)
    return graph.emit(
        node, "matmul", _transposed(node, graph, b), _transposed(node, graph, a), **dict(inner.attributes)
    )


def _transposed(node: Node, graph: Rewriting, value: Var) -> Var:
    rank = len(value.type.shape)
    return graph.emit(node, "permute", value, order=(*range(rank - 2), rank - 1, rank - 2))


RULES: dict[str, tuple[Rule, ...]] = {"permute": (transposed_product,)}
