"""Recognise attention: ``softmax(queries @ keys) @ values`` becomes ``attention``, which stores no weights.

Scores may be scaled by a number before or after the product, and masked by an addition or by -inf in a ``where``. The
pattern does not apply where other nodes, such as those of a gradient, read the weights. A row that attends to no key is
0, as in ``scaled_dot_product_attention``, and NaN in the written-out form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.graph.ir import Atom, Node, Var
from weft.graph.passes import constants
from weft.graph.passes.rewrite import Rewriting, Rule
from weft.ops import lookup
from weft.ops.attention.ops import suits


@dataclass(frozen=True)
class _Scores:
    """The operands of the scores; ``keys`` has the shape (..., size, length) of the product's operand."""

    queries: Var
    keys: Var
    scale: float
    mask: Var | None = None
    hides: bool = False
    """Whether a boolean mask is True for keys that are hidden."""


def attention(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite the product of softmax weights and values."""
    weights, values = node.inputs
    made = _alone(weights, "softmax", graph)
    if made is None or not isinstance(values, Var):
        return None
    (given,) = made.inputs
    shape = made.outputs[0].type.shape
    if dict(made.attributes)["dim"] != len(shape) - 1 or not 2 <= len(shape) <= 4:
        return None
    found = _masked(given, graph)
    return None if found is None else _emitted(node, found, values, graph)


def _alone(value: Atom, op: str, graph: Rewriting) -> Node | None:
    """Return the node of an op that computes a value with a single reader; else ``None``."""
    node = graph.maker(value, op)
    return node if node is not None and len(graph.readers(node.outputs[0])) == 1 else None


def _number(atom: Atom, graph: Rewriting) -> float | None:
    value = constants.constant(atom, graph) if isinstance(atom, Var) else atom
    return None if value is None else float(value)


def _masked(value: Atom, graph: Rewriting) -> _Scores | None:
    """Return scores with or without a mask; ``None`` where the value does not match."""
    where, add = _alone(value, "where", graph), _alone(value, "add", graph)
    if where is not None:
        seen, *sides = where.inputs
        for at, other in ((0, 1), (1, 0)):
            if _number(sides[other], graph) == -math.inf and isinstance(seen, Var):
                return _with_mask(_scaled(sides[at], graph), seen, at == 1)
        return None
    if add is not None:
        for at, other in ((0, 1), (1, 0)):
            mask, found = add.inputs[other], _scaled(add.inputs[at], graph)
            if found is not None and isinstance(mask, Var):
                return _with_mask(found, mask, False)
        return None
    return _scaled(value, graph)


def _with_mask(found: _Scores | None, mask: Var, hides: bool) -> _Scores | None:
    if found is None:
        return None
    return _Scores(found.queries, found.keys, found.scale, mask, hides)


def _scaled(operand: Atom, graph: Rewriting) -> _Scores | None:
    """Return the scores of a product that may be scaled by a number."""
    scale = 1.0
    value, factor = _factor(operand, graph)
    product = _alone(value, "matmul", graph)
    if product is None:
        return None
    scale *= factor
    operands = []
    for factor_of in product.inputs:
        inner, factor = _factor(factor_of, graph)
        operands.append(inner)
        scale *= factor
    queries, keys = operands
    if not isinstance(queries, Var) or not isinstance(keys, Var):
        return None
    return _Scores(queries, keys, scale) if math.isfinite(scale) else None


def _factor(product: Atom, graph: Rewriting) -> tuple[Atom, float]:
    """Return a value without its factor, and the factor."""
    for op in ("mul", "div"):
        node = _alone(product, op, graph)
        if node is None:
            continue
        for at, other in ((0, 1), (1, 0)) if op == "mul" else ((0, 1),):
            number, value = _number(node.inputs[other], graph), node.inputs[at]
            same = isinstance(value, Var) and value.type == node.outputs[0].type
            if number and same:
                return value, number if op == "mul" else 1 / number
    return product, 1.0


def _emitted(node: Node, found: _Scores, values: Var, graph: Rewriting) -> Var | None:
    """Emit ``attention`` on operands that are permuted to (batch, length, heads, size)."""
    rank = len(values.type.shape)
    keys = graph.emit(node, "permute", found.keys, order=(*range(rank - 2), rank - 1, rank - 2))
    given = (found.queries, keys, values)
    lead = {value.type.shape[:-2] for value in given}
    kinds = {value.type.dtype for value in (*given, node.outputs[0])}
    if len(lead) > 1 or len(kinds) > 1 or not suits(*(value.type for value in given)):
        return None
    (lead_,), length, source = lead, found.queries.type.shape[-2], keys.type.shape[-2]
    whole = (1,) * (2 - len(lead_)) + lead_ if len(lead_) != 1 else (*lead_, 1)
    operands = [_rows(node, value, whole, graph) for value in given]
    if found.mask is not None:
        mask = _mask(node, found, (*lead_, length, source), graph)
        if mask is None:
            return None
        operands.append(mask)
    options = {"causal": False, "scale": found.scale}
    types = lookup("attention").infer(*(operand.type for operand in operands), **options)
    result = graph.emit_all(node, "attention", operands, options, types)[0]
    result = graph.emit(node, "permute", result, order=(0, 2, 1, 3))
    shape = node.outputs[0].type.shape
    return result if len(shape) == 4 else graph.emit(node, "reshape", result, shape=shape)


def _rows(node: Node, value: Var, whole: tuple[int, ...], graph: Rewriting) -> Var:
    if len(value.type.shape) != 4:
        value = graph.emit(node, "reshape", value, shape=(*whole, *value.type.shape[-2:]))
    return graph.emit(node, "permute", value, order=(0, 2, 1, 3))


def _mask(node: Node, found: _Scores, shape: tuple[int, ...], graph: Rewriting) -> Var | None:
    """Return the mask in a shape that broadcasts to (batch, heads, length, keys); ``None`` where it does not fit."""
    mask = found.mask
    assert mask is not None
    aligned = (1,) * (len(shape) - len(mask.type.shape)) + mask.type.shape
    kind = mask.type.dtype
    if len(aligned) != len(shape) or any(a not in (1, b) for a, b in zip(aligned, shape, strict=True)):
        return None
    if kind.kind != "bool" and (kind is not found.queries.type.dtype or found.hides):
        return None
    if found.hides:
        mask = graph.emit(node, "logical_not", mask)
    lead = aligned[:-2]
    whole = (1,) * (2 - len(lead)) + lead if len(lead) != 1 else (*lead, 1)
    return graph.emit(node, "reshape", mask, shape=(*whole, *aligned[-2:]))


RULES: dict[str, tuple[Rule, ...]] = {"matmul": (attention,)}
