"""``ordered``: calls that let go of more memory than they take are made as soon as they can be.

The gradient of a weight is wanted by the optimizer alone, at the end, but the activations that it is made of are
large: made early it is small, made late it keeps them alive. All other calls stay in the order of the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.graph.lowered import Lowered, Step
from weft.target import TargetProfile


def ordered(lowered: Lowered, profile: TargetProfile) -> Lowered:
    """The same calls in an order that keeps every edge."""
    return replace(lowered, calls=tuple(_Ordering(lowered, profile).result()))


class _Ordering:
    def __init__(self, lowered: Lowered, profile: TargetProfile) -> None:
        self.calls = lowered.calls
        self.over = {value.name: value.over for value in lowered.values if value.over}
        self.bytes = {value.name: value.elements * profile.itemsize(value.dtype) for value in lowered.values}
        held = [*lowered.inputs, *(one.value for one in lowered.outputs)]
        held += [name for pair in lowered.states for name in pair]
        self.held = set(map(self._memory, held))
        """Memory that is not the plan's own, and lives throughout."""
        self.used = [{self._memory(name) for name in call.values} - self.held for call in self.calls]
        self.left: dict[str, int] = {}
        """How many calls still use each run of memory."""
        for names in self.used:
            for name in names:
                self.left[name] = self.left.get(name, 0) + 1
        self.waits = _edges(self.calls, self.over, lowered.states)

    def _memory(self, name: str) -> str:
        while name in self.over:
            name = self.over[name]
        return name

    def result(self) -> Sequence[Step]:
        count = len(self.calls)
        waiting = [len(before) for before in self.waits]
        after: list[list[int]] = [[] for _ in range(count)]
        for at, before in enumerate(self.waits):
            for one in before:
                after[one].append(at)
        ready = {at for at in range(count) if not waiting[at]}
        alive: set[str] = set()
        order: list[int] = []
        while ready:
            least, at = min((self._taken(one, alive), one) for one in ready)
            if least >= 0:
                at = min(ready)
            ready.remove(at)
            order.append(at)
            alive |= self.used[at]
            for name in self.used[at]:
                self.left[name] -= 1
                if not self.left[name]:
                    alive.discard(name)
            for one in after[at]:
                waiting[one] -= 1
                if not waiting[one]:
                    ready.add(one)
        assert len(order) == count, "calls do not wait for themselves"
        return [self.calls[at] for at in order]

    def _taken(self, at: int, alive: set[str]) -> int:
        """How many more bytes are alive after a call than before it."""
        new = sum(self.bytes[name] for name in self.used[at] if name not in alive and self.left[name] > 1)
        return new - sum(self.bytes[name] for name in self.used[at] if name in alive and self.left[name] == 1)


def _edges(calls: Sequence[Step], over: dict[str, str], states: Sequence[tuple[str, str]]) -> list[set[int]]:
    """For each call those that come before it, by their places."""
    writers: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for at, call in enumerate(calls):
        for name in call.writes:
            writers[name] = at
        for name in call.reads:
            readers.setdefault(name, []).append(at)
    # a state's new value is written in place where all that read the old one come before it: they stay before it
    replaces = {final: initial for initial, final in states if initial != final}
    waits = []
    for at, call in enumerate(calls):
        before = {writers[name] for name in call.reads if name in writers}
        for name in call.writes:
            if name in over:
                before |= {one for one in readers.get(over[name], ()) if one < at}
                before |= {writers[over[name]]} if over[name] in writers else set()
            if name in replaces:
                before |= {one for one in readers.get(replaces[name], ()) if one < at}
        waits.append(before - {at})
    return waits
