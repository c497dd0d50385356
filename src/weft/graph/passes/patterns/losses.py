"""Recognise cross entropy: ``nll`` of ``log_softmax`` becomes ``cross_entropy``, and likewise for the gradients.

The log-probabilities are then never stored. The pattern applies where only the loss and its gradient read them.
"""

from __future__ import annotations

from weft.graph.ir import Node, Var
from weft.graph.passes.rewrite import Rewriting, Rule
from weft.ops import lookup


def _scores(value: object, graph: Rewriting) -> Node | None:
    """Return the ``log_softmax`` along the class dimension that computes a value; else ``None``."""
    node = graph.maker(value, "log_softmax") if isinstance(value, Var) else None
    return node if node is not None and dict(node.attributes)["dim"] == 1 else None


def forward(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite the loss, and note the saved tensors for the rule of its gradient."""
    inner, target = _scores(node.inputs[0], graph), node.inputs[1]
    if inner is None or len(inner.outputs[0].type.shape) < 2:
        return None
    ignored = dict(node.attributes)["ignore_index"]
    if not _only_here(inner.outputs[0], node, target, ignored, graph):
        return None
    scores = inner.inputs[0]
    assert isinstance(scores, Var) and isinstance(target, Var)
    types = lookup("cross_entropy").infer(scores.type, target.type, ignore_index=ignored)
    options = {"ignore_index": ignored}
    losses, largest, total = graph.emit_all(node, "cross_entropy", (scores, target), options, types)
    graph.notes["losses", inner.outputs[0].id] = (scores, target, largest, total), options
    dtype = node.outputs[0].type.dtype
    return losses if losses.type.dtype is dtype else graph.emit(node, "cast", losses, dtype=dtype)


def _only_here(logs: Var, node: Node, target: object, ignored: int, graph: Rewriting) -> bool:
    """Return whether only this loss and its gradient read the log-probabilities."""
    for reader in graph.readers(logs):
        if reader == node.outputs[0].id:
            continue
        backward = graph.origin(reader)
        if backward is None or backward.op != "log_softmax_backward" or backward.inputs[1] != logs:
            return False
        placed = graph.origin(backward.inputs[0].id) if isinstance(backward.inputs[0], Var) else None
        if placed is None or placed.op != "nll_backward" or placed.inputs[1] != target:
            return False
        if dict(placed.attributes)["ignore_index"] != ignored or len(graph.readers(placed.outputs[0])) != 1:
            return False
    return True


def backward(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite the gradient with respect to the scores, where the loss was rewritten."""
    logs, placed = node.inputs[1], graph.maker(node.inputs[0], "nll_backward")
    noted = graph.notes.get(("losses", logs.id)) if isinstance(logs, Var) else None
    if noted is None or placed is None:
        return None
    saved, options = noted
    return graph.emit(node, "cross_entropy_backward", placed.inputs[0], *saved, **options)


RULES: dict[str, tuple[Rule, ...]] = {"nll": (forward,), "log_softmax_backward": (backward,)}
