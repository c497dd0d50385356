"""The calls of a lowered graph while they are merged: who writes and reads what, in an order that keeps every edge.

An edge is a value that one call writes and another reads, or memory that a call takes over from a value after all
others have read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft.graph.lowered import Block, Call, Lowered, Step, Value
from weft.graph.parts import fresh, loaded, stored
from weft.graph.products import operands, product_part
from weft.kernels import Kernel, Part
from weft.target import TargetProfile


@dataclass(eq=False)
class Node:
    """A call in the making. ``parts`` is ``None`` for library kernels that stay as they are.

    Of a product it is the one part that uses the result's elements; ``operands`` are the values that the product
    itself reads, wherever it likes. ``spread``: the call's kernel says how it is to be spread over the target.
    """

    step: Step
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
    def call(self) -> Call:
        """The step, of a node that is no block."""
        assert isinstance(self.step, Call)
        return self.step

    @property
    def is_product(self) -> bool:
        """Whether the parts use the elements of a product."""
        return bool(self.operands)


def node_of(call: Step, profile: TargetProfile) -> Node:
    """A call as it was lowered; blocks stay whole."""
    if isinstance(call, Block):
        return Node(call, None)
    if isinstance(call.kernel, Kernel):
        return Node(call, [fresh(part) for part in call.kernel.parts])
    part = product_part(call) if profile.capabilities.epilogues else None
    return Node(call, None) if part is None else Node(call, [fresh(part)], operands(call))


class Calls:
    """Nodes in an order that keeps every edge."""

    def __init__(self, lowered: Lowered, profile: TargetProfile) -> None:
        self.values: dict[str, Value] = {value.name: value for value in lowered.values}
        self.kept = {one.value for one in lowered.outputs} | {final for _, final in lowered.states}
        self.heirs: dict[str, list[str]] = {}
        for value in lowered.values:
            if value.over:
                self.heirs.setdefault(value.over, []).append(value.name)
        self.writers: dict[str, Node] = {}
        self.readers: dict[str, list[Node]] = {}
        self.slots: list[Node | None] = [node_of(call, profile) for call in lowered.calls]
        """The calls in order; where one was taken out there is nothing, so that the others keep their places."""
        self.place: dict[Node, int] = {}
        for at, node in enumerate(self.nodes):
            self.place[node] = at
            self._note(node)

    @property
    def nodes(self) -> list[Node]:
        """All calls in order."""
        return [node for node in self.slots if node is not None]

    def __contains__(self, node: Node) -> bool:
        return node in self.place

    def after(self, node: Node, most: int) -> Iterator[Node]:
        """The calls that follow one, at most so many."""
        for at in range(self.place[node] + 1, len(self.slots)):
            found = self.slots[at]
            if found is not None:
                if not most:
                    return
                most -= 1
                yield found

    def refresh(self, node: Node) -> None:
        """Find out anew what a call reads and writes; without parts it is taken out."""
        self._forget(node)
        node.refresh()
        if node.parts:
            self._note(node)
        else:
            self.slots[self.place.pop(node)] = None

    def _note(self, node: Node) -> None:
        for name in node.writes:
            self.writers[name] = node
        for name in self._read(node.reads, node.writes):
            self.readers.setdefault(name, []).append(node)

    def _forget(self, node: Node) -> None:
        for name in node.writes:
            if self.writers.get(name) is node:
                del self.writers[name]
        for name in self._read(node.reads, node.writes):
            self.readers[name].remove(node)

    def _read(self, reads: set[str], writes: set[str]) -> set[str]:
        """What a call reads, and the memory that it takes over."""
        return reads | {self.values[one].over or one for one in writes}

    def whole(self, name: str) -> str:
        """The value whose memory a value lies in, as far as it takes over another's."""
        while self.values[name].over:
            name = self.values[name].over
        return name

    def before(self, node: Node) -> set[Node]:
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

    def behind(self, node: Node) -> Iterator[Node]:
        """Calls that must run after this one."""
        for name in node.writes:
            yield from self.readers.get(name, ())
        for name in node.reads:
            for heir in self.heirs.get(name, ()):
                writer = self.writers.get(heir)
                if writer is not None:
                    yield writer

    def replace(self, old: Sequence[Node], new: Node) -> bool:
        """Put a call in place of others, of which the last stands last; ``False`` where it would wait for itself."""
        places = [self.place[node] for node in old]
        start, last = min(self._earliest(new), *places), places[-1]
        self._exchange(old, [new], [last])
        if all(self.place[node] >= last for node in self.behind(new)):  # the order is right as it is
            return True
        occupied = [at for at in range(start, last + 1) if self.slots[at] is not None]
        ordered = self._ordered([node for at in occupied if (node := self.slots[at]) is not None])
        if ordered is None:
            self._exchange([new], old, places)
            return False
        for at, node in zip(occupied, ordered, strict=True):
            self.slots[at] = node
            self.place[node] = at
        return True

    def _exchange(self, old: Sequence[Node], new: Sequence[Node], places: Sequence[int]) -> None:
        for node in old:
            self._forget(node)
            self.slots[self.place.pop(node)] = None
        for node, at in zip(new, places, strict=True):
            self.slots[at] = node
            self.place[node] = at
            self._note(node)

    def _earliest(self, new: Node) -> int:
        """The first call that takes over memory which ``new`` reads: it has to come later."""
        taking = [self.writers.get(heir) for name in new.reads for heir in self.heirs.get(name, ())]
        return min((self.place[node] for node in taking if node is not None), default=len(self.slots))

    def _ordered(self, nodes: Sequence[Node]) -> list[Node] | None:
        """Neighbouring calls in order, as near to the given one as can be; ``None`` where they form a cycle."""
        inside = set(nodes)
        waits = {node: self.before(node) & inside for node in nodes}
        done: set[Node] = set()
        order: list[Node] = []
        left = list(nodes)
        while left:
            later = []
            for node in left:
                if waits[node] <= done:
                    done.add(node)
                    order.append(node)
                else:
                    later.append(node)
            if len(later) == len(left):
                return None
            left = later
        return order

    def dead(self, name: str) -> bool:
        """Whether nobody wants a value any more."""
        if name in self.kept or self.heirs.get(name):
            return False
        return not any(name in reader.reads for reader in self.readers.get(name, ()))
