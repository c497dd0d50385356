"""Bindings: merge the buffers of a kernel where the target allows few bindings.

A kernel over the parameters of a model reads and writes hundreds of values in few buffers: the arenas of the plan, and
the buffers into which the states were gathered. Adjacent values of one type become one binding, and the offsets are
added to the kernel's indices. Where there are still too many bindings, the kernel is split by parts into several
dispatches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.codegen import shared_bindings
from weft.expr import Expr, const, simplify, transform
from weft.expr.node import INDEX, LOADS
from weft.graph.rewriting.parts import loaded, stored
from weft.graph.rewriting.renaming import mapped_part
from weft.kernels import Buffer, Kernel, Part
from weft.plan import Place
from weft.target import KernelSpec, TargetProfile

WORD = 4
"""The size of the smallest element that is written without atomics."""
LARGEST_BINDING = (1 << 31) - 256
"""The largest size of a binding, so that every index into it fits 32 bits."""


def with_access_modes(spec: KernelSpec, places: Sequence[Place], tuned: bool) -> KernelSpec:
    """Return the kernel with valid access modes: a buffer is ``read`` or ``read_write`` in a dispatch, not both.

    A library kernel (``tuned``) binds inputs in buffers that it does not write as ``read``, which GPUs cache. Other
    kernels bind all inputs as ``read_write``, so that one pipeline works for all placements.
    """
    if not tuned:
        return shared_bindings(spec)
    buffers = [_buffer(place) for place in places]
    written = set(buffers[len(spec.inputs) :])
    among = frozenset(at for at, buffer in enumerate(buffers[: len(spec.inputs)]) if buffer in written)
    return shared_bindings(spec, among)


def _buffer(place: Place) -> tuple[str, int]:
    """Return a key of a place's buffer: inputs and states may share a buffer, and count as one."""
    return (place.space, place.index) if place.space in ("arena", "output") else ("caller", 0)


@dataclass(frozen=True, slots=True)
class Bound:
    """A buffer of a kernel, its place, and its place in memory that it shares with others, if any."""

    buffer: Buffer
    place: Place
    common: Place | None = None


def split_by_bindings(
    kernel: Kernel, bound: Sequence[Bound], profile: TargetProfile
) -> list[tuple[Kernel, tuple[Place, ...]]]:
    """Return the dispatches of a kernel with their places; more than one where the kernel binds too many buffers."""
    most = profile.storage_buffers
    if len(bound) + kernel.reports <= most:
        return [(kernel, tuple(entry.place for entry in bound))]
    named = {entry.buffer.name: entry for entry in bound}
    found = []
    for parts in _pieces(kernel, named, most, profile):
        used = [entry for entry in bound if entry.buffer.name in _buffers(parts)]
        found.append(
            _with_groups(replace(kernel, parts=tuple(parts)), _groups(used, kernel, profile), profile)
        )
    return found


def _pieces(
    kernel: Kernel, named: Mapping[str, Bound], most: int, profile: TargetProfile
) -> list[list[Part]]:
    """Return the kernel's parts in as few pieces as fit the limit; a part that is too wide is a piece itself."""

    def fits(parts: Sequence[Part]) -> bool:
        runs = _groups([named[name] for name in _buffers(parts)], kernel, profile)
        return len(runs) + any(part.checks for part in parts) <= most

    left = list(kernel.parts)
    pieces = []
    while left:
        few, many = 1, len(left)  # binary search: a longer piece needs no fewer bindings
        while few < many:
            middle = (few + many + 1) // 2
            few, many = (middle, many) if fits(left[:middle]) else (few, middle - 1)
        pieces.append(left[:few])
        left = left[few:]
    return pieces


def _buffers(parts: Iterable[Part]) -> set[str]:
    return {name for part in parts for name in loaded(part) | stored(part)}


def _groups(bound: Iterable[Bound], kernel: Kernel, profile: TargetProfile) -> list[list[Bound]]:
    """Return groups of buffers that are bound as one: adjacent values of one type in shared memory."""
    most = int(profile.limits.get("max-storage-buffer-binding-size", LARGEST_BINDING))
    most = min(most, LARGEST_BINDING)
    alone: list[list[Bound]] = []
    sharing: dict[tuple[str, int], list[tuple[int, int, Bound]]] = {}
    for entry in bound:
        if entry.common is None:
            alone.append([entry])
        else:
            place = entry.common
            sharing.setdefault((place.space, place.index), []).append(
                (place.offset, place.offset + place.size, entry)
            )
    runs: list[list[Bound]] = []
    for spans in sharing.values():
        spans.sort(key=lambda span: span[:2])
        start = 0
        for at, (offset, end, entry) in enumerate(spans):
            neighbour = spans[at - 1][2] if at else None
            if neighbour is not None and _may_share(neighbour, entry, kernel) and end - start <= most:
                runs[-1].append(entry)
                continue
            start = offset
            runs.append([entry])
    return [*runs, *alone]


def _may_share(first: Bound, second: Bound, kernel: Kernel) -> bool:
    """Return whether two buffers may be one array.

    For types narrower than a word, a cooperative kernel writes some buffers with atomics and others without.
    """
    dtype = first.buffer.dtype
    return dtype is second.buffer.dtype and not (kernel.cooperative and dtype.itemsize < WORD)


def _with_groups(
    kernel: Kernel, runs: Sequence[Sequence[Bound]], profile: TargetProfile
) -> tuple[Kernel, tuple[Place, ...]]:
    """Return the kernel with one buffer for each group, and the places of these buffers."""
    written = {store.buffer for part in kernel.parts for store in part.stores}
    ordered = sorted(runs, key=lambda run: any(entry.buffer.name in written for entry in run))
    moves: dict[str, tuple[str, int]] = {}
    buffers, places = [], []
    for number, run in enumerate(ordered):
        first = run[0]
        name, dtype = f"b{number}", first.buffer.dtype
        changes = any(entry.buffer.name in written for entry in run)
        buffers.append(Buffer(name, dtype, "read_write" if changes else "read"))
        if len(run) == 1:
            moves[first.buffer.name] = name, 0
            places.append(first.place)
            continue
        start = first.common
        assert start is not None
        end = 0
        for entry in run:
            assert entry.common is not None
            offset = entry.common.offset - start.offset
            moves[entry.buffer.name] = name, offset // profile.itemsize(dtype)
            end = max(end, offset + entry.common.size)
        places.append(replace(start, size=end))
    parts = tuple(_moved(part, moves) for part in kernel.parts)
    return replace(kernel, buffers=tuple(buffers), parts=parts), tuple(places)


def _moved(part: Part, moves: Mapping[str, tuple[str, int]]) -> Part:
    """Return a part with its values moved to other buffers at other offsets."""

    def further(index: Expr, offset: int) -> Expr:
        return simplify(index + const(offset, INDEX)) if offset else index

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function != "load":
            return node.rebuild(args)
        name, offset = moves[node.data]
        return node.rebuild((further(args[0], offset),), name)

    def relocated(root: Expr) -> Expr:
        return transform(root, change, wanted=LOADS)

    made = mapped_part(part, relocated)
    stores = tuple(
        replace(store, buffer=moves[store.buffer][0], index=further(store.index, moves[store.buffer][1]))
        for store in made.stores
    )
    return replace(made, stores=stores)
