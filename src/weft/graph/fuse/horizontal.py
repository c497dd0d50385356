"""Horizontal fusion: small independent kernels become parts of one kernel, which saves dispatches on a GPU.

Sums for gradients of biases, running averages, copies and counters each take less time than a dispatch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from weft.graph.fuse.calls import FusionGraph, FusionNode
from weft.graph.fuse.tuning import in_fours, rows_in_fours
from weft.graph.lower.lowered import KernelCall
from weft.graph.rewriting.parts import folded, points
from weft.kernels import PARTS, Kernel

LARGEST = 1 << 20
"""The most elements that a fused kernel visits: larger kernels fill the machine, and fusion prolongs their operands."""
REACH = 32
"""The most calls between two kernels that are fused: the operands of the first live until the second runs."""

Spread = tuple[int, int | None]
"""The vector width of a kernel and the team size of its reductions (``None`` for a kernel without reductions)."""


def fuse_horizontally(
    calls: FusionGraph, is_valid: Callable[[FusionNode], bool], call_of: Callable[[FusionNode], KernelCall]
) -> None:
    """Fuse small independent kernels; ``call_of`` returns the call of a node, ``is_valid`` whether a node is valid."""
    spreads = {node: spread for node in calls.nodes if (spread := _spread(calls, node, call_of)) is not None}
    node = calls.following(-1)
    while node is not None:
        place = calls.place[node]
        if node in spreads:
            _join_next(calls, node, spreads, is_valid, call_of)
        node = calls.following(place)


def _join_next(
    calls: FusionGraph,
    first: FusionNode,
    spreads: dict[FusionNode, Spread],
    is_valid: Callable[[FusionNode], bool],
    call_of: Callable[[FusionNode], KernelCall],
) -> bool:
    """Merge a call with the first later call that it fits; return whether there is such a call."""
    after = {first}
    for second in calls.after(first, REACH):
        if calls.before(second) & after:
            after.add(second)
            continue
        spread = _common(spreads[first], spreads[second]) if second in spreads else None
        if spread is None:
            continue
        together = _merged(first, second, spread)
        if _visited(together) > LARGEST or len(together.parts or ()) > PARTS or not is_valid(together):
            continue
        if spread[0] == 4 and not _still_in_fours(call_of(together), spread):
            continue
        if calls.replace([first, second], together):
            spreads[together] = spread
            return True
    return False


def _still_in_fours(call: KernelCall, spread: Spread) -> bool:
    fits = in_fours if spread[1] is None else rows_in_fours
    return isinstance(call.kernel, Kernel) and fits(call.kernel)


def _spread(
    calls: FusionGraph, node: FusionNode, call_of: Callable[[FusionNode], KernelCall]
) -> Spread | None:
    """Return the vector width and team size of a call; ``None`` for a call that is not fused horizontally."""
    if node.parts is None or node.is_product or node.call.report:
        return None
    if _visited(node) > LARGEST:
        return None
    kernel = call_of(node).kernel
    assert isinstance(kernel, Kernel)
    folds = any(part.reduce_axes for part in node.parts)
    if kernel.held:
        return None
    return kernel.vector, kernel.cooperative if folds else None


def _visited(node: FusionNode) -> int:
    return sum(points(part) * max(folded(part), 1) for part in node.parts or ())


def _common(a: Spread, b: Spread) -> Spread | None:
    if a[0] != b[0] or None not in (a[1], b[1]) and a[1] != b[1]:
        return None
    if a[0] > 1 and a[1] != b[1]:  # vectors run along points in one kernel and along rows in the other
        return None
    return a[0], b[1] if a[1] is None else a[1]


def _merged(first: FusionNode, second: FusionNode, spread: Spread) -> FusionNode:
    assert first.parts is not None and second.parts is not None
    first_kernel, second_kernel = first.call.kernel, second.call.kernel
    assert isinstance(first_kernel, Kernel) and isinstance(second_kernel, Kernel)
    names = list(dict.fromkeys([*first_kernel.name.split("_and_"), *second_kernel.name.split("_and_")]))
    name = "_and_".join(names)
    kernel = replace(
        second_kernel,
        name=name if len(name) <= 60 else "fused",
        vector=spread[0],
        cooperative=spread[1] or 0,
        held=0,
    )
    call = replace(
        second.call,
        kernel=kernel,
        ops=(*first.call.ops, *second.call.ops),
        site=first.call.site or second.call.site,
    )
    return FusionNode(call, [*first.parts, *second.parts], spread=True)
