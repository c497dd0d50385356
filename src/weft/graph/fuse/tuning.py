"""How a fused kernel is spread over a target: elements at a time, and how many invocations share a row.

The same rules by which ops choose for themselves (``ops.sharing``), asked of the kernel as it is now.
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


def tuned(kernel: Kernel, before: Kernel, profile: TargetProfile) -> Kernel:
    """The kernel with ``vector``, ``cooperative`` and ``held`` for a target; ``before`` is what it was made from."""
    if not profile.capabilities.workgroups:
        return kernel
    if kernel.parts == before.parts and len(kernel.buffers) == len(before.buffers):
        return replace(kernel, vector=before.vector, cooperative=before.cooperative, held=before.held)
    if all(not part.reduce_axes for part in kernel.parts):
        return replace(kernel, vector=4 if in_fours(kernel) else 1)
    shares = {_share(part, profile) for part in kernel.parts if part.reduce_axes}
    return replace(kernel, cooperative=shares.pop() if len(shares) == 1 else 0)


def _share(part: Part, profile: TargetProfile) -> int:
    return sharing.team(profile, points(part), folded(part), _side_by_side(part))


def _side_by_side(part: Part) -> bool:
    """Whether neighbours in a fold are neighbours in memory."""
    last = part.reduce_axes[-1].variable
    return 1 in {affine(index).factor(last) for index in _indices(part)}


def asked(kernel: Kernel) -> dict[str, Part]:
    """What was asked for the teams of a kernel's folds, with the parts that do it; rows that are held ask otherwise."""
    parts = () if kernel.held else kernel.parts
    return {
        sharing.asked(points(part), folded(part), _side_by_side(part)): part
        for part in parts
        if part.reduce_axes and not part.checks
    }


def measured(kernel: Kernel, profile: TargetProfile) -> set[tuple[str, tuple[str, int]]]:
    """What was asked for a kernel's teams and answered by a measurement."""
    answer = ("team", kernel.cooperative)
    return {(question, answer) for question in asked(kernel) if profile.choices.get(question) == answer}


def _indices(part: Part) -> Iterable[Expr]:
    yield from (node.args[0] for node in walk(*part.expressions) if node.function == "load")
    yield from (store.index for store in part.stores if store.inner)


def in_fours(kernel: Kernel) -> bool:
    """Whether each part is one run of aligned elements; a buffer reached so is reached in no other way."""
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


def _accesses(part: Part) -> Iterable[tuple[str, Expr]]:
    yield from ((node.data, node.args[0]) for node in walk(*part.expressions) if node.function == "load")
    yield from ((store.buffer, store.index) for store in part.stores)


def _run(index: Expr, axis: Axis) -> bool | None:
    """Whether an index moves with the axis by one from a multiple of four; ``None`` where it does otherwise."""
    found = affine(index)
    others = [term for term, _ in found.terms if term is not axis.variable]
    if any(axis.variable in set(walk(term)) for term in others):
        return None
    factor = found.factor(axis.variable)
    if factor == 0:
        return False
    return True if factor == 1 and not others and found.constant % 4 == 0 else None
