"""The schedule of a fused kernel on a target: its vector width, and the team size of its reductions.

The rules are those of single ops (``ops.registry.sharing``), applied to the fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from weft.expr import Expr, walk
from weft.graph.rewriting.affine import affine
from weft.graph.rewriting.parts import folded, points
from weft.kernels import Axis, Kernel, Part
from weft.ops.registry import sharing
from weft.target import TargetProfile

FOUR_FOLDS = ("sum", "max", "min")
"""Reductions that are computed in four lanes and joined at the end."""


def tuned(kernel: Kernel, before: Kernel, profile: TargetProfile) -> Kernel:
    """Return the kernel with ``vector``, ``cooperative`` and ``held`` set for a target; ``before`` is its original."""
    if not profile.capabilities.workgroups:
        return kernel
    if kernel.parts == before.parts and len(kernel.buffers) == len(before.buffers):
        return replace(kernel, vector=before.vector, cooperative=before.cooperative, held=before.held)
    if all(not part.reduce_axes for part in kernel.parts):
        return replace(kernel, vector=4 if in_fours(kernel) else 1)
    shares = {_share(part, profile) for part in kernel.parts if part.reduce_axes}
    shared = shares.pop() if len(shares) == 1 else 0
    fours = shared > 1 and not profile.software and rows_in_fours(kernel)
    return replace(kernel, cooperative=shared, vector=4 if fours else 1)


def _share(part: Part, profile: TargetProfile) -> int:
    return sharing.team(profile, points(part), folded(part), _side_by_side(part))


def _side_by_side(part: Part) -> bool:
    """Return whether the innermost reduction axis is contiguous in memory."""
    last = part.reduce_axes[-1].variable
    return 1 in {affine(index).factor(last) for index in _indices(part)}


def asked(kernel: Kernel) -> dict[str, Part]:
    """Return the tuning questions of a kernel's reductions, with their parts; kernels with held rows have none."""
    parts = () if kernel.held else kernel.parts
    return {
        sharing.asked(points(part), folded(part), _side_by_side(part)): part
        for part in parts
        if part.reduce_axes and not part.checks
    }


def measured(kernel: Kernel, profile: TargetProfile) -> set[tuple[str, tuple[str, int]]]:
    """Return the tuning questions of a kernel's team sizes that a measurement has answered, with the answers."""
    answer = ("team", kernel.cooperative)
    return {(question, answer) for question in asked(kernel) if profile.choices.get(question) == answer}


def _indices(part: Part) -> Iterable[Expr]:
    yield from (node.args[0] for node in walk(*part.expressions) if node.function == "load")
    yield from (store.index for store in part.stores if store.inner)


def in_fours(kernel: Kernel) -> bool:
    """Return whether a kernel can be vectorised: every part has one axis, and each access has stride 1 or 0."""
    reached: dict[str, set[bool]] = {}
    for part in kernel.parts:
        if len(part.axes) != 1 or part.checks:
            return False
        (axis,) = part.axes
        for buffer, index in _accesses(part):
            kind = _run(index, axis)
            if kind is None:
                return False
            reached.setdefault(buffer, set()).add(kind)
        if any(_run(store.index, axis) is not True for store in part.stores):
            return False
    return all(len(kinds) == 1 for kinds in reached.values())


def rows_in_fours(kernel: Kernel) -> bool:
    """Return whether teams can load the rows that they reduce as aligned vectors of four elements.

    Each access has stride 1 or 0 along the reduction, all accesses of a buffer the same. A buffer of vectors has no
    stores of single elements.
    """
    reached: dict[str, set[bool]] = {}
    for part in kernel.parts:
        if len(part.reduce_axes) != 1 or part.checks or folded(part) % 4:
            return False
        if not all(
            fold.combine in FOUR_FOLDS and fold.value.dtype.kind == "float" for fold in part.reductions
        ):
            return False
        (axis,) = part.reduce_axes
        kinds = [(buffer, _row(index, axis)) for buffer, index in _accesses(part)]
        inner = {store.index for store in part.stores if store.inner}
        if any(kind is None for _, kind in kinds) or not all(_row(index, axis) for index in inner):
            return False
        for buffer, kind in kinds:
            reached.setdefault(buffer, set()).add(bool(kind))
    return all(len(kinds) == 1 for kinds in reached.values())


def _row(index: Expr, axis: Axis) -> bool | None:
    """Return what ``_run`` returns; here the other terms of an index of stride 1 may be multiples of four."""
    found = affine(index)
    others = [(term, factor) for term, factor in found.terms if term is not axis.variable]
    if any(axis.variable in set(walk(term)) for term, _ in others):
        return None
    factor = found.factor(axis.variable)
    if factor == 0:
        return False
    aligned = found.constant % 4 == 0 and all(other % 4 == 0 for _, other in others)
    return True if factor == 1 and aligned else None


def _accesses(part: Part) -> Iterable[tuple[str, Expr]]:
    yield from ((node.data, node.args[0]) for node in walk(*part.expressions) if node.function == "load")
    yield from ((store.buffer, store.index) for store in part.stores)


def _run(index: Expr, axis: Axis) -> bool | None:
    """Return True for an index of stride 1 from a multiple of four, False for stride 0, ``None`` for other indices."""
    found = affine(index)
    others = [term for term, _ in found.terms if term is not axis.variable]
    if any(axis.variable in set(walk(term)) for term in others):
        return None
    factor = found.factor(axis.variable)
    if factor == 0:
        return False
    return True if factor == 1 and not others and found.constant % 4 == 0 else None
