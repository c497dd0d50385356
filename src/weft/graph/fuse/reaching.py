"""``Reach``: whether a call comes after another in every order, answered at once for most calls that do.

A forest is laid over the calls: the parent of a call is one that must run after it. A call whose subtree holds another
runs after that one. Parents are chosen for the longest way to the end, so that a program of many steps, its gradient
included, is nearly one line. What no line connects is not known to be ordered.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.graph.fuse.calls import FusionGraph, FusionNode


class Reach:
    """The order of the calls as they are now, and as far as it stays while some are merged."""

    def __init__(self, calls: FusionGraph) -> None:
        self.calls = calls
        self.span: dict[FusionNode, tuple[int, int]] = _spans(calls, calls.nodes)
        """For each call the numbers of the calls of its subtree: its own first, and one past the last."""

    def replaced(self, old: FusionNode, new: FusionNode) -> None:
        """A merged call stands where the last of the merged calls stood."""
        span = self.span.get(old)
        if span is not None:
            self.span[new] = span

    def around(self, producer: FusionNode, consumer: FusionNode) -> bool:
        """Whether a third call is known to lie between two, so that these cannot become one."""
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
