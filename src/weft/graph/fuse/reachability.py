"""``Reach``: a conservative reachability test between calls, in constant time.

A spanning forest covers the dependency graph: the parent of a call is a call that must run after it. A call runs after
all calls of its subtree, and the subtree test compares intervals of a depth-first numbering. The parent of a call is
the dependent call with the longest path to the end, so that a chain of steps, its gradient included, is nearly one
path. Reachability that the forest does not show is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.graph.fuse.calls import FusionGraph, FusionNode


class Reach:
    """The reachability of the present calls, which stays valid while calls are merged."""

    def __init__(self, calls: FusionGraph) -> None:
        self.calls = calls
        self.span: dict[FusionNode, tuple[int, int]] = _spans(calls, calls.nodes)
        """The interval of the depth-first numbers of each call's subtree."""

    def replaced(self, old: FusionNode, new: FusionNode) -> None:
        """Give a merged call the interval of the last of the calls that it replaces."""
        span = self.span.get(old)
        if span is not None:
            self.span[new] = span

    def separated_by_a_call(self, producer: FusionNode, consumer: FusionNode) -> bool:
        """Return whether a third call is known to run between two calls, so that these cannot be merged."""
        place = self.calls.place
        last = place[consumer]
        after = [self.span.get(node) for node in self.calls.behind(producer)
                 if node is not consumer and node is not producer and place[node] < last]  # fmt: skip
        if not after:
            return False
        before = [self.span.get(node) for node in self.calls.before(consumer) if node is not producer]
        return any(
            later is not None and earlier is not None and earlier[0] <= later[0] < earlier[1]
            for later in after
            for earlier in before
        )


def _spans(calls: FusionGraph, nodes: Sequence[FusionNode]) -> dict[FusionNode, tuple[int, int]]:
    height: dict[FusionNode, int] = {}
    children: dict[FusionNode, list[FusionNode]] = {}
    roots = []
    for node in reversed(nodes):
        parent = max(
            (follower for follower in calls.behind(node) if follower is not node and follower in height),
            key=lambda follower: (height[follower], -calls.place[follower]),
            default=None,
        )
        height[node] = 0 if parent is None else height[parent] + 1
        if parent is None:
            roots.append(node)
        else:
            children.setdefault(parent, []).append(node)
    spans: dict[FusionNode, tuple[int, int]] = {}
    number = 0
    stack: list[tuple[FusionNode, int]] = [(root, -1) for root in roots]
    while stack:
        node, first = stack.pop()
        if first >= 0:
            spans[node] = first, number
            continue
        stack.append((node, number))
        number += 1
        stack += [(child, -1) for child in children.get(node, ())]
    return spans
