"""Arenas: the memory of intermediate values, in which values that are not live at the same time share bytes.

Some values should be *apart*, in different arenas: a kernel may bind a buffer read-only only where it writes no other
value in the buffer, and GPUs cache only read-only bindings. A matrix product at 43 TFLOP/s runs at 29 where its
operands and its result share an arena. Where separate arenas would cost memory, the pairs with the least work share an
arena.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.errors import UnsupportedError
from weft.plan import ALIGNMENT

ARENAS = 3
"""The number of arenas for values that are apart: attention's scores, operands and results need three."""
TRIES = 12
"""The most attempts to place all values, for each initial order."""
MORE_TRIES = 40
"""The most attempts where a single arena is still not close to the peak."""
CLOSE = 1.03
"""The ratio of arenas to the peak of live bytes above which values are placed again."""
ROOMY = 1.08
"""The accepted ratio where values are apart."""
EFFORT = 1 << 24
"""The most pairs of runs that are compared for each order: programs of thousands of values are placed once."""
THIN = (0.0, 1 / 64, 1 / 16, 1 / 4)
"""Thresholds, tried in turn: pairs with less than this fraction of the heaviest pair's work need not be apart."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of memory: its size in bytes, and the numbers of the first and the last call that use it."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class ArenaLayout:
    """The size of every arena, the arena and offset of every run, and the peak of live bytes."""

    arenas: tuple[int, ...]
    places: Mapping[str, tuple[int, int]]
    peak: int

    @property
    def total(self) -> int:
        """The size of all arenas."""
        return sum(self.arenas)


def arrange(runs: Mapping[str, Run], limit: int, apart: Mapping[frozenset[str], float]) -> ArenaLayout:
    """Place runs in arenas.

    Args:
        runs: the runs of memory by name.
        limit: the largest size of an arena in bytes.
        apart: pairs of names that should be in different arenas, with the work of the calls that use them.

    Raises:
        UnsupportedError: a run is larger than the limit.
    """
    for run in runs.values():
        if run.size > limit:
            raise UnsupportedError(
                f"compile: a value takes {run.size:,} bytes, expected at most {limit:,}, the binding limit here; split "
                f"the tensor, or run the function eagerly"
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
"""Initial orders of placement: by size, by size and lifetime, by lifetime, by first use, by last use."""


def _smallest(
    runs: Mapping[str, Run], limit: int, others: Mapping[str, set[str]], peak: int, tries: int
) -> ArenaLayout:
    """Return the smallest layout found; ``others`` are the runs from which each run is apart."""
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
    """Move the highest run to the front of the order: of all arenas, or relative to its arena, alternately."""

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
    """Place runs in an order, each in the arena that grows least, at the lowest free offset."""
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
    """Return the lowest free offset for a run among the runs of an arena that are live with it, sorted by offset."""
    offset, size, first, last = 0, run.size, run.first, run.last
    for start, end, since, until in arena:
        if until < first or last < since:
            continue
        if start - offset >= size:
            break
        if end > offset:
            offset = end
    return offset
