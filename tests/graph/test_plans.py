"""Plans of random programs equal the eager programs, with and without fusion, and live values never share memory.

Every stage is tested by running: the unfused plan, the fused one, and the one after all passes, on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.conftest import ADAPTER
from tests.graph.programs import Program, close, programs
from weft import devices
from weft.compiler import Traced, trace
from weft.devices import Device
from weft.expr import walk
from weft.graph import Graph, interpret
from weft.graph.fuse.fusing import fuse
from weft.graph.lower.blocks import lower
from weft.graph.lower.lowered import Block, Choose, KernelCall, Lowered, Repeat, RepeatWhile, flat
from weft.graph.pipeline import lower_graph
from weft.graph.plan.planning import Planning
from weft.kernels import Kernel
from weft.ops import Geometry
from weft.target import TargetProfile
from weft.tensors.arena import colocate
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor

Stage = Callable[[Graph, TargetProfile], Lowered]
STAGES: dict[str, Stage] = {
    "lowered": lower,
    "fused": lambda graph, profile: fuse(lower(graph, profile), profile),
    "all passes": lower_graph,
}


def planned(
    traced: Traced, lowered: Lowered, device: Device, profile: TargetProfile, program: Program
) -> list[Tensor]:
    """Outputs and final states of a lowered graph, on copies of the states."""
    program.restore()
    states = [state.clone() for state in traced.states]
    colocate(states)

    def gather(numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
        storages = {number: states[number]._data.storage for number in numbers}
        return {number: (id(storage.buffer), storage.offset) for number, storage in storages.items()}

    planning = Planning(lowered, profile, gather)
    plan = planning.plan()
    most = profile.storage_buffers
    assert all(len(dispatch.places) + dispatch.spec.reports <= most for dispatch in plan.dispatches())
    replay = device.prepare(plan)
    check_memory(planning)
    inputs = [argument.detach().clone().contiguous() for argument in program.arguments]
    outputs = replay.run(
        [source._data.storage for source in inputs], [state._data.storage for state in states]
    )
    made = []
    for storage, result in zip(outputs, lowered.outputs, strict=True):
        strides = Geometry.contiguous(result.type.shape).strides
        made.append(Tensor.wrap(Array(storage, result.type.dtype, result.type.shape, strides, 0)))
    return [*made, *states]


def check_memory(planning: Planning) -> None:
    """Check that a call reads the values written last, and writes memory apart from its other operands."""
    places = planning._arenas().places
    held: set[str] = set()

    def own(names: Iterable[str]) -> set[str]:
        return {root for name in names if (root := planning._root(name)) in places and planning._size(root)}

    def apart(value: str, other_value: str) -> bool:
        first, second = places[value][1], places[other_value][1]
        ends = first + planning._size(value), second + planning._size(other_value)
        return places[value][0] != places[other_value][0] or ends[0] <= second or ends[1] <= first

    def visit(calls: Sequence[KernelCall | Block]) -> None:
        nonlocal held
        for call in calls:
            if isinstance(call, Choose):
                looks(call.test)
                before = held
                after = []
                for body in call.bodies:
                    held = before
                    visit(body)
                    after.append(held)
                held = after[0] & after[1]  # what is there whichever was taken
                continue
            if isinstance(call, Repeat):
                for _ in range(min(call.times, 2)):
                    visit(call.calls)
                continue
            if isinstance(call, RepeatWhile):
                visit(call.condition)
                looks(call.test)
                once = held
                for _ in range(2):
                    visit(call.calls)
                    visit(call.condition)
                    looks(call.test)
                held &= once
                continue
            assert isinstance(call, KernelCall)
            read, written = own(call.reads), own(call.writes)
            assert read <= held, (call, read - held)
            for name in written:
                assert all(apart(name, other) for other in (read | written) - {name}), call
                held = {other for other in held if apart(name, other)} | {name}

    def looks(name: str) -> None:
        assert own([name]) <= held, name

    visit(planning.calls)


def check_stores(lowered: Lowered) -> None:
    """Check that no two points of a part store to one element, where indices show it: each index varies with every axis.

    A scatter into a single element is excluded, since all of its points have the same index and data decides.
    """
    single = {value.name for value in lowered.values if value.elements == 1}
    for call in flat(lowered.calls):
        kernel = getattr(call, "kernel", None)
        for part in kernel.parts if isinstance(kernel, Kernel) else ():
            for store in part.stores:
                if store.buffer in single:
                    continue
                axes = (*part.axes, *part.reduce_axes) if store.inner else part.axes
                used = set(walk(store.index))
                assert all(axis.variable in used for axis in axes if axis.size.data > 1), (call, store)


def compare(program: Program, device: Device, profile: TargetProfile | None = None) -> None:
    profile = profile or device.profile
    program.restore()
    traced = trace(program, *program.arguments)
    outputs, finals = interpret(
        traced.graph, list(program.arguments), [state.clone() for state in traced.states]
    )
    expected = [value.clone() for value in (*outputs, *finals)]
    for name, stage in STAGES.items():
        lowered = stage(traced.graph, profile)
        check_stores(lowered)
        found = planned(traced, lowered, device, profile, program)
        for actual, wanted in zip(found, expected, strict=True):
            close(actual, wanted, f"{name}:\n{traced.graph!r}\n{lowered!r}", program.narrow)


@given(programs())
def test_plans_on_cpu_equal_eager_programs(program: Program) -> None:
    compare(program, devices.open("cpu"))


@pytest.mark.webgpu
@settings(max_examples=25)
@given(programs(ADAPTER, most=8))
def test_plans_on_webgpu_equal_eager_programs(program: Program) -> None:
    compare(program, devices.open(ADAPTER))


@pytest.mark.webgpu
@settings(max_examples=25)
@given(programs(ADAPTER, most=12))
def test_plans_with_few_bindings_equal_eager_programs(program: Program) -> None:
    device = devices.open(ADAPTER)
    limits = {**device.profile.limits, "max-storage-buffers-per-shader-stage": 6}
    compare(program, device, replace(device.profile, limits=limits))
