"""``WebGpuReplay``: a plan as native handles, which a run records in one tight loop.

Pipelines, workgroup counts and parameters never change. Bind groups over arenas and states are kept as long as the
states lie where they lay; those with inputs or outputs, which differ from run to run, are looked up in every run.
What a run depends on values for is recorded in sections, between which a word is read back.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from weft.devices.base import Storage
from weft.devices.interrupts import Uninterrupted
from weft.devices.replay import Replay, Slot, group_slots, parameters_in, report_of
from weft.devices.webgpu.parameters import Parameters
from weft.devices.webgpu.sections import Run, Section, follow, sections
from weft.plan import Dispatch, Place, Plan

if TYPE_CHECKING:
    from weft.devices.webgpu.device import WebGpuDevice
    from weft.devices.webgpu.groups import Key
    from weft.devices.webgpu.pipelines import Pipeline


class _Bound:
    """A dispatch of the plan: its bind group's parts, and which calls of a run use the group."""

    def __init__(self, pipeline: Pipeline, dispatch: Dispatch, first: dict[str, int]) -> None:
        self.pipeline = pipeline
        self.ranges = [(first[one.space] + one.index, one.offset, one.size) for one in dispatch.places]
        self.moves = any(one.space in ("input", "output") for one in dispatch.places)
        self.calls: list[int] = []

    def key(self, slots: Sequence[Slot]) -> Key:
        """What the bind group is made of, with the storages in these slots."""
        parts: list[Any] = [self.pipeline.layout]
        for slot, offset, size in self.ranges:
            buffer, start = slots[slot]
            parts += (buffer, start + offset, size)
        return tuple(parts)


class WebGpuReplay(Replay):
    """A plan on a ``webgpu`` device, made under the device's lock."""

    device: WebGpuDevice

    def __init__(self, device: WebGpuDevice, plan: Plan) -> None:
        super().__init__(device, plan)
        assert self._arenas is not None
        self._fixed: list[Slot] = [(arena.buffer, arena.offset) for arena in self._arenas]
        self._bound_states: list[Slot] | None = None
        self._bound_groups: list[Slot] = []
        self._pinned: list[Key] = []
        self._parameters = Parameters(device)
        calls, self._names, self._bound, self._sections = self._prepared()
        self._calls = self._parameters.finish(calls)
        self._groups: list[Any] = [None] * len(self._calls)
        self._reporting = any(one.pipeline.layout.reports for one in self._bound)
        self._moving = [one for one in self._bound if one.moves]
        device.groups.reserve(len(self._moving))
        end = weakref.finalize(self, device.groups.let_go, self._pinned, len(self._moving))
        end.atexit = False

    def _prepared(self) -> tuple[list[Any], list[str], list[_Bound], tuple[Section, ...]]:
        """The calls of a run with their names, the dispatches that have something to do, and the sections."""
        plan, device = self.plan, self.device
        states = len(plan.arenas)
        groups = states + len(plan.states)
        inputs = groups + len(plan.groups)
        first = {
            "arena": 0, "state": states, "group": groups,
            "input": inputs, "output": inputs + len(plan.inputs),
        }  # fmt: skip
        calls: list[Any] = []
        names: list[str] = []
        found: dict[int, tuple[_Bound, tuple[int, int, int]]] = {}

        def add(dispatch: Dispatch, number: int) -> int:
            if id(dispatch) not in found:
                pipeline = device.pipelines.get(dispatch.spec)
                counts = device.counts(dispatch.spec, pipeline, dispatch.parameters)
                found[id(dispatch)] = _Bound(pipeline, dispatch, first), counts
            bound, counts = found[id(dispatch)]
            if min(counts) > 0:
                given = parameters_in(dispatch, number)
                if dispatch.spec.reports:
                    given = (*given, device.reports.number(report_of(dispatch)))
                bound.calls.append(len(calls))
                calls.append((bound.pipeline, self._parameters.place(bound.pipeline, given), counts))
                names.append(dispatch.spec.name)
            return len(calls)

        made = sections(plan.steps, add)
        return calls, names, [bound for bound, _ in found.values() if bound.calls], made

    def _replay(
        self, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> None:
        device = self.device
        lying = [(one.buffer, one.offset) for one in states]
        if lying != self._bound_states:
            self._bind(states, lying)
        given = [(one.buffer, one.offset) for one in chain(inputs, outputs)]
        slots = [*self._fixed, *lying, *self._bound_groups, *given]
        groups = self._groups
        for one in self._moving:
            group, _ = device.groups.find(one.pipeline, one.key(slots))
            for at in one.calls:
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

        follow(self._sections, record, test)

    def _bind(self, states: Sequence[Storage], lying: list[Slot]) -> None:
        """Bind groups of what stays where it is from run to run."""
        groups = group_slots(self.plan, states)
        slots = [*self._fixed, *lying, *groups]
        with Uninterrupted():
            self._bound_states = None
            self.device.groups.let_go(self._pinned)
            self._pinned.clear()
            known: dict[Key, Any] = {}
            for one in self._bound:
                if one.moves:
                    continue
                key = one.key(slots)
                if key not in known:
                    pinned, (known[key], _) = self.device.groups.pin(one.pipeline, key)
                    self._pinned.append(pinned)
                for at in one.calls:
                    self._groups[at] = known[key]
            self._bound_states, self._bound_groups = lying, groups
