"""Rewrites of a kernel's parts: rename, split and replace axes, and replace loads by expressions.

The fuser works on parts whose axes and reduction results have unique names (``fresh``), so that the expressions of two
parts can be combined. ``numbered`` renames them by position, so that equal kernels compare equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

from weft.expr import Expr, Substitution, const, simplify, transform, variable
from weft.expr.node import INDEX, LOADS
from weft.graph.rewriting.affine import Affine, Cut, affine
from weft.kernels import Axis, Check, Part, Reduction, Store

_numbers = count()


def changed(part: Part, change: Callable[[Expr], Expr]) -> Part:
    """Return a part with a function applied to every expression, except the sizes of axes."""
    return replace(
        part,
        stores=tuple(replace(s, index=change(s.index), value=change(s.value)) for s in part.stores),
        reductions=tuple(replace(fold, value=change(fold.value)) for fold in part.reductions),
        checks=tuple(replace(c, valid=change(c.valid), value=change(c.value)) for c in part.checks),
    )


def replaced(part: Part, replacements: Mapping[Expr, Expr]) -> Part:
    """Return a part with nodes replaced in all expressions, which are then simplified."""
    substitution = Substitution(replacements)
    return changed(part, lambda root: simplify(substitution(root)))


def fresh(part: Part) -> Part:
    """Return a part with unique names of axes and reduction results."""
    names: dict[Expr, Expr] = {}

    def named(axes: tuple[Axis, ...], prefix: str) -> tuple[Axis, ...]:
        made = []
        for axis in axes:
            names[axis.variable] = variable(f"{prefix}{next(_numbers)}", INDEX)
            made.append(replace(axis, variable=names[axis.variable]))
        return tuple(made)

    axes, reduce_axes = named(part.axes, "a"), named(part.reduce_axes, "q")
    for fold in part.reductions:
        names[fold.result] = variable(f"f{next(_numbers)}", fold.result.dtype)
    part = replace(
        part, axes=axes, reduce_axes=reduce_axes,
        reductions=tuple(replace(fold, result=names[fold.result]) for fold in part.reductions),
    )  # fmt: skip
    return plain(replaced(part, names))


def numbered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts with axes and reduction results named by position, so that equal kernels compare equal."""
    made = []
    for number, part in enumerate(parts):
        names: dict[Expr, Expr] = {}
        for prefix, axes in (("i", part.axes), ("r", part.reduce_axes)):
            for at, axis in enumerate(axes):
                names[axis.variable] = variable(f"{prefix}{number}_{at}", INDEX)
        for at, fold in enumerate(part.reductions):
            names[fold.result] = variable(f"acc{number}_{at}", fold.result.dtype)
        renamed = changed(part, Substitution(names))
        made.append(
            replace(
                renamed,
                axes=tuple(replace(axis, variable=names[axis.variable]) for axis in part.axes),
                reduce_axes=tuple(replace(axis, variable=names[axis.variable]) for axis in part.reduce_axes),
                reductions=tuple(
                    replace(fold, result=names[old.result])
                    for fold, old in zip(renamed.reductions, part.reductions, strict=True)
                ),
            )
        )
    return tuple(made)


def size(axis: Axis) -> int:
    """Return the size of an axis, which is a constant in lowered kernels."""
    return int(axis.size.data)


def sizes(part: Part) -> dict[Expr, int]:
    """Return the sizes of all axes by their variables."""
    return {axis.variable: size(axis) for axis in (*part.axes, *part.reduce_axes)}


def points(part: Part) -> int:
    """Return the number of points of a part's index space, without reduction axes."""
    return math.prod(size(axis) for axis in part.axes)


def folded(part: Part) -> int:
    """Return the number of elements that a part reduces at each point."""
    return math.prod(size(axis) for axis in part.reduce_axes)


def plain(part: Part) -> Part:
    """Return a part in plain form: its indices are affine sums with terms in the order of its axes."""
    if part.is_plain:
        return part
    order = tuple(axis.variable for axis in (*part.axes, *part.reduce_axes))

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function == "load":
            args = (_ordered(args[0], order),)
        return node.rebuild(args)

    done: dict[Expr, Expr] = {}
    part = changed(part, lambda root: transform(root, change, done, LOADS))
    stores = tuple(replace(store, index=_ordered(store.index, order)) for store in part.stores)
    return known_plain(replace(part, stores=stores))


def known_plain(part: Part) -> Part:
    """Mark a part as being in plain form, and return it."""
    part.__dict__["is_plain"] = True
    return part


@lru_cache(maxsize=1 << 14)
def _ordered(root: Expr, axes: tuple[Expr, ...]) -> Expr:
    """Return an index with its terms in the order of the axes, behind all other terms."""
    order = {axis: at for at, axis in enumerate(axes)}
    found = affine(root)
    terms = sorted(found.terms, key=lambda pair: order.get(pair[0], -1))
    return Affine(tuple(terms), found.constant).expr()


def cut(part: Part, where: Cut) -> Part:
    """Return a part with an axis split in two, of which the inner axis has ``where.inner`` values."""
    names: dict[Expr, Expr] = {}

    def split(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        made: list[Axis] = []
        for axis in axes:
            if axis.variable is not where.axis:
                made.append(axis)
                continue
            outer, inner = (variable(f"{axis.variable.data}_{side}", INDEX) for side in "ab")
            names[axis.variable] = outer * where.inner + inner
            made.append(Axis(outer, const(size(axis) // where.inner, INDEX)))
            made.append(Axis(inner, const(where.inner, INDEX)))
        return tuple(made)

    axes, reduce_axes = split(part.axes), split(part.reduce_axes)
    return plain(replaced(replace(part, axes=axes, reduce_axes=reduce_axes), names))


def loads(part: Part, buffer: str) -> list[Expr]:
    """Return the distinct load nodes of a part from a buffer."""
    return part.loads.get(buffer, [])


def loaded(part: Part) -> set[str]:
    """Return the buffers that a part reads."""
    return set(part.loads)


def uses(parts: Sequence[Part], node: Expr) -> bool:
    """Return whether a node occurs in the expressions of parts."""
    return any(
        root.leaves & node.leaves and node in part.nodes for part in parts for root in part.expressions
    )


def stored(part: Part) -> set[str]:
    """Return the buffers that a part writes."""
    return {store.buffer for store in part.stores}


def with_stores(part: Part, stores: Sequence[Store]) -> Part:
    """Return a part with further stores."""
    return replace(part, stores=(*part.stores, *stores))


def with_reductions(part: Part, reductions: Sequence[Reduction], checks: Sequence[Check] = ()) -> Part:
    """Return a part with further reductions and checks, behind its own."""
    return replace(part, reductions=(*part.reductions, *reductions), checks=(*part.checks, *checks))
