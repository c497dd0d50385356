"""Prologues: short rows are reduced again at every point of the kernels that read them, instead of in a kernel before.

A norm of a single token reduces a row of some thousand elements, and the products behind it read the whole row for each
of their results. Its kernel takes as long as a dispatch. The products compute the norm themselves where that costs less
than a dispatch: every point of a product reduces the row, which is in the cache, before it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from weft.expr import Expr, const
from weft.expr.node import INDEX
from weft.graph.fuse.calls import FusionGraph, FusionNode
from weft.graph.fuse.merging import dense, stored_and_loaded
from weft.graph.lower.lowered import LoweredValue
from weft.graph.rewriting.affine import Cut, affine, digits
from weft.graph.rewriting.parts import folded, fresh, loads, plain, points, replaced, size, sizes
from weft.kernels import Part
from weft.ops.matmul.products import FUSED
from weft.target import TargetProfile

FUSED_BY_SOFTWARE = 1 << 16
"""The elements that a software rasteriser reduces in the time of a dispatch."""
LONGEST = 1 << 13
"""The most elements of a row that is reduced at every point: longer rows leave a processor's first cache."""


def reduce_again(
    calls: FusionGraph, profile: TargetProfile, exchange: Callable[[FusionNode, FusionNode, FusionNode], bool]
) -> None:
    """Move reductions of short rows into all kernels that read them.

    ``exchange(producer, reader, merged)`` replaces a reader and returns whether that is sound.
    """
    if not profile.capabilities.workgroups:
        return
    most = FUSED_BY_SOFTWARE if profile.software else FUSED
    for node in calls.nodes:
        if node not in calls or node.parts is None or node.is_product or len(node.parts) != 1:
            continue
        (part,) = node.parts
        live = [store for store in part.stores if not calls.dead(store.buffer)]
        if len(live) != 1 or not live[0].inner or not part.reductions or part.checks:
            continue
        value = calls.values[live[0].buffer]
        readers = [reader for reader in calls.readers.get(value.name, ()) if value.name in reader.reads]
        if value.name in calls.kept or value.overwrites or calls.overwriting.get(value.name) or not readers:
            continue
        part = replace(part, stores=tuple(live))
        found = [_merged(part, reader, value, most, calls) for reader in readers]
        if all(merged is not None for merged in found):
            for reader, merged in zip(readers, found, strict=True):
                assert merged is not None
                exchange(node, reader, merged)


def _merged(
    producer: Part, reader: FusionNode, value: LoweredValue, most: int, calls: FusionGraph
) -> FusionNode | None:
    """Return the reader with the row's reductions; ``None`` where it does not reduce the row, or too often."""
    if reader.parts is None or reader.is_product or len(reader.parts) != 1 or reader.call.report:
        return None
    (consumer,) = reader.parts
    if folded(producer) > LONGEST or points(consumer) * folded(producer) > most:
        return None
    part = with_rows(producer, consumer, value)
    return None if part is None else FusionNode(reader.call, [part])


def with_rows(producer: Part, consumer: Part, value: LoweredValue) -> Part | None:
    """Return the consumer, which reduces over the producer's rows, with the producer's reductions before its own.

    ``None`` where the consumer reads another element of the row than that of its reduction axis.
    """
    if len(producer.reduce_axes) != 1 or len(consumer.reduce_axes) != 1 or consumer.checks:
        return None
    (row,), (along,) = producer.reduce_axes, consumer.reduce_axes
    read = {affine(node.args[0]) for node in loads(consumer, value.name)}
    (store,) = producer.stores
    order = dense(affine(store.index), (*producer.axes, row), value.elements)
    if size(row) != size(along) or len(read) != 1 or order is None:
        return None
    producer = fresh(producer)
    (store,), (row,) = producer.stores, producer.reduce_axes
    order = dense(affine(store.index), (*producer.axes, row), value.elements)
    assert order is not None
    found = digits(next(iter(read)), tuple(stride for _, stride in order), sizes(consumer))
    if found is None or isinstance(found, Cut):
        return None
    at: dict[Expr, Expr] = {axis.variable: const(0, INDEX) for axis in producer.axes}
    at |= {axis.variable: place.expr() for (axis, _), place in zip(order, found, strict=True)}
    others = [at[axis.variable] for axis in producer.axes]
    inside = any(term is along.variable for other in others for term, _ in affine(other).terms)
    if at.get(row.variable) is not along.variable or inside:
        return None
    moved = replaced(replace(producer, axes=consumer.axes, reduce_axes=consumer.reduce_axes), at)
    (store,) = moved.stores
    again = {node: stored_and_loaded(value, store.value, node.dtype) for node in loads(consumer, value.name)}
    both = replaced(consumer, again)
    return plain(replace(both, reductions=(*moved.reductions, *both.reductions)))
