"""``ordered``: schedule calls that free more memory than they allocate as early as possible.

The optimizer reads the gradient of a weight at the end of the program, while the activations from which it is computed
are large: computed early, the gradient lets them be freed. All other calls stay in program order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush

from weft.graph.lower.lowered import Lowered, LoweredStep
from weft.target import TargetProfile


def ordered(lowered: Lowered, profile: TargetProfile) -> Lowered:
    """Return the same calls in another topological order."""
    return replace(lowered, calls=tuple(_Ordering(lowered, profile).result()))


class _Ordering:
    def __init__(self, lowered: Lowered, profile: TargetProfile) -> None:
        self.calls = lowered.calls
        self.overwrites = {value.name: value.overwrites for value in lowered.values if value.overwrites}
        self.bytes = {value.name: value.elements * profile.itemsize(value.dtype) for value in lowered.values}
        held = [*lowered.inputs, *(output.value for output in lowered.outputs)]
        held += [name for pair in lowered.states for name in pair]
        self.held = set(map(self._memory, held))
        """Memory of inputs, states and outputs, which is live throughout."""
        self.used = [{self._memory(name) for name in call.values} - self.held for call in self.calls]
        self.users: dict[str, list[int]] = {}
        for at, names in enumerate(self.used):
            for name in names:
                self.users.setdefault(name, []).append(at)
        self.left = {name: len(users) for name, users in self.users.items()}
        """The number of remaining calls that use each run of memory."""
        self.alive: set[str] = set()
        self.ready: set[int] = set()
        """The calls whose dependencies have run."""
        self.taken: dict[int, int] = {}
        self.least: list[tuple[int, int]] = []
        """A heap of ready calls by memory change, with outdated entries; ``first`` is a heap of their positions."""
        self.first: list[int] = []
        self.waits = _edges(self.calls, self.overwrites, lowered.states)

    def _memory(self, name: str) -> str:
        while name in self.overwrites:
            name = self.overwrites[name]
        return name

    def result(self) -> Sequence[LoweredStep]:
        count = len(self.calls)
        waiting = [len(before) for before in self.waits]
        after: list[list[int]] = [[] for _ in range(count)]
        for at, before in enumerate(self.waits):
            for earlier in before:
                after[earlier].append(at)
        self.ready = {at for at in range(count) if not waiting[at]}
        for at in sorted(self.ready):
            self._offer(at)
        order: list[int] = []
        while self.ready:
            at = self._next()
            self.ready.remove(at)
            order.append(at)
            self._done(at)
            for later in after[at]:
                waiting[later] -= 1
                if not waiting[later]:
                    self.ready.add(later)
                    self._offer(later)
        assert len(order) == count, "the dependencies of calls have no cycle"
        return [self.calls[at] for at in order]

    def _offer(self, at: int) -> None:
        """Push a ready call with its present memory change."""
        taken = self.taken[at] = self._taken(at)
        heappush(self.least, (taken, at))
        heappush(self.first, at)

    def _next(self) -> int:
        """Return the ready call that frees most memory, else the first ready call in program order."""
        while self.least[0][1] not in self.ready or self.taken[self.least[0][1]] != self.least[0][0]:
            heappop(self.least)
        taken, at = self.least[0]
        if taken < 0:
            return at
        while self.first[0] not in self.ready:
            heappop(self.first)
        return self.first[0]

    def _done(self, at: int) -> None:
        """Update the use counts after a call, and push ready calls whose memory change differs now."""
        changed: set[int] = set()
        for name in self.used[at]:
            self.left[name] -= 1
            if name not in self.alive or self.left[name] == 1:
                changed.update(self.users[name])
            self.alive.add(name)
            if not self.left[name]:
                self.alive.discard(name)
        for call in changed & self.ready:
            self._offer(call)

    def _taken(self, at: int) -> int:
        """Return the change in live bytes by a call."""
        taken = 0
        for name in self.used[at]:
            if name not in self.alive:
                taken += self.bytes[name] if self.left[name] > 1 else 0
            elif self.left[name] == 1:
                taken -= self.bytes[name]
        return taken


def _edges(
    calls: Sequence[LoweredStep], overwrites: dict[str, str], states: Sequence[tuple[str, str]]
) -> list[set[int]]:
    """Return the positions of the calls that must run before each call."""
    writers: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for at, call in enumerate(calls):
        for name in call.writes:
            writers[name] = at
        for name in call.reads:
            readers.setdefault(name, []).append(at)
    # a state's new value is written in place where all readers of the old value run before: that order is kept
    replaces = {final: initial for initial, final in states if initial != final}
    waits = []
    for at, call in enumerate(calls):
        before = {writers[name] for name in call.reads if name in writers}
        for name in call.writes:
            if name in overwrites:
                before |= {reader for reader in readers.get(overwrites[name], ()) if reader < at}
                before |= {writers[overwrites[name]]} if overwrites[name] in writers else set()
            if name in replaces:
                before |= {reader for reader in readers.get(replaces[name], ()) if reader < at}
        waits.append(before - {at})
    return waits
