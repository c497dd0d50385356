"""``Replay``: a plan on a device, ready to run. Its kernels are compiled and its arenas allocated once.

``Replay.run`` of this module dispatches kernel after kernel, so that observers see each dispatch. The faster replays
of the devices (``cpu.replay``, ``webgpu.replay``) are tested against it, and use it while a device has observers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from weft.devices.base import Device, Range, Span, Storage
from weft.devices.counts import counted_parameters
from weft.devices.events import attributed
from weft.errors import ArgumentError, DeviceError, DisposedError, mistake
from weft.plan import ALIGNMENT, Branch, Dispatch, Loop, Place, Plan, PlanStep, Space, predicates

Slot = tuple[Any, int]
"""The location of memory: a buffer and an offset in bytes."""


class MovedError(ArgumentError):
    """The states of a group no longer lie in one buffer as the plan says: plan anew. No kernel was started."""


class Replay:
    """A plan with its arenas on one device. Any thread may run it; runs hold the device's lock.

    The arenas return to the pool with the replay's end, or at ``close()``.
    """

    def __init__(self, device: Device, plan: Plan) -> None:
        check(plan)
        device.register_kernels({id(dispatch.spec): dispatch.spec for dispatch in plan.dispatches()}.values())
        self.device = device
        self.plan = plan
        self._static = next(predicates(plan.steps), None) is None
        """Whether the dispatches are the same in every run: no branch or loop depends on values."""
        self._count = sum(1 for _ in (unrolled(plan.steps) if self._static else plan.dispatches()))
        self._arenas: list[Storage] | None = [device.allocate(size) for size in plan.arenas]

    def run(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> list[Storage]:
        """Run the plan and return new storages of its outputs.

        Inputs are read; states are read and overwritten. All memory is allocated before the first kernel starts.

        Raises:
            IndexOutOfRangeError: For an index that a kernel reports: on ``cpu`` at once, before later kernels run; on
                other devices at the next read.
            MovedError: Where the states of a group no longer lie in one buffer.
            ArgumentError: For another number of storages, or smaller storages, than the plan has.
            DeviceError: For a storage of another device.
        """
        plan, device = self.plan, self.device
        device.check_usable()
        if len(inputs) != len(plan.inputs) or len(states) != len(plan.states):
            raise ArgumentError(
                f"replay: {len(inputs)} inputs and {len(states)} states given, expected {len(plan.inputs)} and "
                f"{len(plan.states)}"
            )
        for given, sizes in ((inputs, plan.inputs), (states, plan.states)):
            for storage, size in zip(given, sizes):  # noqa: B905  (equal lengths; ``strict`` costs time)
                if storage.size < size or storage.device is not device:
                    raise self._refused(inputs, states)
        with device.lock:
            if self._arenas is None:
                raise DisposedError("replay: this replay was closed; prepare the plan anew")
            outputs = [device.allocate(size) for size in plan.outputs]
            if device.observers:
                self._one_by_one(inputs, states, outputs)
                return outputs
            if device.before_call is not None:
                # all calls before the first kernel: a failure leaves the states intact
                for _ in range(self._count):
                    device.before_call("dispatch")
            self._replay(inputs, states, outputs)
            return outputs

    def close(self) -> None:
        """Return the arenas to the pool now; a second call does nothing."""
        with self.device.lock:
            arenas, self._arenas = self._arenas, None
            for arena in arenas or ():
                arena.dispose()

    def _replay(
        self, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> None:
        """Run the steps over checked storages, under the device's lock; devices override it with faster forms."""
        self._one_by_one(inputs, states, outputs)

    def _one_by_one(
        self, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> None:
        assert self._arenas is not None
        spaces: dict[Space, Sequence[Slot]] = {"group": group_slots(self.plan, states)}
        owned: list[tuple[Space, Sequence[Storage]]] = [
            ("arena", self._arenas), ("input", inputs), ("state", states), ("output", outputs),
        ]  # fmt: skip
        for space, storages in owned:
            spaces[space] = [(storage.buffer, storage.offset) for storage in storages]
        bound: dict[Place, Range] = {}
        for dispatch in self.plan.dispatches():
            for place in dispatch.places:
                buffer, start = spaces[place.space][place.index]
                bound[place] = Span(buffer, start + place.offset, place.size)

        def test(place: Place) -> bool:
            storage, offset = self._storage_of(place, inputs, states, outputs)
            return bool(self.device.read(storage, offset, 1)[0])

        for dispatch, number in attributed(unrolled(self.plan.steps, test)):
            self.device.dispatch_kernel(
                dispatch.spec,
                [bound[place] for place in dispatch.places],
                parameters_in(dispatch, number),
                report_of(dispatch),
            )

    def _storage_of(
        self, place: Place, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> tuple[Storage, int]:
        """Return the storage in which a place lies, and the place's offset from the storage's start, in bytes."""
        if place.space == "group":
            for state, offset in self.plan.groups[place.index]:
                if offset <= place.offset < offset + self.plan.states[state]:
                    return states[state], place.offset - offset
        spaces = {"arena": self._arenas or (), "input": inputs, "state": states, "output": outputs}
        return spaces[place.space][place.index], place.offset

    def _refused(self, inputs: Sequence[Storage], states: Sequence[Storage]) -> Exception:
        """Return the error that says which storage does not fit the plan."""
        for kind, given, sizes in (("input", inputs, self.plan.inputs), ("state", states, self.plan.states)):
            for number, (storage, size) in enumerate(zip(given, sizes, strict=True)):
                if storage.device is not self.device:
                    return DeviceError(
                        f"replay: {kind} {number} is on {storage.device.name}, expected {self.device.name}"
                    )
                if storage.size < size:
                    return ArgumentError(
                        f"replay: {kind} {number} has {storage.size:,} bytes, expected at least {size:,}"
                    )
        raise AssertionError("the storages fit the plan")


def group_slots(plan: Plan, states: Sequence[Storage]) -> list[Slot]:
    """Return the location at which each group of states begins.

    Raises ``MovedError`` where the states of a group do not lie in one buffer at the plan's offsets.
    """
    slots: list[Slot] = []
    for group in plan.groups:
        found = {(states[state].buffer, states[state].offset - offset) for state, offset in group}
        if len(found) > 1:
            raise MovedError(
                f"replay: the states {', '.join(str(state) for state, _ in group)} lie in {len(found)} places, "
                f"expected one buffer in which each has its offset; plan anew for where they lie"
            )
        slots.append(found.pop() if found else (None, 0))
    return slots


def unrolled(
    steps: Sequence[PlanStep], test: Callable[[Place], bool] | None = None, number: int = 0
) -> Iterator[tuple[Dispatch, int]]:
    """Yield every dispatch in execution order, with the iteration number of the innermost loop around it.

    ``test`` returns whether the byte at a place is not 0 at that moment; plans with branches and while loops need it.
    """
    for step in steps:
        if isinstance(step, Dispatch):
            yield step, number
        elif isinstance(step, Loop):
            for inner in range(step.times):
                yield from unrolled(step.steps, test, inner)
        else:
            assert test is not None, "a plan with branches or while loops needs a test of its predicates"
            if isinstance(step, Branch):
                yield from unrolled(step.then if test(step.predicate) else step.otherwise, test, number)
                continue
            yield from unrolled(step.condition, test, number)
            while test(step.predicate):
                yield from unrolled(step.steps, test, number)
                yield from unrolled(step.condition, test, number)


def parameters_in(dispatch: Dispatch, number: int) -> tuple[int | float, ...]:
    """Return the parameters of a dispatch in iteration ``number`` of its loop, counted from 0.

    Parameters advance with the innermost loop alone; an inner loop starts again from the first values.
    """
    if not number or not dispatch.advance:
        return dispatch.parameters
    grown = zip(dispatch.parameters, dispatch.advance, strict=True)
    return tuple(first + number * step for first, step in grown)


def report_of(dispatch: Dispatch) -> tuple[str, str]:
    """Return the (op, argument) pair that the message of an index out of range names, with the user's line."""
    where, what = dispatch.report or (dispatch.spec.name, "index")
    return (f"{where} (at {dispatch.site})" if dispatch.site else where), what


def check(plan: Plan) -> None:
    """Raise ``ArgumentError`` for a plan that is not well formed.

    Dispatches write only to arenas, outputs and changed states, and ranges lie within the memory that they name.
    """
    spaces: dict[Space, Sequence[int]] = {
        "arena": plan.arenas, "input": plan.inputs, "state": plan.states, "output": plan.outputs,
        "group": [plan.span(number) if group else 0 for number, group in enumerate(plan.groups)],
    }  # fmt: skip
    for dispatch in plan.dispatches():
        spec = dispatch.spec
        where = f"plan: {spec.name}"
        expected = len(spec.inputs) + len(spec.outputs)
        if len(dispatch.places) != expected:
            raise ArgumentError(mistake(where, "places", len(dispatch.places), expected))
        if len(dispatch.parameters) != len(spec.parameters):
            names = ", ".join(parameter.name for parameter in spec.parameters)
            raise ArgumentError(mistake(where, "parameters", dispatch.parameters, f"({names})"))
        for position, place in enumerate(dispatch.places):
            _check_place(where, place, spaces)
            if position >= len(spec.inputs):
                _check_written(where, plan, place)
        _check_advance(where, dispatch)
    for place in predicates(plan.steps):
        _check_place("plan: a predicate", place, spaces)
        if place.size < 1:
            raise ArgumentError(mistake("plan", "the place of a predicate", repr(place), "one byte"))


def _check_place(where: str, place: Place, spaces: Mapping[Space, Sequence[int]]) -> None:
    sizes = spaces[place.space]
    if not 0 <= place.index < len(sizes):
        raise ArgumentError(mistake(where, "place", repr(place), f"one of {len(sizes)} {place.space}s"))
    if place.offset < 0 or place.size < 0 or place.offset + place.size > sizes[place.index]:
        raise ArgumentError(mistake(where, "place", repr(place), f"within {sizes[place.index]} bytes"))
    if place.space in ("arena", "group") and place.offset % ALIGNMENT:
        raise ArgumentError(mistake(where, "place", repr(place), f"a multiple of {ALIGNMENT}"))


def _check_written(where: str, plan: Plan, place: Place) -> None:
    states = {place.index} if place.space == "state" else set()
    if place.space == "group":
        end = place.offset + place.size
        states = {state for state, offset in plan.groups[place.index] if place.offset <= offset < end}
    if place.space == "input" or (states and states.isdisjoint(plan.changed)):
        raise ArgumentError(
            mistake(
                where, "a written place", repr(place), f"an arena, an output or a state of {plan.changed}"
            )
        )


def _check_advance(where: str, dispatch: Dispatch) -> None:
    """Refuse parameters that advance and that a workgroup count depends on: counts are computed once per dispatch."""
    if not any(dispatch.advance):
        return
    if len(dispatch.advance) != len(dispatch.parameters):
        raise ArgumentError(
            mistake(where, "advance", dispatch.advance, f"{len(dispatch.parameters)} numbers")
        )
    fixed = counted_parameters(dispatch.spec)
    for position, (parameter, step) in enumerate(
        zip(dispatch.spec.parameters, dispatch.advance, strict=True)
    ):
        if step and parameter.dtype.kind == "float":
            raise ArgumentError(mistake(where, f"the advance of {parameter.name}", step, "0 for a float"))
        if step and position in fixed:
            raise ArgumentError(
                mistake(
                    where,
                    f"the advance of {parameter.name}",
                    step,
                    "0: the number of workgroups depends on it",
                )
            )
