"""Recognise sums of slice gradients: slices that are written into zeros and added up become one ``cat``.

So the gradient of a tensor that is split into q, k and v, or read step by step, is written once. The written-out form
adds every slice to zeros, which turns -0 into +0; the ``cat`` is therefore followed by an addition of 0, which is
fused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from weft.graph.ir import Atom, Node, Var
from weft.graph.passes import constants
from weft.graph.passes.rewrite import Rewriting, Rule


@dataclass(frozen=True)
class _Piece:
    """A value that is written to the slice ``start:stop`` of dimension ``dim`` of zeros."""

    value: Var
    dim: int
    start: int
    stop: int


def _piece(node: Node, graph: Rewriting) -> _Piece | None:
    base, value = node.inputs
    path = dict(node.attributes)["path"]
    if len(path) != 1 or path[0][0] != "slice" or not isinstance(value, Var):
        return None
    zero = constants.constant(base, graph)
    options = dict(path[0][1])
    if options["step"] != 1 or zero != 0 or str(zero) == "-0.0":
        return None
    return _Piece(value, options["dim"], options["start"], options["stop"])


def _pieces(total: Atom, graph: Rewriting) -> list[_Piece] | None:
    """Return the pieces whose sum is a value; ``None`` where another node reads the value or a partial sum."""
    found: list[_Piece] = []
    left = [total]
    while left:
        part = left.pop()
        node = graph.maker(part)
        if node is None or node.op not in ("add", "update_view") or len(graph.readers(node.outputs[0])) > 1:
            return None
        if node.op == "add":
            left += node.inputs
            continue
        piece = _piece(node, graph)
        if piece is None:
            return None
        found.append(piece)
    return found


def joined(node: Node, graph: Rewriting) -> Var | None:
    """Rewrite a sum of adjacent pieces."""
    type_ = node.outputs[0].type
    if any(not isinstance(source, Var) or source.type != type_ for source in node.inputs):
        return None
    pieces: list[_Piece] = []
    for term in node.inputs:
        found = _pieces(term, graph)
        if found is None:
            return None
        pieces += found
    dim = pieces[0].dim
    if any(piece.dim != dim or piece.start == piece.stop for piece in pieces):
        return None
    pieces.sort(key=lambda piece: piece.start)
    if any(a.stop != b.start for a, b in pairwise(pieces)):
        return None
    values = [part for piece in pieces for part in _parts(piece.value, dim, graph)]
    whole: Var = graph.emit(node, "cat", *values, dim=dim)
    if type_.dtype.kind == "float":
        whole = graph.emit(node, "add", whole, 0.0)
    start, stop = pieces[0].start, pieces[-1].stop
    if (start, stop) == (0, type_.shape[dim]):
        return whole
    zeros = constants.fill(node, graph, 0, type_)
    path = (("slice", (("dim", dim), ("start", start), ("stop", stop), ("step", 1))),)
    return graph.emit(node, "update_view", zeros, whole, path=path)


def _parts(value: Var, dim: int, graph: Rewriting) -> tuple[Atom, ...]:
    """Return the operands of a piece that is a ``cat`` of an earlier rewrite; else the piece itself."""
    node = graph.maker(value, "add")
    if node is not None and not isinstance(node.inputs[1], Var) and str(node.inputs[1]) == "0.0":
        inner = graph.maker(node.inputs[0], "cat")
    else:
        inner = graph.maker(value, "cat")
    return inner.inputs if inner is not None and dict(inner.attributes)["dim"] == dim else (value,)


RULES: dict[str, tuple[Rule, ...]] = {"add": (joined,)}
