"""Recognise written-out softmax and log-softmax.

The pattern applies only where the maximum is subtracted first: other forms overflow for inputs that the ops accept.
"""

from __future__ import annotations

from weft.graph.ir import Node, Var
from weft.graph.passes.patterns.match import Form, Op, fold, kept_dims, match, op
from weft.graph.passes.rewrite import Rewriting, Rule

_LARGEST: tuple[Form, ...] = (fold("amax", "x", "largest"), fold("max", "x", "largest"))
_SHIFTED = op("sub", "x", _LARGEST, called="shifted")
_POWERS = op("exp", _SHIFTED, called="powers")
_TOTAL = fold("sum", _POWERS, "total")

FORMS: tuple[tuple[str, Op, tuple[str, ...]], ...] = (
    ("softmax", op("div", _POWERS, _TOTAL), ("largest", "total")),
    ("log_softmax", op("sub", _SHIFTED, op("log", _TOTAL)), ("largest", "total")),
    ("log_softmax", op("sub", "x", fold("logsumexp", "x", "total")), ("total",)),
)
"""Tuples of an op, its form, and the names of the reductions in it, which must be over the same dimension."""


def _rule(name: str, form: Op, folds: tuple[str, ...]) -> Rule:
    def rule(node: Node, graph: Rewriting) -> Var | None:
        for found in match(form, node, graph):
            x: Var = found["x"]
            dims = {kept_dims(found, fold, x.type.shape) for fold in folds}
            only = next(iter(dims))
            same = x.type == node.outputs[0].type and x.type.dtype.kind == "float"
            if len(dims) == 1 and only is not None and len(only) == 1 and same:
                return graph.emit(node, name, x, dim=only[0])
        return None

    return rule


RULES: dict[str, tuple[Rule, ...]] = {
    root: tuple(_rule(name, form, folds) for name, form, folds in FORMS if form.op == root)
    for root in ("div", "sub")
}
