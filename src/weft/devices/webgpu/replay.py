"""``WebGpuReplay``: a plan as native handles, which a run records in a tight loop.

Pipelines, workgroup counts and parameters never change. Bind groups over arenas and states are kept until the states
move; bind groups with inputs or outputs, which differ from run to run, are looked up in every run. Branches and while
loops are gated on the device, or recorded in sections between which the predicate is read back (``sections``).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import chain
from typing import Any

from weft.devices.base import Storage
from weft.devices.interrupts import Uninterrupted
from weft.devices.replay import Replay, Slot, group_slots, parameters_in, report_of
from weft.devices.webgpu.gates import GATE, Gate, Gates
from weft.devices.webgpu.groups import Key
from weft.devices.webgpu.opened import Opened
from weft.devices.webgpu.parameters import Parameters
from weft.devices.webgpu.pipelines import Pipeline
from weft.devices.webgpu.sections import GATED, GATED_SOFTWARE, Run, Sections, run_sections
from weft.plan import Dispatch, Place, Plan


class _Bound:
    """A dispatch of the plan, or a gate: the ranges of its bind group, and the calls of a run that use the group.

    ``moves`` says whether the group binds inputs or outputs, so that it differs from run to run.
    """

    def __init__(self, pipeline: Pipeline, ranges: list[tuple[int, int, int]], moves: bool) -> None:
        self.pipeline = pipeline
        self.ranges = ranges
        self.moves = moves
        self.calls: list[int] = []

    def key(self, slots: Sequence[Slot]) -> Key:
        """Return the key of the bind group over the storages in these slots."""
        parts: list[Any] = [self.pipeline.layout]
        for slot, offset, size in self.ranges:
            buffer, start = slots[slot]
            parts += (buffer, start + offset, size)
        return tuple(parts)


class WebGpuReplay(Replay):
    """A plan on a ``webgpu`` device, made under the device's lock."""

    device: Opened

    def __init__(self, device: Opened, plan: Plan) -> None:
        super().__init__(device, plan)
        assert self._arenas is not None
        self._fixed: list[Slot] = [(arena.buffer, arena.offset) for arena in self._arenas]
        self._bound_states: list[Slot] | None = None
        self._bound_groups: list[Slot] = []
        self._pinned: list[Key] = []
        self._parameters = Parameters(device)
        self._gates = Gates(device)
        prepared = _Prepared(device, plan, self._parameters, self._gates)
        self._names, self._sections = prepared.names, prepared.sections
        self._bound = [bound for bound in prepared.bound() if bound.calls]
        for buffer in (self._gates.records, self._gates.counts):
            self._fixed.append((buffer, 0))
        self._calls = [
            call if slot is None else (*call[:5], 0, prepared.counts_of(slot), 4 * slot)
            for call, slot in zip(self._parameters.finish(prepared.calls), prepared.slots, strict=True)
        ]
        self._groups: list[Any] = [None] * len(self._calls)
        self._reporting = any(bound.pipeline.layout.reports for bound in self._bound)
        self._moving = [bound for bound in self._bound if bound.moves]
        device.groups.reserve(len(self._moving))
        end = weakref.finalize(self, device.groups.unpin, self._pinned, len(self._moving))
        end.atexit = False

    def _replay(
        self, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> None:
        device = self.device
        state_slots = [(state.buffer, state.offset) for state in states]
        if state_slots != self._bound_states:
            self._bind(states, state_slots)
        moving_slots = [(storage.buffer, storage.offset) for storage in chain(inputs, outputs)]
        slots = [*self._fixed, *state_slots, *self._bound_groups, *moving_slots]
        groups = self._groups
        for bound in self._moving:
            group, _ = device.groups.find(bound.pipeline, bound.key(slots))
            for at in bound.calls:
                groups[at] = group
        if self._reporting:
            device.reports.pending = True
        used = [buffer for buffer, _ in slots if buffer is not None]

        def record(run: Run) -> None:
            part = slice(run.start, run.stop)
            device.recorder.replay(self._calls[part], groups[part], self._names[part], used)
            device.dispatched(run.stop - run.start)

        def test(place: Place) -> bool:
            storage, offset = self._storage_of(place, inputs, states, outputs)
            return bool(device.read(storage, offset, 1)[0])

        def flag(word: int) -> bool:
            counts = self._gates.counts
            assert counts is not None, "a plan with gated sections has gates"
            return device.read_word(counts, 4 * word) != 0

        run_sections(self._sections, record, test, flag)

    def _bind(self, states: Sequence[Storage], state_slots: list[Slot]) -> None:
        """Make the bind groups that stay the same from run to run: over arenas, states and groups of states."""
        groups = group_slots(self.plan, states)
        slots = [*self._fixed, *state_slots, *groups]
        with Uninterrupted():
            self._bound_states = None
            self.device.groups.unpin(self._pinned)
            self._pinned.clear()
            known: dict[Key, Any] = {}
            for bound in self._bound:
                if bound.moves:
                    continue
                key = bound.key(slots)
                if key not in known:
                    pinned, (known[key], _) = self.device.groups.pin(bound.pipeline, key)
                    self._pinned.append(pinned)
                for at in bound.calls:
                    self._groups[at] = known[key]
            self._bound_states, self._bound_groups = state_slots, groups


class _Prepared:
    """The calls of a run with their names, in the order of the plan, and its sections."""

    def __init__(self, device: Opened, plan: Plan, parameters: Parameters, gates: Gates) -> None:
        self._device, self._parameters, self._gates = device, parameters, gates
        self._records = len(plan.arenas)
        states = self._records + 2
        groups = states + len(plan.states)
        inputs = groups + len(plan.groups)
        self._first = {
            "arena": 0, "state": states, "group": groups,
            "input": inputs, "output": inputs + len(plan.inputs),
        }  # fmt: skip
        self.calls: list[Any] = []
        self.slots: list[int | None] = []
        """For each gated call the first word of its workgroup counts, else ``None``."""
        self.names: list[str] = []
        self._found: dict[int, tuple[_Bound, tuple[int, int, int]]] = {}
        self._gated: dict[int, _Bound] = {}
        most = GATED_SOFTWARE if device.profile.software else GATED
        self.sections = Sections(plan.steps, self, gates, most).made
        gates.finish()
        for gate in gates.all:
            if id(gate) in self._gated:
                ranges = self._gated[id(gate)].ranges
                ranges[1:] = [(self._records, gate.offset, gate.size), (self._records + 1, 0, gates.size)]

    def bound(self) -> list[_Bound]:
        """Return the dispatches and gates, for which bind groups are made."""
        return [*(bound for bound, _ in self._found.values()), *self._gated.values()]

    def counts_of(self, slot: int) -> Any:
        """Return the buffer of a slot."""
        assert self._gates.counts is not None, "a replay with slots has gates"
        return self._gates.counts.handle

    def add(self, dispatch: Dispatch, number: int, slot: int | None) -> int:
        """See ``DispatchList``."""
        bound, counts = self._prepared(dispatch)
        if min(counts) > 0:
            given = parameters_in(dispatch, number)
            if dispatch.spec.reports:
                given = (*given, self._device.reports.number(report_of(dispatch)))
            self._add(bound, given, counts, slot, dispatch.spec.name)
        return len(self.calls)

    def counts(self, dispatch: Dispatch) -> tuple[int, int, int]:
        """See ``DispatchList``."""
        return self._prepared(dispatch)[1]

    def add_gate(self, gate: Gate) -> int:
        """See ``DispatchList``."""
        if id(gate) not in self._gated:
            pipeline = self._device.pipelines.get(GATE)
            place = gate.predicate
            tested = (self._records, 0, 4) if place is None else self._range(place)
            moves = place is not None and place.space in ("input", "output")
            self._gated[id(gate)] = _Bound(pipeline, [tested], moves)
        bound = self._gated[id(gate)]
        self._add(bound, (), (1, 1, 1), None, GATE.name)
        return len(self.calls)

    def _add(
        self,
        bound: _Bound,
        given: Sequence[int | float],
        counts: tuple[int, int, int],
        slot: int | None,
        name: str,
    ) -> None:
        bound.calls.append(len(self.calls))
        self.calls.append((bound.pipeline, self._parameters.place(bound.pipeline, given), counts))
        self.slots.append(slot)
        self.names.append(name)

    def _prepared(self, dispatch: Dispatch) -> tuple[_Bound, tuple[int, int, int]]:
        found = self._found.get(id(dispatch))
        if found is None:
            pipeline = self._device.pipelines.get(dispatch.spec)
            counts = self._device.counts(dispatch.spec, pipeline, dispatch.parameters)
            moves = any(place.space in ("input", "output") for place in dispatch.places)
            bound = _Bound(pipeline, [self._range(place) for place in dispatch.places], moves)
            found = self._found[id(dispatch)] = bound, counts
        return found

    def _range(self, place: Place) -> tuple[int, int, int]:
        return self._first[place.space] + place.index, place.offset, place.size
