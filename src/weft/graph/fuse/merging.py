"""Merge two parts of kernels: a producer into its consumer, or a consumer into its producer.

``inlined`` replaces the loads of a value by the expression that the producer stores. ``absorbed`` computes the consumer
at the producer's points; ``attached`` computes the producer at the points of a reduction that reads it. Each returns
``None`` where the index spaces do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from weft.dtypes import DType
from weft.expr import Expr, cast, const
from weft.expr.node import INDEX
from weft.graph.lower.lowered import LoweredValue
from weft.graph.rewriting.affine import Affine, Cut, affine, digits, total
from weft.graph.rewriting.parts import cut, folded, known_plain, loads, plain, points, replaced, size, sizes
from weft.kernels import Axis, Part, Store

CUTS = 8
"""The most axes that are split for one merge."""


def stored_and_loaded(value: LoweredValue, made: Expr, wanted: DType) -> Expr:
    """Return the expression of a load, in type ``wanted``, after a store of ``made``: narrow types round the value."""
    exact = value.dtype.bits >= 32 or value.dtype.kind == "bool"
    return cast(made if exact else cast(made, value.dtype), wanted)


def dense(index: Affine, axes: Sequence[Axis], elements: int) -> list[tuple[Axis, int]] | None:
    """Return the axes with their strides, descending, where ``index`` covers all ``elements`` once; else ``None``."""
    if index.constant:
        return None
    by_variable = {axis.variable: axis for axis in axes}
    if any(term not in by_variable for term, _ in index.terms):
        return None
    order = sorted(((by_variable[term], factor) for term, factor in index.terms), key=lambda pair: -pair[1])
    expected = 1
    for axis, factor in reversed(order):
        if factor != expected:
            return None
        expected *= size(axis)
    return order if expected == elements else None


def inlined(producer: Part, consumer: Part, value: LoweredValue) -> Part | None:
    """Return the consumer with its loads of ``value`` replaced; the producer must have no reductions and no checks."""
    if producer.reductions or producer.checks:
        return None
    store = _store(producer, value.name)
    if store is None or store.inner:
        return None
    order = dense(affine(store.index), producer.axes, value.elements)
    if order is None:
        return None
    strides = tuple(stride for _, stride in order)
    for _ in range(CUTS):
        known = sizes(consumer)
        replacements: dict[Expr, Expr] = {}
        wanted: Cut | None = None
        for node in loads(consumer, value.name):
            found = digits(affine(node.args[0]), strides, known)
            if found is None:
                return None
            if isinstance(found, Cut):
                wanted = found
                break
            at = {axis.variable: place.expr() for (axis, _), place in zip(order, found, strict=True)}
            at |= {axis.variable: const(0, INDEX) for axis in producer.axes if axis.variable not in at}
            moved = replaced(replace(producer, stores=(store,)), at).stores[0].value
            replacements[node] = stored_and_loaded(value, moved, node.dtype)
        if wanted is None:
            return plain(replaced(consumer, replacements))
        consumer = cut(consumer, wanted)
    return None


def absorbed(
    producer: Part,
    consumer: Part,
    value: LoweredValue,
    values: Mapping[str, LoweredValue],
    piece: bool = False,
) -> Part | None:
    """Return the producer with the consumer's reductions and stores added, at the points that compute ``value``.

    ``piece``: the producer computes only a part of the value; other parts compute the remaining elements.
    """
    for _ in range(CUTS):
        found = _absorbed(producer, consumer, value, values, piece)
        if not isinstance(found, tuple):
            return found
        side, where = found
        if side == "producer":
            producer = cut(producer, where)
        else:
            consumer = cut(consumer, where)
    return None


def _absorbed(
    producer: Part, consumer: Part, value: LoweredValue, values: Mapping[str, LoweredValue], piece: bool
) -> Part | tuple[str, Cut] | None:
    """Return the merged part, or a side with the axis to split first; ``None`` where the index spaces do not fit."""
    store = _store(producer, value.name)
    read = {affine(node.args[0]) for node in loads(consumer, value.name)}
    if store is None or len(read) != 1 or consumer.checks:
        return None
    (index,) = read
    made = affine(store.index)
    domain = (*producer.axes, *producer.reduce_axes) if store.inner else producer.axes
    if not piece and dense(made, domain, value.elements) is None:
        return None
    order = dense(index, (*consumer.axes, *consumer.reduce_axes), value.elements)
    if order is None:
        return None
    found = digits(made, tuple(stride for _, stride in order), sizes(producer))
    if found is None or isinstance(found, Cut):
        return None if found is None else ("producer", found)
    at = {axis.variable: place.expr() for (axis, _), place in zip(order, found, strict=True)}
    further = _further_axes(producer, consumer, at, store.inner)
    if further is None or isinstance(further, Cut):
        return None if further is None else ("producer", further)
    at |= further
    inner = store.inner or not consumer.reduce_axes and bool(further)
    at |= {axis.variable: const(0, INDEX) for axis in consumer.axes if axis.variable not in at}
    at |= {axis.variable: const(0, INDEX) for axis in consumer.reduce_axes if axis.variable not in at}
    moved = replace(replaced(consumer, at), axes=producer.axes, reduce_axes=producer.reduce_axes)
    given = _loads_forwarded(plain(moved), producer.stores, values, producer.is_plain)
    if given is None:
        return None
    both = replace(
        producer,
        reductions=(*producer.reductions, *given.reductions),
        stores=(*producer.stores, *(replace(copy, inner=copy.inner or inner and not consumer.reductions)
                                    for copy in given.stores)),
    )  # fmt: skip
    return known_plain(both) if producer.is_plain else plain(both)


def _further_axes(
    producer: Part, consumer: Part, at: Mapping[Expr, Expr], inner: bool
) -> dict[Expr, Expr] | Cut | None:
    """Return expressions for the consumer's axes that the merged value does not give, at the producer's points.

    Axes of size 1 need no expression. ``at`` holds the expressions that the value gives, ``inner`` whether the producer
    stores the value within its reduction. The result is ``None`` where the reductions do not fit, and a ``Cut`` where
    an axis of the producer must be split first.
    """
    rest = [axis for axis in (*consumer.axes, *consumer.reduce_axes) if axis.variable not in at]
    if not consumer.reductions and not consumer.reduce_axes:
        if all(size(axis) == 1 for axis in rest):
            return {}
        if inner or not producer.reduce_axes or math.prod(size(axis) for axis in rest) != folded(producer):
            return None
        return _along(rest, producer.reduce_axes, sizes(producer))
    # the consumer's reductions are appended where the producer reduces over the same elements
    if (
        not producer.reduce_axes
        or points(consumer) != points(producer)
        or folded(consumer) != folded(producer)
    ):
        return None
    if not inner:
        if any(axis.variable in at for axis in consumer.reduce_axes):
            return None
        if any(size(axis) != 1 for axis in rest if axis in consumer.axes):
            return None
        return _along(consumer.reduce_axes, producer.reduce_axes, sizes(producer))
    reduced = {axis.variable for axis in producer.reduce_axes}
    stored = {axis.variable for axis in producer.axes}
    crossing = any(_uses(at[axis.variable], reduced) for axis in consumer.axes if axis.variable in at)
    crossing |= any(_uses(at[axis.variable], stored) for axis in consumer.reduce_axes if axis.variable in at)
    return None if crossing or any(size(axis) != 1 for axis in rest) else {}


def _loads_forwarded(
    part: Part, stores: Sequence[Store], values: Mapping[str, LoweredValue], is_plain: bool = False
) -> Part | None:
    """Return a part with loads replaced by the values stored at the same point; ``None`` for loads of other points.

    ``is_plain``: the part and the stored values are in plain form over the part's axes.
    """
    read_back: dict[Expr, Expr] = {}
    for store in stores:
        for node in loads(part, store.buffer):
            if total(affine(node.args[0]), affine(store.index), -1) != Affine((), 0):
                return None
            read_back[node] = stored_and_loaded(values[store.buffer], store.value, node.dtype)
    part = known_plain(replaced(part, read_back)) if is_plain else plain(replaced(part, read_back))
    return None if any(loads(part, store.buffer) for store in stores) else part


def attached(
    producer: Part, consumer: Part, value: LoweredValue, values: Mapping[str, LoweredValue]
) -> Part | None:
    """Return the consumer, a reduction, that also computes and stores its pointwise producer."""
    store = _store(producer, value.name)
    read = {affine(node.args[0]) for node in loads(consumer, value.name)}
    if store is None or store.inner or producer.reductions or producer.checks or len(read) != 1:
        return None
    for _ in range(CUTS):
        (index,) = {affine(node.args[0]) for node in loads(consumer, value.name)}
        order = dense(affine(store.index), producer.axes, value.elements)
        if order is None or dense(index, (*consumer.axes, *consumer.reduce_axes), value.elements) is None:
            return None
        found = digits(index, tuple(stride for _, stride in order), sizes(consumer))
        if found is None:
            return None
        if isinstance(found, Cut):
            consumer = cut(consumer, found)
            continue
        at = {axis.variable: place.expr() for (axis, _), place in zip(order, found, strict=True)}
        at |= {axis.variable: const(0, INDEX) for axis in producer.axes if axis.variable not in at}
        moved = replaced(producer, at)
        reached = {term for term, _ in index.terms}
        inner = any(axis.variable in reached for axis in consumer.reduce_axes)
        # each element must be stored by one point only
        domain = (*consumer.axes, *consumer.reduce_axes) if inner else consumer.axes
        if any(axis.variable not in reached and size(axis) > 1 for axis in domain):
            return None
        stores = tuple(replace(made, inner=inner) for made in plain(moved).stores)
        given = _loads_forwarded(plain(consumer), stores, values)
        return None if given is None else plain(replace(given, stores=(*stores, *given.stores)))
    return None


def _along(
    axes: Sequence[Axis], targets: Sequence[Axis], known: dict[Expr, int]
) -> dict[Expr, Expr] | Cut | None:
    """Return the axes as expressions of the target axes, where both cover the same run in row-major order."""
    if math.prod(map(size, axes)) != math.prod(map(size, targets)):
        return None
    run = Affine((), 0)
    step = 1
    terms: list[tuple[Expr, int]] = []
    for axis in reversed(targets):
        if size(axis) > 1:
            terms.append((axis.variable, step))
        step *= size(axis)
    run = Affine(tuple(reversed(terms)), 0)
    strides, step = [], 1
    for axis in reversed(axes):
        strides.append(step)
        step *= size(axis)
    found = digits(run, tuple(reversed(strides)), known)
    if found is None or isinstance(found, Cut):
        return found
    return {axis.variable: place.expr() for axis, place in zip(axes, found, strict=True)}


def _store(part: Part, value: str) -> Store | None:
    found = [store for store in part.stores if store.buffer == value]
    return found[0] if len(found) == 1 else None


def _uses(root: Expr, names: set[Expr]) -> bool:
    return any(term in names for term, _ in affine(root).terms)
