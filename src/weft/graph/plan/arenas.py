"""Where the plan's own values lie: arenas, in which values that are not alive at the same time share bytes.

Some values should lie *apart*, in different arenas: a kernel may bind as read-only what lies in no buffer that it
writes, and GPUs cache only what they know to be constant. A matrix product at 43 TFLOP/s so runs at 29 where its
operands and its result share an arena. Where that would cost memory, the pairs of the least work share again.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.errors import UnsupportedError
from weft.plan import ALIGNMENT

ARENAS = 3
"""Arenas among which values that lie apart are spread: attention's scores, operands and results need three."""
TRIES = 12
"""Times that values are placed anew, for each order in which they are."""
MORE_TRIES = 40
"""The same where one arena for all is still not close to what is alive."""
CLOSE = 1.03
"""How much larger than what is alive arenas may be before values are placed anew."""
ROOMY = 1.08
"""How much larger they may be where values lie apart."""
EFFORT = 1 << 24
"""Pairs of runs that are compared at each order, at most: programs of thousands of values are placed once."""
THIN = (0.0, 1 / 64, 1 / 16, 1 / 4)
"""Pairs with less than this share of the heaviest pair's work need not lie apart, tried in turn."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of memory: its bytes, and the first and the last call that use it."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class ArenaLayout:
    """Bytes of every arena, the arena and offset of every run, and the most bytes that are alive at one time."""

    arenas: tuple[int, ...]
    places: Mapping[str, tuple[int, int]]
    peak: int

    @property
    def total(self) -> int:
        """Bytes of all arenas."""
        return sum(self.arenas)


def arrange(runs: Mapping[str, Run], limit: int, apart: Mapping[frozenset[str], float]) -> ArenaLayout:
    """A layout in arenas of at most ``limit`` bytes; ``apart`` says how much work pairs do that should lie apart.

    ``UnsupportedError`` for a run that is larger than the limit.
    """
    for run in runs.values():
        if run.size > limit:
            raise UnsupportedError(
                f"compile: a value of {run.size:,} bytes is larger than what a kernel can bind here, "
                f"{limit:,}; use smaller pieces, or run it eagerly"
            )
    runs = {name: replace(run, size=-(-run.size // ALIGNMENT) * ALIGNMENT) for name, run in runs.items()}
    peak = _peak(runs)
    heaviest = max(apart.values(), default=0.0)
    for thin in THIN if apart else ():
        others: dict[str, set[str]] = {}
        for pair, work in apart.items():
            if work >= thin * heaviest:
                for side in pair:
                    others.setdefault(side, set()).update(pair - {side})
        found = _smallest(runs, limit, others, peak, TRIES)
        if found.total <= ROOMY * peak:
            return found
    found = _smallest(runs, limit, {}, peak, TRIES)
    return found if found.total <= ROOMY * peak else _smallest(runs, limit, {}, peak, MORE_TRIES)


def _peak(runs: Mapping[str, Run]) -> int:
    changes: dict[int, int] = {}
    for run in runs.values():
        changes[run.first] = changes.get(run.first, 0) + run.size
        changes[run.last + 1] = changes.get(run.last + 1, 0) - run.size
    alive = peak = 0
    for at in sorted(changes):
        alive += changes[at]
        peak = max(peak, alive)
    return peak


ORDERS: tuple[Callable[[Run], tuple[int, ...]], ...] = (
    lambda run: (-run.size, run.first, run.last),
    lambda run: (-run.size * (1 + run.last - run.first), run.first, run.last),
    lambda run: (run.first - run.last, -run.size, run.first, run.last),
    lambda run: (run.first, -run.last, -run.size),
    lambda run: (-run.last, -run.size, run.first),
)
"""Orders in which runs are placed one after another: large, large and long, long, as they come, as they go."""


def _smallest(
    runs: Mapping[str, Run], limit: int, others: Mapping[str, set[str]], peak: int, tries: int
) -> ArenaLayout:
    """The best layout of some orders; ``others`` are the runs that each run lies apart from."""
    best: ArenaLayout | None = None
    tries = max(1, min(tries, EFFORT // max(len(runs), 1) ** 2))
    orders = ORDERS if len(runs) ** 2 <= EFFORT else ORDERS[:1]
    for order in orders:
        names = sorted(runs, key=lambda name: order(runs[name]))
        for tried in range(tries):
            found = _placed(names, runs, limit, others, peak)
            if best is None or found.total < best.total:
                best = found
            if best.total <= CLOSE * peak or not names:
                return best
            _forward(names, runs, found, tried)
    assert best is not None
    return best


def _forward(names: list[str], runs: Mapping[str, Run], found: ArenaLayout, tried: int) -> None:
    """Bring forward what lies highest, as it had no room lower: of all arenas, or at the top of one, in turn."""

    def height(name: str) -> tuple[float, int]:
        arena, offset = found.places[name]
        end = offset + runs[name].size
        return (end / found.arenas[arena] if tried % 2 else 0.0, end)

    highest = max(names, key=height)
    names.remove(highest)
    names.insert(0, highest)


def _placed(
    names: Sequence[str], runs: Mapping[str, Run], limit: int, others: Mapping[str, set[str]], peak: int
) -> ArenaLayout:
    """Runs placed in this order, each where arenas grow least, as low as it can be."""
    arenas: list[list[tuple[int, int, int, int]]] = [[] for _ in range(ARENAS if others else 1)]
    tops = [0] * len(arenas)
    places: dict[str, tuple[int, int]] = {}
    for name in names:
        run = runs[name]
        barred = {places[other][0] for other in others.get(name, ()) if other in places}
        best = (run.size, 0, len(arenas))
        for number, arena in enumerate(arenas):
            if number in barred:
                continue
            offset = _lowest(arena, run)
            end = offset + run.size
            choice = (max(0, end - tops[number]), offset, number)
            if end <= limit and (choice < best or best[2] == len(arenas)):
                best = choice
        _, offset, number = best
        if number == len(arenas):
            arenas.append([])
            tops.append(0)
        places[name] = number, offset
        insort(arenas[number], (offset, offset + run.size, run.first, run.last))
        tops[number] = max(tops[number], offset + run.size)
    used = sorted({number for number, _ in places.values()})
    renumbered = {number: at for at, number in enumerate(used)}
    placed = {name: (renumbered[number], offset) for name, (number, offset) in places.items()}
    return ArenaLayout(tuple(tops[number] for number in used), placed, peak)


def _lowest(arena: Sequence[tuple[int, int, int, int]], run: Run) -> int:
    """The lowest offset at which a run fits among those that are alive with it; they are in order of offsets."""
    offset, size, first, last = 0, run.size, run.first, run.last
    for start, end, since, until in arena:
        if until < first or last < since:
            continue
        if start - offset >= size:
            break
        if end > offset:
            offset = end
    return offset
