"""The calls of a lowered graph while they are merged: who writes and reads what, in an order that keeps every edge.

An edge is a value that one call writes and another reads, or memory that a call takes over from a value after all
others have read it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft.graph.fuse.products import operands, product_part
from weft.graph.lower.lowered import Block, KernelCall, Lowered, LoweredStep, LoweredValue
from weft.graph.rewriting.parts import fresh, loaded, stored
from weft.kernels import Kernel, Part
from weft.target import TargetProfile

GAP = 1 << 32
"""Between the places of neighbours at first, for calls that are moved between them."""


@dataclass(eq=False)
class FusionNode:
    """A call in the making. ``parts`` is ``None`` for library kernels that stay as they are.

    Of a product it is the one part that uses the result's elements; ``operands`` are the values that the product
    itself reads, wherever it likes. ``spread``: the call's kernel says how it is to be spread over the target.
    """

    step: LoweredStep
    parts: list[Part] | None
    operands: tuple[str, ...] = ()
    spread: bool = False
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Find out anew what is read and written."""
        if self.parts is None:
            self.reads, self.writes = set(self.step.reads), set(self.step.writes)
        else:
            self.reads = {name for part in self.parts for name in loaded(part)} | set(self.operands)
            self.writes = {name for part in self.parts for name in stored(part)}

    @property
    def call(self) -> KernelCall:
        """The step, of a node that is no block."""
        assert isinstance(self.step, KernelCall)
        return self.step

    @property
    def is_product(self) -> bool:
        """Whether the parts use the elements of a product."""
        return bool(self.operands)


def node_of(call: LoweredStep, profile: TargetProfile) -> FusionNode:
    """A call as it was lowered; blocks stay whole."""
    if isinstance(call, Block):
        return FusionNode(call, None)
    if isinstance(call.kernel, Kernel):
        return FusionNode(call, [fresh(part) for part in call.kernel.parts])
    part = product_part(call) if profile.capabilities.epilogues else None
    return FusionNode(call, None) if part is None else FusionNode(call, [fresh(part)], operands(call))


class FusionGraph:
    """Nodes in an order that keeps every edge."""

    def __init__(self, lowered: Lowered, profile: TargetProfile) -> None:
        self.values: dict[str, LoweredValue] = {value.name: value for value in lowered.values}
        self.kept = {output.value for output in lowered.outputs} | {final for _, final in lowered.states}
        self.heirs: dict[str, list[str]] = {}
        for value in lowered.values:
            if value.over:
                self.heirs.setdefault(value.over, []).append(value.name)
        self.writers: dict[str, FusionNode] = {}
        self.readers: dict[str, list[FusionNode]] = {}
        self.place: dict[FusionNode, int] = {}
        """Where each call stands: of two calls the one with the lower number comes first."""
        self._places: list[int] = []
        self._nodes: dict[int, FusionNode] = {}
        for at, call in enumerate(lowered.calls):
            node = node_of(call, profile)
            self._stand(node, at * GAP)
            self._note(node)

    @property
    def nodes(self) -> list[FusionNode]:
        """All calls in order."""
        return [self._nodes[place] for place in self._places]

    def __contains__(self, node: FusionNode) -> bool:
        return node in self.place

    def after(self, node: FusionNode, most: int) -> Iterator[FusionNode]:
        """The calls that follow one, at most so many."""
        at = bisect_right(self._places, self.place[node])
        for place in self._places[at : at + most]:
            yield self._nodes[place]

    def following(self, place: int) -> FusionNode | None:
        """The first call that stands behind a place."""
        at = bisect_right(self._places, place)
        return self._nodes[self._places[at]] if at < len(self._places) else None

    def refresh(self, node: FusionNode) -> None:
        """Find out anew what a call reads and writes; without parts it is taken out."""
        self._forget(node)
        node.refresh()
        if node.parts:
            self._note(node)
        else:
            self._leave(node)

    def _stand(self, node: FusionNode, place: int) -> None:
        self.place[node] = place
        self._nodes[place] = node
        insort(self._places, place)

    def _leave(self, node: FusionNode) -> None:
        place = self.place.pop(node)
        del self._nodes[place]
        del self._places[bisect_left(self._places, place)]

    def _note(self, node: FusionNode) -> None:
        for name in node.writes:
            self.writers[name] = node
        for name in self._read(node.reads, node.writes):
            self.readers.setdefault(name, []).append(node)

    def _forget(self, node: FusionNode) -> None:
        for name in node.writes:
            if self.writers.get(name) is node:
                del self.writers[name]
        for name in self._read(node.reads, node.writes):
            self.readers[name].remove(node)

    def _read(self, reads: set[str], writes: set[str]) -> set[str]:
        """What a call reads, and the memory that it takes over."""
        return reads | {self.values[name].over or name for name in writes}

    def whole(self, name: str) -> str:
        """The value whose memory a value lies in, as far as it takes over another's."""
        while self.values[name].over:
            name = self.values[name].over
        return name

    def before(self, node: FusionNode) -> set[FusionNode]:
        """Calls that must run before this one."""
        found = set()
        for name in node.reads:
            writer = self.writers.get(name)
            if writer is not None:
                found.add(writer)
        for name in node.writes:  # what takes over memory comes after all that reads what lay there
            over = self.values[name].over
            if over:
                found |= set(self.readers.get(over, ()))
                writer = self.writers.get(over)
                if writer is not None:
                    found.add(writer)
        found.discard(node)
        return found

    def behind(self, node: FusionNode) -> Iterator[FusionNode]:
        """Calls that must run after this one."""
        for name in node.writes:
            yield from self.readers.get(name, ())
        for name in node.reads:
            for heir in self.heirs.get(name, ()):
                writer = self.writers.get(heir)
                if writer is not None:
                    yield writer

    def replace(self, old: Sequence[FusionNode], new: FusionNode) -> bool:
        """Put a call in place of others, of which the last stands last; ``False`` where it would wait for itself."""
        places = [self.place[node] for node in old]
        self._exchange(old, [new], places[-1:])
        late = self._depending(new)
        if late is None:
            self._exchange([new], old, places)
            return False
        if late:
            self._move_behind(new, late)
        return True

    def _exchange(self, old: Sequence[FusionNode], new: Sequence[FusionNode], places: Sequence[int]) -> None:
        for node in old:
            self._forget(node)
            self._leave(node)
        for node, at in zip(new, places, strict=True):
            self._stand(node, at)
            self._note(node)

    def _depending(self, new: FusionNode) -> list[FusionNode] | None:
        """The calls before this one that must run after it, in order; ``None`` where it must run after one of them."""
        place = self.place[new]
        found: set[FusionNode] = set()
        left = [new]
        while left:
            now = left.pop()
            for node in self.behind(now):
                if node is new:
                    if now is not new:
                        return None
                elif self.place[node] < place and node not in found:
                    found.add(node)
                    left.append(node)
        return sorted(found, key=lambda node: self.place[node])

    def _move_behind(self, first: FusionNode, nodes: Sequence[FusionNode]) -> None:
        """Let calls stand right behind another, in the order given."""
        if self._gap(first) <= len(nodes):
            self._spread()
        start, step = self.place[first], self._gap(first) // (len(nodes) + 1)
        for number, node in enumerate(nodes, 1):
            self._leave(node)
            self._stand(node, start + number * step)

    def _gap(self, node: FusionNode) -> int:
        """How many numbers there are from a call's place to the next one's."""
        at = bisect_right(self._places, self.place[node])
        return self._places[at] - self.place[node] if at < len(self._places) else GAP

    def _spread(self) -> None:
        """Number all places anew, with gaps."""
        nodes = self.nodes
        self._places = [at * GAP for at in range(len(nodes))]
        self._nodes = dict(zip(self._places, nodes, strict=True))
        self.place = {node: place for place, node in self._nodes.items()}

    def dead(self, name: str) -> bool:
        """Whether nobody wants a value any more."""
        if name in self.kept or self.heirs.get(name):
            return False
        return not any(name in reader.reads for reader in self.readers.get(name, ()))
