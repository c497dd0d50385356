"""The calls of a lowered graph during fusion, with their writers and readers, in a topological order.

An edge leads from the call that writes a value to each call that reads it. An edge also leads from each reader of a
value to the call that overwrites its memory.
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
"""The initial distance between the positions of neighbours, so that calls can be moved between them."""


@dataclass(eq=False)
class FusionNode:
    """A call during fusion. ``parts`` is ``None`` for library kernels that are not fused.

    A matrix product has a single part, which uses the elements of the result; ``operands`` are the values that the
    product reads, at any index. ``spread``: whether the schedule of the call's kernel is kept.
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
        """Recompute the values that are read and written."""
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
    """Return the node of a lowered call; a block is one node without parts."""
    if isinstance(call, Block):
        return FusionNode(call, None)
    if isinstance(call.kernel, Kernel):
        return FusionNode(call, [fresh(part) for part in call.kernel.parts])
    part = product_part(call) if profile.capabilities.epilogues else None
    return FusionNode(call, None) if part is None else FusionNode(call, [fresh(part)], operands(call))


class FusionGraph:
    """The nodes of a lowered graph in a topological order."""

    def __init__(self, lowered: Lowered, profile: TargetProfile) -> None:
        self.values: dict[str, LoweredValue] = {value.name: value for value in lowered.values}
        self.kept = {output.value for output in lowered.outputs} | {final for _, final in lowered.states}
        self.overwriting: dict[str, list[str]] = {}
        """The values that overwrite the memory of a value, by its name."""
        for value in lowered.values:
            if value.overwrites:
                self.overwriting.setdefault(value.overwrites, []).append(value.name)
        self.writers: dict[str, FusionNode] = {}
        self.readers: dict[str, list[FusionNode]] = {}
        self.place: dict[FusionNode, int] = {}
        """The position of each call; a call with a lower position comes first."""
        self._places: list[int] = []
        self._nodes: dict[int, FusionNode] = {}
        for at, call in enumerate(lowered.calls):
            node = node_of(call, profile)
            self._insert(node, at * GAP)
            self._note(node)

    @property
    def nodes(self) -> list[FusionNode]:
        """All calls in order."""
        return [self._nodes[place] for place in self._places]

    def __contains__(self, node: FusionNode) -> bool:
        return node in self.place

    def after(self, node: FusionNode, most: int) -> Iterator[FusionNode]:
        """Yield the calls that follow a call, at most ``most``."""
        at = bisect_right(self._places, self.place[node])
        for place in self._places[at : at + most]:
            yield self._nodes[place]

    def following(self, place: int) -> FusionNode | None:
        """Return the first call behind a position."""
        at = bisect_right(self._places, place)
        return self._nodes[self._places[at]] if at < len(self._places) else None

    def refresh(self, node: FusionNode) -> None:
        """Recompute what a call reads and writes; a call without parts is removed."""
        self._forget(node)
        node.refresh()
        if node.parts:
            self._note(node)
        else:
            self._remove(node)

    def _insert(self, node: FusionNode, place: int) -> None:
        self.place[node] = place
        self._nodes[place] = node
        insort(self._places, place)

    def _remove(self, node: FusionNode) -> None:
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
        """Return the values that a call reads, and the values whose memory it overwrites."""
        return reads | {self.values[name].overwrites or name for name in writes}

    def whole(self, name: str) -> str:
        """Return the value that owns a value's memory, through all values that it overwrites."""
        while self.values[name].overwrites:
            name = self.values[name].overwrites
        return name

    def before(self, node: FusionNode) -> set[FusionNode]:
        """Return the calls that must run before a call."""
        found = set()
        for name in node.reads:
            writer = self.writers.get(name)
            if writer is not None:
                found.add(writer)
        for name in node.writes:  # a call that overwrites memory comes after all readers of the old value
            overwritten = self.values[name].overwrites
            if overwritten:
                found |= set(self.readers.get(overwritten, ()))
                writer = self.writers.get(overwritten)
                if writer is not None:
                    found.add(writer)
        found.discard(node)
        return found

    def behind(self, node: FusionNode) -> Iterator[FusionNode]:
        """Yield the calls that must run after a call."""
        for name in node.writes:
            yield from self.readers.get(name, ())
        for name in node.reads:
            for overwriter in self.overwriting.get(name, ()):
                writer = self.writers.get(overwriter)
                if writer is not None:
                    yield writer

    def replace(self, old: Sequence[FusionNode], new: FusionNode) -> bool:
        """Replace calls, given in order, by one call; return ``False`` and change nothing where that makes a cycle."""
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
            self._remove(node)
        for node, at in zip(new, places, strict=True):
            self._insert(node, at)
            self._note(node)

    def _depending(self, new: FusionNode) -> list[FusionNode] | None:
        """Return the calls that stand before a call but must run after it, in order; ``None`` for a cycle."""
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
        """Move calls right behind another call, in the given order."""
        if self._gap(first) <= len(nodes):
            self._spread()
        start, step = self.place[first], self._gap(first) // (len(nodes) + 1)
        for number, node in enumerate(nodes, 1):
            self._remove(node)
            self._insert(node, start + number * step)

    def _gap(self, node: FusionNode) -> int:
        """Return the distance from a call's position to the next call's."""
        at = bisect_right(self._places, self.place[node])
        return self._places[at] - self.place[node] if at < len(self._places) else GAP

    def _spread(self) -> None:
        """Renumber all positions, with gaps."""
        nodes = self.nodes
        self._places = [at * GAP for at in range(len(nodes))]
        self._nodes = dict(zip(self._places, nodes, strict=True))
        self.place = {node: place for place, node in self._nodes.items()}

    def dead(self, name: str) -> bool:
        """Return whether a value is dead: not kept, not overwritten in place, and without readers."""
        if name in self.kept or self.overwriting.get(name):
            return False
        return not any(name in reader.reads for reader in self.readers.get(name, ()))
