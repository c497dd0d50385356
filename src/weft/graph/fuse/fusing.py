"""``fuse``: kernel fusion. Producers are inlined into their consumers, or consumers are computed with their producers.

Calls are the nodes of a graph whose edges are values and overwritten memory. Two calls are merged where no third call
must run between them, where their index spaces fit (``merging``), and where the merge saves more than it costs: a value
with a single reader need not be stored, and an expensive value is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.expr.node import INDEX
from weft.graph.fuse.calls import FusionGraph, FusionNode
from weft.graph.fuse.costs import is_cheap, times, without
from weft.graph.fuse.horizontal import fuse_horizontally
from weft.graph.fuse.merging import absorbed, attached, inlined
from weft.graph.fuse.products import with_epilogue
from weft.graph.fuse.prologues import reduce_again
from weft.graph.fuse.reachability import Reach
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
"""The most nodes, with functions inlined, of an expression that is cheaper to recompute than to store and load."""
LARGEST = 200
"""The most nodes of a part's expressions: larger parts take long to compile and gain nothing.

Programs of ordinary layers stay below 100 nodes. An unrolled recurrence could be fused without end: with this limit a
selective scan of 64 steps runs 15% slower than with 600 nodes, and is planned four times as fast.
"""
MANY_READERS = 64
"""A value with more readers is not merged with a reader: one load less gains nothing, and trying each reader would take
quadratic time."""
FOLDED_INSIDE = 512
"""The most elements reduced at a point for which a producer is stored by the kernel of the reduction."""
SMALL = 1 << 16
"""The most elements of a kernel that costs less than a dispatch, whatever its parallelism."""
ENOUGH_POINTS = 64
"""The least points that use the machine's parallelism where each point reduces a row."""


def fuse(lowered: Lowered, profile: TargetProfile) -> Lowered:
    """Return a lowered graph with the same inputs, states and outputs, and fewer calls."""
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
        """The calls that this round has created."""

    def result(self) -> Lowered:
        self._sweep({name for node in self.calls.nodes for name in node.writes})
        # epilogues of products first, before other merges take their operations
        for products in (
            True,
            False,
        ):
            while merged := self._round(products, self.calls.nodes):
                while merged:  # only pairs with a new call can be merged: all others were refused
                    merged = self._round(products, self._affected(merged))
                self.refused.clear()  # refused pairs may fit now that fewer values are read
                self.reach = Reach(self.calls)
        reduce_again(self.calls, self.profile, self._exchange)
        if self.profile.capabilities.workgroups:
            fuse_horizontally(self.calls, self._is_valid, self._call)
        calls = tuple(self._step(node) for node in self.calls.nodes)
        used = {name for call in calls for name in call.values} | self.calls.kept
        used |= set(self.lowered.inputs) | {name for pair in self.lowered.states for name in pair}
        for name in list(used):
            while self.values[name].overwrites:
                name = self.values[name].overwrites
                used.add(name)
        values = tuple(value for value in self.lowered.values if value.name in used)
        return replace(self.lowered, values=values, calls=calls)

    # Merging.

    def _round(self, products: bool, nodes: Sequence[FusionNode]) -> list[FusionNode]:
        """Merge each call with the producers of the values that it reads; return the new calls."""
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

    def _affected(self, merged: Sequence[FusionNode]) -> list[FusionNode]:
        """Return the merged calls and the readers of their values, in order."""
        found = set(merged)
        for node in merged:
            for name in node.writes:
                found |= set(self.calls.readers.get(name, ()))
        return sorted(found, key=lambda node: self.calls.place[node])

    def _merge(self, producer: FusionNode, consumer: FusionNode, name: str) -> bool:
        value = self.values[name]
        if value.overwrites or self.calls.overwriting.get(name) or (producer, consumer, name) in self.refused:
            return False
        if self._inline(producer, consumer, value) or self._join(producer, consumer, value):
            return True
        self.refused.add((producer, consumer, name))
        return False

    def _inline(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """Inline a value into a consumer; its store is removed with its last reader."""
        assert producer.parts is not None and consumer.parts is not None
        if len(producer.parts) != 1 or producer.is_product or value.name in consumer.operands:
            return False
        (part,) = producer.parts
        if part.reductions or part.checks or any(self.values[name].overwrites for name in producer.writes):
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
        return self._replace([consumer], together)

    def _join(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """Merge producer and consumer into one kernel, at the points of one of them."""
        assert producer.parts is not None and consumer.parts is not None
        reports = producer.call.report and consumer.call.report
        if len(consumer.parts) != 1 or consumer.is_product or reports:
            return False
        if len(self.calls.readers[value.name]) > MANY_READERS:
            return False
        if self.reach.separated_by_a_call(producer, consumer):
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
        return self._replace([producer, consumer], together)

    def _join_pieces(self, producer: FusionNode, consumer: FusionNode, value: LoweredValue) -> bool:
        """Merge a consumer with a producer of several parts: each part computes a piece of the consumer."""
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
        return self._replace([producer, consumer], FusionNode(_named(producer, consumer), parts))

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

    def _replace(self, old: list[FusionNode], together: FusionNode) -> bool:
        """Replace calls by one call where that is sound, and remove stores that are dead then."""
        if not self._is_valid(together) or not self.calls.replace(old, together):
            return False
        self.reach.replaced(old[-1], together)
        self.merged.append(together)
        self._sweep({name for node in old for name in node.reads - together.reads})
        return True

    def _exchange(self, producer: FusionNode, reader: FusionNode, merged: FusionNode) -> bool:
        """Replace a reader of the producer's values by a kernel that reads other values."""
        return all(map(_fits, merged.parts or ())) and self._replace([reader], merged)

    def _sweep(self, names: set[str]) -> None:
        """Remove the stores of dead values and calls without stores, transitively."""
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

    def _is_valid(self, node: FusionNode) -> bool:
        """Return whether a kernel binds few enough buffers, and overwrites memory only at points that read it."""
        assert node.parts is not None
        whole = self.calls.whole
        multiplied = {whole(name) for name in node.operands}
        # where the parts together bind too many buffers, the plan splits the kernel by parts
        for part in node.parts:
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
                if any(map(may_coincide, places)):  # a point could read what another point has written
                    return False
        made: dict[str, int] = {}  # parts run in parallel, so no part may read what another part writes
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
        """Return a node's call, or its block with every body fused."""
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
        """Return the fused calls of a block; ``kept`` are the values that are read outside of the block."""
        results = tuple(Result(name, TensorType((), self.values[name].dtype)) for name in kept)
        body = replace(self.lowered, calls=tuple(calls), inputs=(), states=(), outputs=results)
        return _Fusing(body, self.profile, start, step).result().calls

    def _call(self, node: FusionNode) -> KernelCall:
        """Return a node's call with the kernel of its present parts."""
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
    """Return whether two parts together have few enough nodes to try a merge."""
    return len(first.nodes) + len(second.nodes) <= LARGEST


def _fits(part: Part) -> bool:
    return len(part.nodes) <= LARGEST


def _named(first: FusionNode, second: FusionNode) -> KernelCall:
    """Return the call of a merge: the product's call, else the second call, with the names of both kernels."""
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
