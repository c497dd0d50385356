"""``CpuReplay``: a plan as a table for the compiled driver, so that a run is one native call.

The table is written once: entries, parameters, work, and the addresses of arenas. A run passes the addresses of inputs,
states and outputs, which the driver writes into the pointer tables of the kernels.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weft.devices.base import Storage
from weft.devices.cpu import blas
from weft.devices.cpu.driver import (
    BRANCH,
    CALLS,
    FETCHED,
    HEADER,
    INTERRUPTED,
    LOOP,
    PYTHON,
    STATUS,
    WHILE,
    driver,
    python_functions,
    raised_by_signal,
)
from weft.devices.cpu.kernels import Compiled, mismatch
from weft.devices.cpu.opened import Opened
from weft.devices.cpu.threads import CHUNKS
from weft.devices.replay import Replay, group_slots, report_of
from weft.errors import IndexOutOfRangeError
from weft.plan import Branch, Dispatch, Loop, Place, Plan, PlanStep, While, bodies

if TYPE_CHECKING:
    Words = ctypes.Array[ctypes.c_int64]


_KINDS: dict[type[PlanStep], int] = {Loop: LOOP, Branch: BRANCH, While: WHILE}


class CpuReplay(Replay):
    """A plan on a ``cpu`` device."""

    device: Opened

    def __init__(self, device: Opened, plan: Plan) -> None:
        super().__init__(device, plan)
        self._driver = driver()
        self._products = False  # whether any kernel calls the BLAS
        self._reports: list[tuple[str, str]] = []
        self._patches: list[
            tuple[int, int, int]
        ] = []  # address of a pointer, number of the storage, offset in it
        self._kept: list[Any] = []  # keeps alive everything to which the table points
        self._header = self._words([0] * HEADER)
        self._address = ctypes.addressof(self._header)
        self._write()

    def _replay(
        self, inputs: Sequence[Storage], states: Sequence[Storage], outputs: Sequence[Storage]
    ) -> None:
        device = self.device
        if self.plan.groups:
            group_slots(self.plan, states)
        addresses = [value.buffer.handle.address + value.offset for value in (*inputs, *states, *outputs)]
        self._put(self._bases, 0, *addresses)
        if self._products:
            with blas.ON_ONE_THREAD:
                status = self._driver(self._address)
        else:
            status = self._driver(self._address)
        device.dispatched(self._count if self._static else self._header[CALLS])
        if status:
            raise self._error(status)

    def _error(self, status: int) -> BaseException:
        if status == INTERRUPTED:
            return raised_by_signal(*self._header[FETCHED : FETCHED + 3])
        where, what = self._reports[status - 1]
        return IndexOutOfRangeError(f"{where}: {what} {self._header[STATUS + 1]} is out of range")

    # The table.

    def _write(self) -> None:
        """Write the header and the table."""
        plan, workers = self.plan, self.device.workers
        storages = len(plan.inputs) + len(plan.states) + len(plan.outputs)
        self._bases = self._words([0] * storages)
        self._put = struct.Struct(f"{storages}q").pack_into  # an assignment to a slice takes twice as long
        steps = self._steps(plan.steps)
        helpers = max((step[5] for step in steps if step[0]), default=0)
        team = workers.team(helpers) if helpers else None
        patches = self._words([word for patch in self._patches for word in patch])
        table = self._words([word for step in steps for word in step])
        self._header[:6] = [
            ctypes.addressof(patches), len(self._patches), ctypes.addressof(self._bases),
            ctypes.addressof(table), len(steps), 0 if team is None else team.address,
        ]  # fmt: skip
        for at, address in enumerate(python_functions(), PYTHON):
            self._header[at] = address

    def _steps(self, steps: Sequence[PlanStep]) -> list[list[int]]:
        """Return the words of every step, a block before its bodies; steps without work are left out."""
        made: list[list[int]] = []
        for step in steps:
            if isinstance(step, Dispatch):
                made += self._call(step)
                continue
            found = [self._steps(body) for body in bodies(step)]
            first, second = found if len(found) == 2 else ([], *found)
            times = step.times if isinstance(step, Loop) else 0
            if (times > 0 or not isinstance(step, Loop)) and (first or second):
                at = 0 if isinstance(step, Loop) else self._address_of(step.predicate)
                made.append([0, at, 0, len(first), len(second), _KINDS[type(step)], 0, 0, times])
                made += [*first, *second]
        return made

    def _address_of(self, place: Place) -> int:
        """Return the address of a word that holds the address of a place during a run."""
        return ctypes.addressof(self._pointers([place], 0))

    def _call(self, dispatch: Dispatch) -> list[list[int]]:
        """Return the words of a call; an empty list where it has no work items."""
        spec = dispatch.spec
        kernel = self.device.kernels.get(spec)
        items, work, _ = kernel.counts(dispatch.parameters)
        if items <= 0:
            return []
        self._kept.append(kernel)
        self._products = self._products or kernel.products
        given: tuple[int | float, ...] = dispatch.parameters
        if spec.reports:
            given = (*given, len(self._reports))
            self._reports.append(report_of(dispatch))
        try:
            packed = kernel.pack_parameters(*given)
        except struct.error as error:
            raise mismatch(spec, len(dispatch.places), dispatch.parameters, error) from None
        parameters = self._words(struct.unpack(f"{len(packed) // 8}q", packed))
        advancing = len(dispatch.advance) if any(dispatch.advance) else 0
        first = self._words((*parameters[:advancing], *dispatch.advance)) if advancing else None
        ranges, helpers, split = self._share(kernel, items, work // spec.workgroup_size[0])
        return [[
            ctypes.cast(kernel.entry, ctypes.c_void_p).value or 0, ctypes.addressof(self._buffers(dispatch)),
            ctypes.addressof(parameters), items, ranges, helpers, split,
            advancing, 0 if first is None else ctypes.addressof(first),
        ]]  # fmt: skip

    def _share(self, kernel: Compiled, items: int, pieces: int) -> tuple[int, int, int]:
        """Return how a call is distributed over threads: ranges, helper threads, and the address of ``split``."""
        workers = self.device.workers
        ranges, helpers = min(pieces, items, CHUNKS * workers.count), min(pieces, items, workers.count) - 1
        team = workers.team(helpers) if helpers > 0 else None
        return (0, 0, 0) if team is None else (ranges, helpers, team.spreading)

    def _arena(self, place: Place) -> int:
        """Return the address of a place in an arena, which is the same in all runs."""
        assert self._arenas is not None
        arena = self._arenas[place.index]
        address: int = arena.buffer.handle.address
        return address + arena.offset + place.offset

    def _buffers(self, dispatch: Dispatch) -> Words:
        """Return the pointers of a call."""
        words = self._pointers(dispatch.places, dispatch.spec.reports)
        if dispatch.spec.reports:
            words[len(dispatch.places)] = ctypes.addressof(self._header) + 8 * STATUS
        return words

    def _pointers(self, places: Sequence[Place], more: int) -> Words:
        """Return pointers to places, and ``more`` words; each run patches the pointers outside arenas."""
        sizes = {"input": 0, "state": len(self.plan.inputs)}
        sizes["output"] = sizes["state"] + len(self.plan.states)
        words = self._words([0] * (len(places) + more))
        address = ctypes.addressof(words)
        for position, place in enumerate(places):
            if place.space == "arena":
                words[position] = self._arena(place)
            elif place.space == "group":
                state, offset = self.plan.groups[place.index][0]
                self._patches.append((address + 8 * position, sizes["state"] + state, place.offset - offset))
            else:
                self._patches.append((address + 8 * position, sizes[place.space] + place.index, place.offset))
        return words

    def _words(self, words: Sequence[int]) -> Words:
        """Return a new array of words, which lives as long as the replay."""
        made = (ctypes.c_int64 * max(1, len(words)))(*words)
        self._kept.append(made)
        return made
