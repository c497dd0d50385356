"""The calls of a lowered graph while they are merged: who writes and reads what, in an order that keeps every edge.

An edge is a value that one call writes and another reads, or memory that a call takes over from a value after all
others have read it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    part = product_part(call) if profile.dialect != "llvm" else None
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
        self.nodes = [node_of(call, profile) for call in lowered.calls]
        self.writers: dict[str, Node] = {}
        self.readers: dict[str, list[Node]] = {}
        self._indexed: dict[Node, tuple[set[str], set[str]]] = {}
        """The calls that these two know, with what each read and wrote then."""
        self.index()

    def __contains__(self, node: Node) -> bool:
        return id(node) in self.place

    def index(self) -> None:
        """Bring writers and readers up to date where calls came, went or changed, and number the places of all."""
        for node, (reads, writes) in list(self._indexed.items()):
            if node.reads is not reads or node.writes is not writes:
                self._forget(node)
        self.place = {id(node): at for at, node in enumerate(self.nodes)}
        for node in [one for one in self._indexed if id(one) not in self.place]:
            self._forget(node)
        for node in self.nodes:
            if node in self._indexed:
                continue
            self._indexed[node] = node.reads, node.writes
            for name in node.writes:
                self.writers[name] = node
            for name in self._read(node.reads, node.writes):
                self.readers.setdefault(name, []).append(node)

    def _forget(self, node: Node) -> None:
        reads, writes = self._indexed.pop(node)
        for name in writes:
            if self.writers.get(name) is node:
                del self.writers[name]
        for name in self._read(reads, writes):
            self.readers[name].remove(node)

    def _read(self, reads: set[str], writes: set[str]) -> set[str]:
        """What a call reads, and the memory that it takes over."""
        return reads | {self.values[one].over or one for one in writes}

    def whole(self, name: str) -> str:
        """The value whose memory a value lies in, as far as it takes over another's."""
        while self.values[name].over:
            name = self.values[name].over
        return name

    def before(self, node: Node) -> set[int]:
        """Calls that must run before this one, by identity."""
        found = set()
        for name in node.reads:
            writer = self.writers.get(name)
            if writer is not None and writer is not node:
                found.add(id(writer))
        for name in node.writes:  # what takes over memory comes after all that reads what lay there
            over = self.values[name].over
            if over:
                found |= {id(reader) for reader in self.readers.get(over, ()) if reader is not node}
                writer = self.writers.get(over)
                if writer is not None and writer is not node:
                    found.add(id(writer))
        return found

    def replace(self, old: Sequence[Node], new: Node) -> bool:
        """Put a call in place of others, of which the last stands last; ``False`` where it would wait for itself."""
        places = [self.place[id(node)] for node in old]
        start, stop = min(self._earliest(new), *places), max(places) + 1
        before = self.nodes
        window = [node for node in before[start:stop] if node not in old[:-1]]
        self.nodes = [
            *before[:start], *(new if node is old[-1] else node for node in window), *before[stop:]
        ]  # fmt: skip
        self.index()
        window = self.nodes[start : start + len(window)]
        ordered = self._ordered(window)
        if ordered is None:
            self.nodes = before
            self.index()
            return False
        if ordered != window:
            self.nodes[start : start + len(window)] = ordered
            self.place = {id(node): at for at, node in enumerate(self.nodes)}
        return True

    def _earliest(self, new: Node) -> int:
        """The first call that takes over memory which ``new`` reads: it has to come later."""
        taking = [self.writers.get(heir) for name in new.reads for heir in self.heirs.get(name, ())]
        return min((self.place[id(node)] for node in taking if node is not None), default=len(self.nodes))

    def _ordered(self, nodes: Sequence[Node]) -> list[Node] | None:
        """Neighbouring calls in order, as near to the given one as can be; ``None`` where they form a cycle."""
        inside = {id(node) for node in nodes}
        waits = {id(node): self.before(node) & inside for node in nodes}
        done: set[int] = set()
        order: list[Node] = []
        left = list(nodes)
        while left:
            later = []
            for node in left:
                if waits[id(node)] <= done:
                    done.add(id(node))
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
