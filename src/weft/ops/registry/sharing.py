"""The spread of reductions over a GPU: invocations per result, vector loads, and pieces of long reductions.

Sizes, strides and whether the target is real hardware decide, so that a kernel's reduction tree is the same on every
GPU. The limits were measured on an H200: teams of at most 128 invocations, since larger workgroups wait longer at
barriers; four loads in flight per invocation; and half a million invocations in flight to use the memory bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weft.kernels import Operand
from weft.target import TargetProfile

TEAM = 128
"""The most invocations of a GPU that share a result."""
SHARED_FROM = 32
"""The length from which a contiguous row is shared by several invocations."""
IN_FLIGHT = 1 << 19
"""Invocations that saturate a GPU's memory bandwidth, where each reads a column."""
TEAMS = 4096
"""Teams that saturate it, where each reads a contiguous run."""


def team(profile: TargetProfile, results: int, length: int, neighbours: bool = True) -> int:
    """Return the size of the team that computes each of ``results`` reductions of ``length`` elements.

    0 means a single invocation, 1 a whole workgroup. ``neighbours`` says that the elements of a reduction are adjacent
    in memory. Where they are not, the elements of neighbouring results usually are, and the loads of neighbouring
    invocations coalesce.
    """
    if not profile.capabilities.workgroups:
        return 0
    name, number = profile.choices.get(asked(results, length, neighbours), ("", 0))
    return number if (name, number) in TEAMS_TRIED else _shipped(profile, results, length, neighbours)


def asked(results: int, length: int, neighbours: bool) -> str:
    """Return the key of a tuned choice of a team: what the choice depends on."""
    return f"fold {results}x{length} {'side by side' if neighbours else 'apart'}"


TEAMS_TRIED = tuple(("team", number) for number in (0, 4, 8, 16, 32, 64, 128, 1))
"""The choices that tuning compares: a single invocation, teams, and a whole workgroup."""


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
    """Return 4 where a team's reduction can load aligned vectors of four elements, else 1.

    ``reads`` are (operand, strides between rows, stride in the row) for each operand that the kernel loads or stores at
    every element. ``written`` are operands that are stored once a row; their buffers must differ from those of
    ``reads``.
    """
    reads = list(reads)
    slots = {operand.slot for operand, *_ in reads}
    ready = shared > 0 and length % 4 == 0 and not any(operand.slot in slots for operand in written)
    for operand, between, along in reads:
        ready = ready and operand.aligned and along == 1 and all(stride % 4 == 0 for stride in between)
    return 4 if ready else 1


HELD = {4: (4, 8), 1: (8, 16)}
"""By vector width: vectors of a row that an invocation holds in registers, normally and for long rows."""


def held(profile: TargetProfile, length: int, vector: int) -> tuple[int, int]:
    """Return the team for rows that are reduced several times, and the vectors that each invocation holds in registers.

    (0, 0) where rows are too short to share, or too long to hold.
    """
    most = min(1024, profile.limits.get("max-compute-invocations-per-workgroup", 256))
    if not profile.capabilities.workgroups or profile.software or length < SHARED_FROM:
        return 0, 0
    for kept in HELD[vector]:
        wanted = -(-length // (vector * kept))
        together = max(4, 1 << (wanted - 1).bit_length())
        if together <= most:
            return together, -(-length // (vector * together))
    return 0, 0


@dataclass(frozen=True)
class Pieces:
    """The outermost reduced dimension in ``count`` pieces of ``length``; ``exact`` where no piece is shorter."""

    count: int
    length: int
    exact: bool


def pieces(profile: TargetProfile, results: int, folded: Sequence[int], neighbours: bool) -> Pieces | None:
    """Return the pieces of a reduction that has too few results to occupy a GPU; ``None`` where it has enough."""
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
