"""``fuse``: fewer kernels for the same values. Producers go into what reads them, consumers into what makes their data.

Calls are nodes of a graph whose edges are values, and the order in which memory is taken over. Two calls may become
one where no third lies between them, where the index spaces fit (``merging``), and where it saves more than it costs:
a value that is read once is not stored at all; one that is dear to compute is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.expr.node import INDEX
from weft.graph.fuse.calls import FusionGraph, FusionNode
from weft.graph.fuse.costs import is_cheap, times, without
from weft.graph.fuse.merging import absorbed, attached, inlined
from weft.graph.fuse.products import with_epilogue
from weft.graph.fuse.reaching import Reach
from weft.graph.fuse.together import side_by_side
from weft.graph.fuse.tuning import tuned
from weft.graph.lower.lowered import (
    Choose,
    KernelCall,
    Lowered,
    LoweredStep,
    LoweredValue,
    Repeat,
    RepeatWhile,
    Result,
)
from weft.graph.rewriting.parts import folded, loaded, loads, numbered, points, stored, uses
from weft.graph.rewriting.renaming import ROUND
from weft.kernels import Buffer, Kernel, Part, may_coincide
from weft.ops import TensorType
from weft.target import Parameter, TargetProfile

CHEAP = 12
"""Nodes of an expression, written out, that cost less to compute again than to store and load."""
LARGEST = 200
"""Nodes of a part's expressions, at most: larger ones take long to compile and gain nothing.

Programs of ordinary layers stay below 100. A recurrence that is written out has no end of what could be fused: a
selective scan of 64 steps runs 15% slower than with 600 nodes, and is planned four times as fast.
"""
MANY_READERS = 64
"""Readers of a value from which on it is computed with none of them: one load less of so many gains nothing, and to
look at all of them for each would take time by the square of their number."""
FOLDED_INSIDE = 512
"""Elements folded at a point up to which a producer is stored by the kernel that folds it."""
SMALL = 1 << 16
"""Elements of a kernel up to which it is worth less than a dispatch, whatever its parallelism."""
ENOUGH_POINTS = 64
"""Points that use a machine's width where each of them does a row."""


def fuse(lowered: Lowered, profile: TargetProfile) -> Lowered:
    """The same values, inputs, states and outputs from fewer calls."""
    return _Fusing(lowered, profile, 0, 1).result()


class _Fusing:
    def __init__(self, lowered: Lowered, profile: TargetProfile, start: int, step: int) -> None:
        self.lowered, self.profile = lowered, profile
        self.start, self.step = start, step
        self.calls = FusionGraph(lowered, profile)
        self.values = self.calls.values
        self.limit = profile.storage_buffers
        self.refused: set[tuple[FusionNode, FusionNode, str]] = set()
        self.reach = Reach(self.calls)
        self.merged: list[FusionNode] = []
        """Calls that this round has made."""

    def result(self) -> Lowered:
        self._sweep({name for node in self.calls.nodes for name in node.writes})
        for products in (True, False):  # what follows a product first: elsewhere it would be read again
            while merged := self._round(products, self.calls.nodes):
                while merged:  # all other pairs were refused
                    merged = self._round(products, self._beside(merged))
                self.refused.clear()  # what was refused may do now that less is read
                self.reach = Reach(self.calls)
        if self.profile.capabilities.workgroups:
            side_by_side(self.calls, self._sound, self._call)
        calls = tuple(self._step(node) for node in self.calls.nodes)
        used = {name for call in calls for name in call.values} | self.calls.kept
        used |= set(self.lowered.inputs) | {name for pair in self.lowered.states for name in pair}
        for name in list(used):
            while self.values[name].over:
                name = self.values[name].over
                used.add(name)
        values = tuple(value for value in self.lowered.values if value.name in used)
        return replace(self.lowered, values=values, calls=calls)

    # Merging.

    def _round(self, products: bool, nodes: Sequence[FusionNode]) -> list[FusionNode]:
        """Merge calls with those that make what they read; gives the new calls."""
        self.merged = []
        for node in nodes:
            if node not in self.calls or node.parts is None:
                continue
            for value in sorted(node.reads):
                if node not in self.calls:
                    break
                producer = self.calls.writers.get(value)
                if producer is None or producer is node or producer.parts is None or value not in node.reads:
                    continue
                if producer.is_product or not products:
                    self._merge(producer, node, value)
        return [node for node in self.merged if node in self.calls]

    def _beside(self, merged: Sequence[FusionNode]) -> list[FusionNode]:
        """Calls that were merged and those that read what they write, in order."""
        found = set(merged)
        for node in merged:
            for name in node.writes:
                found |= set(self.calls.readers.get(name, ()))
        return sorted(found, key=lambda node: self.calls.place[node])

    def _merge(self, producer: FusionNode, consumer: FusionNode, name: str) -> bool:
        value = self.values[name]
        if value.over or self.calls.heirs.get(name) or (producer, consumer, name) in self.refused:
            return False
        if self._inline(producer, consumer, value) or self._join(producer, consumer, value):
            return True
        self.refused.add((producer, consumer, name))
        return False

    def _inline(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """Compute a value where it is read; its store goes once nobody reads it."""
        assert producer.parts is not None and consumer.parts is not None
        if len(producer.parts) != 1 or producer.is_product or value.name in consumer.operands:
            return False
        (part,) = producer.parts
        if part.reductions or part.checks or any(self.values[name].over for name in producer.writes):
            return False
        alone = value.name not in self.calls.kept and len(self.calls.readers[value.name]) == 1
        simple = alone or len(part.stores) == 1 and len(loaded(part)) <= 1
        if not (simple and is_cheap(part, value.name, CHEAP)) and not (
            alone and sum(times(part, value.name, value.elements) for part in consumer.parts) <= 1
        ):
            return False
        made = []
        for reader in consumer.parts:
            if not loads(reader, value.name):
                made.append(reader)
                continue
            found = inlined(part, reader, value) if _may_fit(part, reader) else None
            if found is None or not _fits(found):
                return False
            made.append(found)
        together = FusionNode(_named(producer, consumer), made, consumer.operands)
        return self._put([consumer], together)

    def _join(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """One kernel for both, at the points of one of them."""
        assert producer.parts is not None and consumer.parts is not None
        reports = producer.call.report and consumer.call.report
        if len(consumer.parts) != 1 or consumer.is_product or reports:
            return False
        if len(self.calls.readers[value.name]) > MANY_READERS:
            return False
        if self.reach.around(producer, consumer):
            return False
        if len(producer.parts) != 1:
            return self._join_pieces(producer, consumer, value)
        (first,), (second,) = producer.parts, consumer.parts
        if not _may_fit(first, second):
            return False
        found = absorbed(first, second, value, self.values) if self._may_absorb(producer, consumer) else None
        if found is None and not producer.is_product and self._may_attach(first, second):
            found = attached(first, second, value, self.values)
        if found is None or not _fits(found):
            return False
        together = FusionNode(_named(producer, consumer), [found], producer.operands)
        return self._put([producer, consumer], together)

    def _join_pieces(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """The same where several parts make a value together: the consumer is computed in pieces."""
        assert producer.parts is not None and consumer.parts is not None
        (second,) = consumer.parts
        pieces = [part for part in producer.parts if value.name in stored(part)]
        whole = sum(points(part) * (folded(part) if _stores_inside(part, value) else 1) for part in pieces)
        if second.reduce_axes or whole != value.elements:
            return False
        parts = []
        for part in producer.parts:
            if part in pieces and not _may_fit(part, second):
                return False
            found = absorbed(part, second, value, self.values, piece=True) if part in pieces else part
            if found is None or not _fits(found):
                return False
            parts.append(found)
        return self._put([producer, consumer], FusionNode(_named(producer, consumer), parts))

    def _may_absorb(self, producer: FusionNode, consumer: FusionNode) -> bool:
        assert producer.parts is not None and consumer.parts is not None
        (first,), (second,) = producer.parts, consumer.parts
        if producer.is_product:
            return not second.reduce_axes
        if not first.reduce_axes or not second.reduce_axes and points(second) == points(first):
            return True
        return points(first) * folded(first) <= SMALL or points(first) >= ENOUGH_POINTS

    def _may_attach(self, producer: Part, consumer: Part) -> bool:
        if not consumer.reduce_axes:
            return False
        return folded(consumer) <= FOLDED_INSIDE and (
            points(consumer) >= ENOUGH_POINTS or points(producer) <= SMALL
        )

    def _put(self, old: list[FusionNode], together: FusionNode) -> bool:
        """Put one call in place of others where that is sound; drop what nobody reads any more."""
        if not self._sound(together) or not self.calls.replace(old, together):
            return False
        self.reach.replaced(old[-1], together)
        self.merged.append(together)
        self._sweep({name for node in old for name in node.reads - together.reads})
        return True

    def _sweep(self, names: set[str]) -> None:
        """Drop stores of those of the values that nobody reads, and calls without stores; then of what they read."""
        while names:
            dead: dict[FusionNode, set[str]] = {}
            for name in names:
                node = self.calls.writers.get(name)
                if node is not None and node.parts is not None and self.calls.dead(name):
                    dead.setdefault(node, set()).add(name)
            names = set()
            for node, unread in dead.items():
                assert node.parts is not None
                before = node.reads
                parts = [without(part, unread) for part in node.parts]
                node.parts = [part for part in parts if part.stores or part.checks]
                self.calls.refresh(node)
                names |= before - node.reads

    def _sound(self, node: FusionNode) -> bool:
        """Whether the kernel writes over what it reads only at the very place, and binds no more than it may."""
        assert node.parts is not None
        whole = self.calls.whole
        multiplied = {whole(name) for name in node.operands}
        for (
            part
        ) in node.parts:  # of several parts the plan makes several kernels where they bind too much together
            memory = {whole(name) for name in loaded(part) | stored(part)} - multiplied
            if len(memory) + len(node.operands) + bool(node.call.report) > self.limit:
                return False
        written = {whole(name): name for name in node.writes}
        if multiplied & written.keys() or node.is_product and uses(node.parts, ROUND):
            return False
        for part in node.parts:
            for name in loaded(part):
                target = written.get(whole(name))
                if target is None:
                    continue
                places = {store.index for store in part.stores if store.buffer == target}
                elsewhere = any(load.args[0] not in places for load in loads(part, name))
                if name == target or len(places) != 1 or part.reductions or elsewhere:
                    return False
                if any(map(may_coincide, places)):  # a point would read what another has written
                    return False
        made: dict[str, int] = {}  # parts run side by side: none reads what another writes
        for at, part in enumerate(node.parts):
            for name in stored(part):
                if made.setdefault(whole(name), at) != at:
                    made[whole(name)] = -1
        for at, part in enumerate(node.parts):
            if any(made.get(whole(name), at) != at for name in loaded(part)):
                return False
        return True

    # Kernels.

    def _step(self, node: FusionNode) -> LoweredStep:
        """A node's call, or its block with every body fused by itself."""
        block = node.step
        if isinstance(block, Repeat):
            return replace(block, calls=self._within(block.calls, block.kept, block.start, block.step))
        if isinstance(block, Choose):
            then, otherwise = (
                self._within(calls, block.kept, self.start, self.step)
                for calls in (block.then, block.otherwise)
            )
            return replace(block, then=then, otherwise=otherwise)
        if isinstance(block, RepeatWhile):
            condition = self._within(block.condition, (block.predicate,), 0, 1)
            return replace(block, condition=condition, calls=self._within(block.calls, block.kept, 0, 1))
        return self._call(node)

    def _within(
        self, calls: Sequence[LoweredStep], kept: Sequence[str], start: int, step: int
    ) -> tuple[LoweredStep, ...]:
        """The calls of a block, fused; ``kept`` are the values that are read outside of them."""
        results = tuple(Result(name, TensorType((), self.values[name].dtype)) for name in kept)
        body = replace(self.lowered, calls=tuple(calls), inputs=(), states=(), outputs=results)
        return _Fusing(body, self.profile, start, step).result().calls

    def _call(self, node: FusionNode) -> KernelCall:
        """A call with the kernel that its parts are by now."""
        if node.parts is None:
            return node.call
        if node.is_product:
            return with_epilogue(node.call, node.parts[0], self.values)
        assert isinstance(node.call.kernel, Kernel)
        names = sorted(node.reads - node.writes) + sorted(node.writes)
        parts = numbered(node.parts)
        buffers = tuple(
            Buffer(name, self.values[name].dtype, "read_write" if name in node.writes else "read")
            for name in names
        )
        before = node.call.kernel
        if node.spread:
            kernel = replace(before, buffers=buffers, parameters=(), parts=parts)
        else:
            kernel = tuned(Kernel(before.name, buffers, (), parts), before, self.profile)
        written = tuple(at for at, name in enumerate(names) if name in node.writes)
        in_loop = uses(parts, ROUND)
        if in_loop:
            kernel = replace(kernel, parameters=(Parameter("round", INDEX),))
        return replace(
            node.call,
            kernel=kernel,
            values=tuple(names),
            written=written,
            arguments=(self.start,) if in_loop else (),
            advance=(self.step,) if in_loop else (),
        )


def _stores_inside(part: Part, value: LoweredValue) -> bool:
    return any(store.inner for store in part.stores if store.buffer == value.name)


def _may_fit(first: Part, second: Part) -> bool:
    """Whether two parts together are small enough, known before they are put together."""
    return len(first.nodes) + len(second.nodes) <= LARGEST


def _fits(part: Part) -> bool:
    return len(part.nodes) <= LARGEST


def _named(first: FusionNode, second: FusionNode) -> KernelCall:
    """The call of both: a product's where one is, else the second's, with a name that says what is in it."""
    ops = (*first.call.ops, *second.call.ops)
    report = first.call.report or second.call.report
    call = first.call if first.is_product else second.call
    site = first.call.site or second.call.site
    kernel = call.kernel
    if isinstance(kernel, Kernel):
        name = first.call.kernel.name if isinstance(first.call.kernel, Kernel) else ""
        joined = kernel.name if kernel.name in name.split("_and_") else f"{name}_and_{kernel.name}"
        kernel = replace(kernel, name=joined if len(joined) <= 60 else "fused")
    return replace(call, ops=ops, report=report, site=site, kernel=kernel)
