"""How reductions are spread over a GPU: who shares a result, what is read in fours, into how many pieces it is cut.

All is decided by sizes, strides and whether the target is real hardware, so that a kernel's tree is the same on
every GPU. Measured on an H200: a team of 128 at most, as larger workgroups wait longer at their barriers; four
loads under way in an invocation; and half a million invocations in flight to use the memory's bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weft.kernels import Operand
from weft.target import TargetProfile

TEAM = 128
"""Invocations that share a result on a GPU, at most."""
SHARED_FROM = 32
"""Elements from which a row of neighbours in memory is shared."""
IN_FLIGHT = 1 << 19
"""Invocations that use a GPU's bandwidth, where each reads a column."""
TEAMS = 4096
"""Teams that use it, where each reads a run of neighbours."""


def team(profile: TargetProfile, results: int, length: int, neighbours: bool = True) -> int:
    """How many invocations share each of ``results`` folds of ``length`` elements: 0 is one, 1 a workgroup.

    ``neighbours``: the elements of a fold lie side by side. Where they lie apart, neighbouring results usually lie
    side by side, and an invocation a result reads them together.
    """
    if not profile.capabilities.workgroups:
        return 0
    name, number = profile.choices.get(asked(results, length, neighbours), ("", 0))
    return number if (name, number) in TEAMS_TRIED else _shipped(profile, results, length, neighbours)


def asked(results: int, length: int, neighbours: bool) -> str:
    """What the choice of a fold's team depends on, as choices name it."""
    return f"fold {results}x{length} {'side by side' if neighbours else 'apart'}"


TEAMS_TRIED = tuple(("team", number) for number in (0, 4, 8, 16, 32, 64, 128, 1))
"""The choices there are: one invocation alone, teams, and a whole workgroup."""


def _shipped(profile: TargetProfile, results: int, length: int, neighbours: bool) -> int:
    if profile.software:
        return int(length >= 64 and results < 8)
    if not neighbours:
        return int(length >= 64 and results < 2048)
    if length < SHARED_FROM:
        return 0
    return min(TEAM, max(4, 1 << (length // 16).bit_length() - 1))


def in_fours(
    shared: int,
    length: int,
    reads: Iterable[tuple[Operand, Sequence[int], int]],
    written: Iterable[Operand] = (),
) -> int:
    """4 where a shared fold can take four elements at a time, else 1: rows of aligned fours, one behind another.

    ``reads`` are (operand, strides between rows, stride in the row) of all that the kernel reads or writes at each
    element. ``written`` are operands written once a row: their buffers must be others.
    """
    reads = list(reads)
    slots = {operand.slot for operand, *_ in reads}
    ready = shared > 0 and length % 4 == 0 and not any(operand.slot in slots for operand in written)
    for operand, between, along in reads:
        ready = ready and operand.aligned and along == 1 and all(stride % 4 == 0 for stride in between)
    return 4 if ready else 1


HELD = {4: (4, 8), 1: (8, 16)}
"""Elements, or fours of them, that an invocation keeps of a row: as a rule, and where the row is long."""


def held(profile: TargetProfile, length: int, vector: int) -> tuple[int, int]:
    """The team and how much each of it keeps, for rows folded several times; (0, 0) where they are too long."""
    most = min(1024, profile.limits.get("max-compute-invocations-per-workgroup", 256))
    if not profile.capabilities.workgroups or profile.software or length < SHARED_FROM:
        return 0, 0
    for each in HELD[vector]:
        wanted = -(-length // (vector * each))
        together = max(4, 1 << (wanted - 1).bit_length())
        if together <= most:
            return together, -(-length // (vector * together))
    return 0, 0


@dataclass(frozen=True)
class Pieces:
    """A first stage: ``count`` pieces of ``length`` of the outermost folded dimension; ``exact`` if they fill it."""

    count: int
    length: int
    exact: bool


def pieces(profile: TargetProfile, results: int, folded: Sequence[int], neighbours: bool) -> Pieces | None:
    """How a fold on a GPU is cut so that the whole machine reads; ``None`` where there are results enough."""
    total = 1
    for size in folded:
        total *= size
    if not profile.capabilities.workgroups or profile.software or results * total < 1 << 17 or total < 256:
        return None
    wanted = min(TEAMS // results, total // 4096) if neighbours else min(IN_FLIGHT // results, total // 32)
    wanted = min(wanted, folded[0])
    if wanted < 2:
        return None
    exact = [count for count in range(wanted, min(2 * wanted, folded[0]) + 1) if folded[0] % count == 0]
    exact.sort(key=lambda count: (folded[0] // count) % 4 != 0)  # fours first
    if exact:
        return Pieces(exact[0], folded[0] // exact[0], True)
    length = -(-folded[0] // wanted)
    return Pieces(-(-folded[0] // length), length, False) if len(folded) == 1 else None
