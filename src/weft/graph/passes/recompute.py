"""``attention_backward`` of few weights becomes products: a GPU makes the weights once and keeps them for a moment.

The kernels that hold no weights make them twice, and their products are slower than those of ``matmul``. Where the
weights of one attention take little memory (``MOST``), they are a product whose epilogue does the rest, and so are
their gradients: ``P = exp(scale q k^T + mask - lse)`` and ``dS = P (dO v^T - sum(dO O)) scale``, from which the three
gradients are products. For float32 alone, as scores in a narrower type would be rounded; and where heads share no keys.
"""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.graph.ir import Graph, Node, Var
from weft.graph.passes.rewrite import Rewriting, rewritten
from weft.target import TargetProfile

MOST = 128 << 20
"""Bytes of an attention's weights."""


def recompute(graph: Graph, profile: TargetProfile) -> Graph:
    """The graph with gradients of attention as products, on a GPU and where weights are few."""
    if profile.dialect == "llvm" or profile.software:
        return graph
    return rewritten(graph, lambda op: (products,) if op.name == "attention_backward" else ())


def products(node: Node, graph: Rewriting) -> Var | None:
    """The gradients of queries, keys and values."""
    given = [one for one in node.inputs if isinstance(one, Var)]
    grad, out, lse, q, k, v = given[:6]
    options = dict(node.attributes)
    (batch, length, heads, _), (_, keys, shared, _) = q.type.shape, k.type.shape
    if q.type.dtype is not dtypes.float32 or heads != shared or 4 * batch * heads * length * keys > MOST:
        return None

    def emit(op: str, *inputs: Any, **attributes: Any) -> Var:
        return graph.emit(node, op, *inputs, **attributes)

    def by_heads(value: Var) -> Var:
        return emit("permute", value, order=(0, 2, 1, 3))

    def turned(value: Var) -> Var:
        return emit("permute", value, order=(0, 1, 3, 2))

    heads_of = {name: by_heads(one) for name, one in (("grad", grad), ("q", q), ("k", k), ("v", v))}
    scores = emit("mul", emit("matmul", heads_of["q"], turned(heads_of["k"])), options["scale"])
    if len(given) > 6 and given[6].type.dtype.kind == "float":
        scores = emit("add", scores, given[6])
    elif len(given) > 6:
        scores = emit("where", given[6], scores, -math.inf)
    if options["causal"]:
        scores = emit("where", _triangle(node, graph, length, keys), scores, -math.inf)
    weights = emit("exp", emit("sub", scores, emit("reshape", lse, shape=(batch, heads, length, 1))))
    rest = by_heads(emit("sum", emit("mul", grad, out), dims=(3,), keepdim=True))
    by_weights = emit("sub", emit("matmul", heads_of["grad"], turned(heads_of["v"])), rest)
    by_scores = emit("mul", emit("mul", weights, by_weights), options["scale"])
    found = (
        emit("matmul", by_scores, heads_of["k"]),
        emit("matmul", turned(by_scores), heads_of["q"]),
        emit("matmul", turned(weights), heads_of["grad"]),
    )
    by_q, *others = (by_heads(one) for one in found)
    for var, other in zip(node.outputs[1:], others, strict=True):
        graph.replace(var, other)
    return by_q


def _triangle(node: Node, graph: Rewriting, length: int, keys: int) -> Var:
    """Whether a query sees a key: (length, keys)."""
    device = node.outputs[0].device
    rows, columns = (
        graph.emit(node, "arange", 0, 1, count=count, dtype=dtypes.int64, device=device)
        for count in (length, keys)
    )
    return graph.emit(node, "le", columns, graph.emit(node, "reshape", rows, shape=(length, 1)))
