"""``plan``: memory planning. A lowered graph becomes a plan: the place of every value, and the dispatches in order.

Intermediate values share arenas: values that are not live at the same time may share bytes, and a kernel that reads
each element only at the point that writes it may work in place. A state's new value is written in place where the old
value has no later reads; else it is copied at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.codegen import generate
from weft.graph.fuse import tuning
from weft.graph.fuse.in_place import may_overwrite, parts_of
from weft.graph.fuse.products import SIDES, measured, multiplications, operands
from weft.graph.lower.lowered import Block, Choose, KernelCall, Lowered, Repeat, RepeatWhile, flat
from weft.graph.lower.updates import copy_call
from weft.graph.plan.arenas import ArenaLayout, Run, arrange
from weft.graph.plan.bindings import Bound, split_by_bindings, with_access_modes
from weft.graph.plan.sharing import Shared, shared
from weft.graph.plan.work import operations
from weft.graph.rewriting.renaming import loads_renamed, mapped, mapped_part
from weft.kernels import Buffer, Epilogue, Kernel, Library
from weft.plan import Branch, Dispatch, Group, Loop, Place, Plan, PlanStep, Space, While
from weft.target import KernelSpec, TargetProfile

ARENA_LIMIT = 1 << 40
"""The size limit of an arena for a target without a limit."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Statistics of a plan: the size of its arenas, and the peak of live bytes."""

    arena: int
    peak: int


@dataclass(frozen=True, slots=True)
class _PlannedKernels:
    """The kernels of each call (by its ``id``) with their places, and the kernels that several calls share."""

    kernels: dict[int, list[tuple[Kernel | Library | KernelSpec, tuple[Place, ...]]]]
    shared: dict[Kernel, Shared]


Gather = Callable[[Sequence[int]], Mapping[int, tuple[int, int]]]
"""Returns the places of states that kernels bind as few buffers; takes their numbers in the preferred order.

The result holds for some of the states the number of a buffer and an offset in bytes. The function may move states.
"""


def plan(lowered: Lowered, profile: TargetProfile, gather: Gather | None = None) -> Plan:
    """Return the plan of a lowered graph for a target.

    Args:
        lowered: the lowered graph.
        profile: the target.
        gather: returns the places of states, for kernels that read more states than the target has bindings.
    """
    return Planning(lowered, profile, gather).plan()


class Planning:
    """The state of planning one lowered graph; ``memory`` holds the statistics of the plan."""

    def __init__(self, lowered: Lowered, profile: TargetProfile, gather: Gather | None = None) -> None:
        self.profile, self.gather = profile, gather
        self.values = {value.name: value for value in lowered.values}
        self.lowered = lowered
        self.calls = list(lowered.calls)
        self.overwrites = {value.name: value.overwrites for value in lowered.values if value.overwrites}
        self.fixed: dict[str, tuple[Space, int]] = {}
        self.memory = Memory(0, 0)
        self.groups: dict[str, Place] = {}
        """The places of states that share a buffer with other states."""

    def plan(self) -> Plan:
        """Place all values, and return the plan."""
        self._assign_fixed()
        self._work_in_place()
        layout = self._arenas()
        groups = self._gather_states()
        steps = self._steps(self.calls, layout.places, self._planned_kernels(layout.places))
        changed = tuple(at for at, (old, new) in enumerate(self.lowered.states) if old != new)
        inputs, states, outputs = (
            tuple(self._size(name) for name in names)
            for names in (
                self.lowered.inputs,
                [old for old, _ in self.lowered.states],
                [output.value for output in self.lowered.outputs],
            )
        )
        choices = self._choices() if self.profile.choices else ()
        made = Plan(steps, layout.arenas, inputs, states, outputs, changed, groups, layout.peak, choices)
        used = {
            place.index
            for dispatch in made.dispatches()
            for place in dispatch.places
            if place.space == "group"
        }
        return replace(made, groups=tuple(group if at in used else () for at, group in enumerate(groups)))

    def _choices(self) -> tuple[tuple[str, tuple[str, int]], ...]:
        """Return the tuning questions and answers that have decided kernels of the plan."""
        found: set[tuple[str, tuple[str, int]]] = set()
        for call in flat(self.calls):
            if isinstance(call.kernel, Kernel):
                found |= tuning.measured(call.kernel, self.profile)
            elif (product := measured(call, self.profile)) is not None:
                found.add(product)
        return tuple(sorted(found))

    # Ownership of memory.

    def _root(self, name: str) -> str:
        while name in self.overwrites:
            name = self.overwrites[name]
        return name

    def _size(self, name: str) -> int:
        value = self.values[name]
        return value.elements * self.profile.itemsize(value.dtype)

    def _assign_fixed(self) -> None:
        """Assign inputs, states and outputs to their own memory, and final values to the memory of their states."""
        for at, name in enumerate(self.lowered.inputs):
            self.fixed[name] = ("input", at)
        for at, (initial, _) in enumerate(self.lowered.states):
            self.fixed[initial] = ("state", at)
        for at, output in enumerate(self.lowered.outputs):
            self.fixed[self._root(output.value)] = ("output", at)
        self.writing: dict[str, list[int]] = {}
        self.reading: dict[str, list[int]] = {}
        for at, call in enumerate(self.calls):
            self._note(at, call)
        for initial, final in self.lowered.states:
            root = self._root(final)
            if root == initial:
                continue
            if self._may_replace(initial, root):
                self.overwrites[root] = initial
            else:
                self.calls.append(copy_call(self.values[final], self.values[initial]))
                self._note(len(self.calls) - 1, self.calls[-1])

    def _note(self, at: int, call: KernelCall | Block) -> None:
        """Record the values that a call reads and writes."""
        for name in call.writes:
            self.writing.setdefault(name, []).append(at)
        for name in set(call.reads):
            self.reading.setdefault(name, []).append(at)

    def _may_replace(self, initial: str, final: str) -> bool:
        """Return whether a state's new value may be written in place of the old value."""
        if final in self.fixed:
            return False
        writers = self.writing.get(final, [])
        if len(writers) != 1:
            return False
        (writer,) = writers
        readers = self.reading.get(initial, [])
        if any(at > writer for at in readers):
            return False
        return writer not in readers or may_overwrite(self.calls[writer], initial, final)

    def _work_in_place(self) -> None:
        """Let kernels work in place: a result overwrites an operand of its type and size that is used last there."""
        last, first = self._last_uses(), self._first_uses()
        for at, call in enumerate(self.calls):
            if not parts_of(call):
                continue
            assert isinstance(call, KernelCall)
            multiplied = call.values[: len(SIDES)] if isinstance(call.kernel, Library) else ()
            taken = {*self.fixed, *map(self._root, multiplied)}
            free = [
                name for name in call.reads
                if self._root(name) not in taken and last[self._root(name)] == at
            ]  # fmt: skip
            for new in call.writes:
                if new in self.overwrites or new in self.fixed or first[new] != at:
                    continue
                for old in free:
                    fits = self.values[old].dtype is self.values[new].dtype and self._size(old) == self._size(
                        new
                    )
                    if fits and may_overwrite(call, old, new):
                        self.overwrites[new] = old
                        last[self._root(old)] = max(last[self._root(old)], last[new])
                        free.remove(old)
                        break

    def _last_uses(self) -> dict[str, int]:
        last: dict[str, int] = {}
        for at, call in enumerate(self.calls):
            for name in call.values:
                last[self._root(name)] = at
        return last

    def _first_uses(self) -> dict[str, int]:
        first: dict[str, int] = {}
        for at, call in enumerate(self.calls):
            for name in call.values:
                first.setdefault(name, at)
        return first

    # Arenas.

    def _arenas(self) -> ArenaLayout:
        """Return the layout of the intermediate values in arenas."""
        spans = self._spans()
        runs = {name: Run(self._size(name), first, last) for name, (first, last) in spans.items()}
        limit = self.profile.limits.get("max-storage-buffer-binding-size", ARENA_LIMIT)
        apart: dict[frozenset[str], float] = {}
        if self.profile.capabilities.read_bindings:
            for call in flat(self.calls):
                for pair in self._apart(call):
                    if pair <= runs.keys():
                        apart[pair] = apart.get(pair, 0.0) + self._work(call)
        layout = arrange(runs, limit, apart)
        self.memory = Memory(layout.total, layout.peak)
        return layout

    def _work(self, call: KernelCall) -> float:
        """Return the weight of a library kernel: the multiplications of a product, else the number of its elements."""
        return multiplications(call) or sum(self.values[name].elements for name in call.values)

    def _apart(self, call: KernelCall) -> Iterator[frozenset[str]]:
        """Yield pairs of a library kernel's operands and results, which should be in different arenas."""
        if isinstance(call.kernel, Library):
            read = operands(call) if parts_of(call) else call.reads
            yield from (
                frozenset((self._root(source), self._root(target)))
                for source in read
                for target in call.writes
            )

    def _spans(self) -> dict[str, tuple[int, int]]:
        """Return the live range of each intermediate value: the first and the last call that use its memory.

        A value in a loop is live throughout the loop where it is also used outside, or where a step reads it before
        writing it. Both branches of a ``cond`` count, one after the other.
        """
        uses: dict[str, list[tuple[int, bool]]] = {}
        loops: list[tuple[int, int]] = []

        def use(name: str, at: int, written: bool) -> None:
            root = self._root(name)
            if root not in self.fixed:
                uses.setdefault(root, []).append((at, written))

        def visit(calls: Sequence[KernelCall | Block], at: int) -> int:
            for call in calls:
                if isinstance(call, Block):
                    start = at
                    for body in call.bodies[:-1]:
                        at = visit(body, at)
                    if call.test:  # the predicate is read before the last body of a loop
                        use(call.test, at, False)
                        at += 1
                    at = visit(call.bodies[-1], at)
                    if call.repeats:
                        loops.append((start, at - 1))
                    continue
                for name in (*call.reads, *call.writes):
                    use(name, at, name in call.writes)
                at += 1
            return at

        visit(self.calls, 0)
        spans = {root: (found[0][0], found[-1][0]) for root, found in uses.items()}
        for start, stop in loops:  # inner loops come before those around them
            for root, found in uses.items():
                first, last = spans[root]
                inside = [written for at, written in found if start <= at <= stop]
                if inside and (first < start or last > stop or not inside[0]):
                    spans[root] = (min(first, start), max(last, stop))
        return spans

    # Dispatches.

    def _steps(
        self,
        calls: Sequence[KernelCall | Block],
        offsets: Mapping[str, tuple[int, int]],
        made: _PlannedKernels,
    ) -> tuple[PlanStep, ...]:
        steps: list[PlanStep] = []
        for call in calls:
            bodies = (
                [self._steps(body, offsets, made) for body in call.bodies] if isinstance(call, Block) else []
            )
            if isinstance(call, Repeat):
                steps.append(Loop(call.times, *bodies))
            elif isinstance(call, Choose):
                then, otherwise = bodies
                steps.append(Branch(self._place(call.predicate, offsets), then, otherwise))
            elif isinstance(call, RepeatWhile):
                condition, body = bodies
                steps.append(While(condition, self._place(call.predicate, offsets), body))
            elif isinstance(call, KernelCall):
                steps += self._dispatches(call, made)
        return tuple(steps)

    def _dispatches(self, call: KernelCall, made: _PlannedKernels) -> list[Dispatch]:
        """Return a call's dispatches: several where its kernel binds more buffers than the target allows."""
        found = []
        for kernel, places in made.kernels[id(call)]:
            alike = made.shared.get(kernel) if isinstance(kernel, Kernel) else None
            generated, given = (kernel, call.arguments) if alike is None else (alike.kernel, alike.arguments)
            spec = with_access_modes(
                generate(generated, self.profile), places, isinstance(generated, Library)
            )
            work = operations(kernel, call.arguments)
            found.append(Dispatch(spec, places, given, call.report, call.site, call.advance, call.ops, work))
        return found

    def _planned_kernels(self, offsets: Mapping[str, tuple[int, int]]) -> _PlannedKernels:
        """Return the kernels of all calls with the places of their values."""
        kernels = {id(call): self._bound(call, offsets) for call in flat(self.calls)}
        derived = [kernel for bound in kernels.values() for kernel, _ in bound if isinstance(kernel, Kernel)]
        return _PlannedKernels(kernels, shared(derived))

    def _bound(
        self, call: KernelCall, offsets: Mapping[str, tuple[int, int]]
    ) -> list[tuple[Kernel | Library | KernelSpec, tuple[Place, ...]]]:
        kernel, names = call.kernel, list(call.values)
        if isinstance(kernel, Kernel):
            kernel, names = self._merge_buffers(kernel, names)
            bound = []
            for buffer, name in zip(kernel.buffers, names, strict=True):
                place = self._place(name, offsets)
                common = place if place.space == "arena" else self.groups.get(name)
                bound.append(Bound(buffer, place, common))
            return [*split_by_bindings(kernel, bound, self.profile)]
        if isinstance(kernel, Library) and kernel.epilogue is not None:
            kernel, names = self._merge_epilogue_buffers(kernel, kernel.epilogue, names)
        return [(kernel, tuple(self._place(name, offsets) for name in names))]

    def _gather_states(self) -> tuple[Group, ...]:
        """Gather the states that kernels with too many values bind, and return the groups that share a buffer."""
        if self.gather is None:
            return ()
        most = self.profile.storage_buffers
        crowded: set[str] = set()
        for call in flat(self.calls):
            roots = {self._root(name) for name in call.values}
            if isinstance(call.kernel, Kernel) and len(roots) + call.kernel.reports > most:
                crowded |= {root for root in roots if root in self.fixed and self.fixed[root][0] == "state"}
        if not crowded:
            return ()
        names = sorted(crowded, key=lambda name: (self.values[name].dtype.name, self.fixed[name][1]))
        lying = self.gather([self.fixed[name][1] for name in names])
        buffers: dict[int, list[tuple[int, str]]] = {}
        for name in names:
            if self.fixed[name][1] in lying:
                number, offset = lying[self.fixed[name][1]]
                buffers.setdefault(number, []).append((offset, name))
        groups: list[Group] = []
        for members in buffers.values():
            if len(members) == 1:
                continue
            start = min(offset for offset, _ in members)
            for offset, name in members:
                self.groups[name] = Place("group", len(groups), offset - start, self._size(name))
            groups.append(tuple((self.fixed[name][1], offset - start) for offset, name in members))
        return tuple(groups)

    def _place(self, name: str, offsets: Mapping[str, tuple[int, int]]) -> Place:
        root = self._root(name)
        if root in self.fixed:
            return Place(*self.fixed[root], 0, self._size(name))
        return Place("arena", *offsets[root], self._size(name))

    def _merge_buffers(self, kernel: Kernel, names: Sequence[str]) -> tuple[Kernel, list[str]]:
        """Merge buffers of values that share memory, and number the buffers, so that equal kernels compare equal."""
        buffers, names_now, order = self._numbered(kernel.buffers, names, {})
        changed = mapped(kernel, loads_renamed(names_now), names_now)
        return replace(changed, buffers=buffers), order

    def _merge_epilogue_buffers(
        self, kernel: Library, epilogue: Epilogue, names: Sequence[str]
    ) -> tuple[Library, list[str]]:
        """Do the same for the buffers of an epilogue, which names a product's operands as the template does."""
        operands, rest = names[: len(SIDES)], names[len(SIDES) :]
        sides = {self._root(name): side for name, side in zip(operands, SIDES, strict=True)}
        buffers, names_now, order = self._numbered(epilogue.buffers, rest, sides)
        part = mapped_part(epilogue.part, loads_renamed(names_now), names_now)
        return replace(kernel, epilogue=replace(epilogue, part=part, buffers=buffers)), [*operands, *order]

    def _numbered(
        self, buffers: Sequence[Buffer], names: Sequence[str], bound: dict[str, str]
    ) -> tuple[tuple[Buffer, ...], dict[str, str], list[str]]:
        """Return a buffer for each run of memory that is not ``bound``, the new names of buffers, and the runs."""
        kept: dict[str, Buffer] = {}
        renamed: dict[str, str] = {}
        for name, buffer in zip(names, buffers, strict=True):
            root = renamed[buffer.name] = self._root(name)
            known = kept.get(root)
            if known is None or (known.access == "read" and buffer.access == "read_write"):
                kept[root] = buffer
        order = [root for root in kept if root not in bound]
        order.sort(key=lambda root: kept[root].access == "read_write")
        numbered = bound | {root: f"b{at}" for at, root in enumerate(order)}
        # any value of the memory may name the buffer; its size is that of the memory's owner
        made = tuple(replace(kept[root], name=numbered[root]) for root in order)
        return made, {old: numbered[root] for old, root in renamed.items()}, order
