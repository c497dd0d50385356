"""The joint gradient of several slices of a tensor: gradients of adjacent slices are concatenated.

A tensor that is split by ``unbind``, ``split``, ``chunk`` or indexing has a gradient for each of its slices. Writing
each into zeros of the tensor's shape and adding these takes time quadratic in the number of slices; concatenation takes
time linear in the tensor's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from weft.ops.make.creation import zeros_of
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import TensorType
from weft.ops.registry.table import lookup


class Piece(NamedTuple):
    """The gradient of the elements ``start`` up to ``stop`` along the sliced dimension."""

    start: int
    stop: int
    value: Any


SliceGradient = tuple[dict[str, Any], Any]
"""The attributes of a slice, and the gradient of its output."""


def slice_gradients(operand: TensorType, calls: Sequence[SliceGradient]) -> Any:
    """Return the gradient of a tensor from the gradients of its slices."""
    groups: dict[tuple[int, int], dict[int, list[Piece]]] = {}
    for attributes, value in calls:
        dim, start, step = attributes["dim"], attributes["start"], attributes["step"]
        first, lane = divmod(start, step)
        lanes = groups.setdefault((dim, step), {})
        lanes.setdefault(lane, []).append(Piece(first, first + value.shape[dim], value))
    total = None
    for (dim, step), lanes in groups.items():
        made = _interleaved(lanes, dim, step, operand.shape)
        total = made if total is None else bind(lookup("add"), total, made)
    return total


def _interleaved(lanes: dict[int, list[Piece]], dim: int, step: int, shape: tuple[int, ...]) -> Any:
    """Return the gradient of slices of a common ``step``: the dimension is viewed as rows of ``step`` lanes."""
    size = shape[dim]
    if step == 1:
        return _line(lanes[0], dim, 0, size)
    rows = -(-size // step)
    wide = (*shape[:dim], rows, 1, *shape[dim + 1 :])
    columns = [
        Piece(lane, lane + 1, bind(lookup("reshape"), _line(pieces, dim, 0, rows), shape=wide))
        for lane, pieces in sorted(lanes.items())
    ]
    whole = _side_by_side(columns, dim + 1, 0, step)
    whole = bind(lookup("reshape"), whole, shape=(*shape[:dim], rows * step, *shape[dim + 1 :]))
    return whole if rows * step == size else bind(lookup("slice"), whole, dim=dim, start=0, stop=size, step=1)


def _line(pieces: Sequence[Piece], dim: int, start: int, stop: int) -> Any:
    """Return the sum of pieces along ``start`` up to ``stop``, and 0 where there is no piece."""
    same: dict[tuple[int, int], Any] = {}
    for piece in pieces:
        if piece.start == piece.stop:
            continue
        place = piece.start, piece.stop
        same[place] = piece.value if place not in same else bind(lookup("add"), same[place], piece.value)
    ordered = [Piece(*place, same[place]) for place in sorted(same)]
    if not ordered:
        return _zeros(pieces[0].value, dim, stop - start)
    return _side_by_side([_summed(cluster, dim) for cluster in _clusters(ordered)], dim, start, stop)


def _clusters(ordered: Sequence[Piece]) -> list[list[Piece]]:
    """Return groups of pieces that overlap; pieces of different groups do not overlap."""
    found: list[list[Piece]] = []
    reach = -1
    for piece in ordered:
        if piece.start >= reach:
            found.append([])
        found[-1].append(piece)
        reach = max(reach, piece.stop)
    return found


def _summed(pieces: Sequence[Piece], dim: int) -> Piece:
    """Return the sum of pieces that overlap: the sum of layers, within each of which no pieces overlap."""
    if len(pieces) == 1:
        return pieces[0]
    layers: list[list[Piece]] = []
    for piece in pieces:
        free = next((layer for layer in layers if layer[-1].stop <= piece.start), None)
        if free is None:
            layers.append([piece])
        else:
            free.append(piece)
    start, stop = pieces[0].start, max(piece.stop for piece in pieces)
    total = None
    for layer in layers:
        made = _side_by_side(layer, dim, start, stop)
        total = made if total is None else bind(lookup("add"), total, made)
    return Piece(start, stop, total)


def _side_by_side(pieces: Sequence[Piece], dim: int, start: int, stop: int) -> Any:
    """Return the concatenation of ordered pieces, with zeros between them and at the ends.

    A single piece is written into zeros instead: in a graph this write is pointwise and fuses, and ``cat`` does not.
    """
    first = pieces[0]
    if len(pieces) == 1 and (first.start, first.stop) != (start, stop):
        shape = tuple(first.value.shape)
        whole = TensorType((*shape[:dim], stop - start, *shape[dim + 1 :]), first.value.dtype)
        zeros = zeros_of(whole, device=str(first.value.device))
        place = (("dim", dim), ("start", first.start - start), ("stop", first.stop - start), ("step", 1))
        return bind(lookup("update_view"), zeros, first.value, path=(("slice", place),))
    values, at = [], start
    for piece in pieces:
        if piece.start > at:
            values.append(_zeros(piece.value, dim, piece.start - at))
        values.append(piece.value)
        at = piece.stop
    if at < stop:
        values.append(_zeros(first.value, dim, stop - at))
    return values[0] if len(values) == 1 else bind(lookup("cat"), *values, dim=dim)


def _zeros(like: Any, dim: int, length: int) -> Any:
    """Return expanded zeros, a single element in memory, of another length along a dimension."""
    shape = tuple(like.shape)
    zero = zeros_of(TensorType((1,) * len(shape), like.dtype), device=str(like.device))
    return bind(lookup("expand"), zero, shape=(*shape[:dim], length, *shape[dim + 1 :]))
