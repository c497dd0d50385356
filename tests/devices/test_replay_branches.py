"""Hand-written plans with branches and while loops, against Python.

On ``webgpu`` each runs in both ways: gated, and with the predicate read back.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy
import pytest

from tests.devices.plans import POINT, at, download, made, pointwise, upload
from weft import dtypes
from weft.devices.base import Device
from weft.devices.replay import Replay
from weft.devices.webgpu import replay as webgpu_replay
from weft.errors import ArgumentError
from weft.expr import const, load
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Store
from weft.plan import Branch, Dispatch, Loop, Place, Plan, PlanStep, Space, While
from weft.target import KernelSpec, TargetProfile

N = 16
SIZE = 4 * N
FLAG = 256
"""The offset of the predicate in the arena, after the values."""


@pytest.fixture(params=["gated", "read back"])
def way(request: Any, monkeypatch: Any) -> str:
    """The way in which ``webgpu`` runs branches and while loops."""
    monkeypatch.setattr(webgpu_replay, "GATED_SOFTWARE", 100 if request.param == "gated" else 0)
    monkeypatch.setattr(webgpu_replay, "GATED", 100 if request.param == "gated" else 0)
    return str(request.param)


def less(profile: TargetProfile, limit: float) -> KernelSpec:
    """Return the kernel ``out = a[0] < limit``, a predicate."""
    first = load("a", const(0, INDEX), dtypes.float32)
    part = Part((Axis(POINT, const(1, INDEX)),), (Store("out", POINT, first < limit),))
    buffers = (Buffer("a", dtypes.float32), Buffer("out", dtypes.bool_, "read_write"))
    return made(Kernel("less", buffers, (), (part,)), profile)


def value(space: Space = "arena", index: int = 0) -> Place:
    return at(space, index, SIZE)


def flag() -> Place:
    return at("arena", 0, 1, FLAG)


class Kernels:
    """Kernels, and steps of them over the values in the arena."""

    def __init__(self, device: Device) -> None:
        profile = device.profile
        self.copy, self.double, self.more = (
            pointwise(profile, text, N) for text in ("a + 0.0", "a * 2.0", "a + 1.0")
        )
        self.profile = profile

    def step(self, spec: KernelSpec, source: Place, target: Place) -> Dispatch:
        return Dispatch(spec, (source, target))

    def test(self, limit: float, source: Place) -> Dispatch:
        return Dispatch(less(self.profile, limit), (source, flag()))

    def through(self, spec: KernelSpec) -> tuple[PlanStep, ...]:
        """Return steps that apply a kernel to the values, through the other half of the arena."""
        other = at("arena", 0, SIZE, 512)
        return self.step(spec, value(), other), self.step(self.copy, other, value())


def run(device: Device, plan: Plan, first: float) -> list[numpy.ndarray]:
    """Return the results of the device's own replay, run several times, and of the reference."""
    values = numpy.arange(N, dtype="float32") + numpy.float32(first)
    own, plain = device.prepare(plan), Replay(device, plan)
    given = upload(device, values)
    return [download(device, replay.run([given], [])[0]) for replay in (own, plain, own, own)]


def plan_of(steps: list[PlanStep]) -> Plan:
    return Plan(tuple(steps), (768,), (SIZE,), (), (SIZE,))


@pytest.mark.parametrize("first", [0.0, 5.0])
def test_a_branch(device: Device, way: str, first: float) -> None:
    k = Kernels(device)
    steps: list[PlanStep] = [
        k.test(3.0, value("input")),
        Branch(flag(), (k.step(k.double, value("input"), value("output")),),
               (*[k.step(k.more, value("input"), value())], k.step(k.more, value(), value("output")))),
    ]  # fmt: skip
    expected = numpy.arange(N) + first
    expected = expected * 2 if first < 3 else expected + 2
    for found in run(device, plan_of(steps), first):
        numpy.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("first", [0.0, 5.0])
def test_an_empty_side(device: Device, way: str, first: float) -> None:
    k = Kernels(device)
    steps: list[PlanStep] = [
        k.step(k.copy, value("input"), value("output")),
        k.test(3.0, value("input")),
        Branch(flag(), (), (k.step(k.double, value("input"), value("output")),)),
        Branch(flag(), (), ()),
    ]
    for found in run(device, plan_of(steps), first):
        numpy.testing.assert_array_equal(found, (numpy.arange(N) + first) * (1 if first < 3 else 2))


@pytest.mark.parametrize("limit", [-1.0, 0.5, 3.0, 40.0])
def test_a_loop_of_unknown_length(device: Device, way: str, limit: float) -> None:
    k = Kernels(device)
    steps: list[PlanStep] = [
        k.step(k.copy, value("input"), value()),
        While((k.test(limit, value()),), flag(), k.through(k.more)),
        k.step(k.copy, value(), value("output")),
    ]
    expected = numpy.arange(N, dtype="float32")
    while expected[0] < limit:
        expected += 1
    for found in run(device, plan_of(steps), 0.0):
        numpy.testing.assert_array_equal(found, expected)


def test_branches_within_loops_and_loops_within_branches(device: Device, way: str) -> None:
    """Blocks are nested, inside loops whose iterations depend on earlier iterations."""
    k = Kernels(device)
    inner = Branch(flag(), k.through(k.double), k.through(k.more))
    grow = While((k.test(30.0, value()),), flag(), (k.test(8.0, value()), inner))
    steps: list[PlanStep] = [
        k.step(k.copy, value("input"), value()),
        Loop(2, (k.test(2.0, value()), Branch(flag(), (Loop(3, k.through(k.more)), inner), k.through(k.double)))),
        Loop(2, (k.test(100.0, value()), Branch(flag(), (grow, *k.through(k.double)), (grow,)))),
        k.step(k.copy, value(), value("output")),
    ]  # fmt: skip

    def chosen(x: numpy.ndarray, taken: bool) -> numpy.ndarray:
        return x * 2 if taken else x + 1

    def grown(x: numpy.ndarray) -> numpy.ndarray:
        while x[0] < 30:
            x = chosen(x, x[0] < 8)
        return x

    for first in (0.0, 1.0, 5.0, 200.0):
        x = numpy.arange(N, dtype="float32") + numpy.float32(first)
        for _ in range(2):
            small = x[0] < 2
            x = chosen(x + 3, True) if small else x * 2
        for _ in range(2):
            x = grown(x) * 2 if x[0] < 100 else grown(x)
        if first == 0.0:
            continue  # a value of 0 never grows by doubling
        for found in run(device, plan_of(steps), first):
            numpy.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("space", ["input", "state", "group"])
def test_predicates_that_lie_elsewhere(device: Device, way: str, space: Space) -> None:
    """The predicate lies in an input, a state or a group of states; each run has new storages."""
    k = Kernels(device)
    place = at(space, {"input": 1, "state": 1, "group": 0}[space], 1, 256 if space == "group" else 0)
    steps: list[PlanStep] = [
        Branch(place, (k.step(k.double, value("input"), value("output")),),
               (k.step(k.more, value("input"), value("output")),))
    ]  # fmt: skip
    groups = (((0, 0), (1, 256)),) if space == "group" else ()
    plan = Plan(tuple(steps), (), (SIZE, 4), (4, 4), (SIZE,), (), groups)
    values = numpy.arange(N, dtype="float32")
    for replay in (device.prepare(plan), Replay(device, plan)):
        for bit in (1, 0, 1, 0):
            given = [upload(device, values), upload(device, numpy.array([bit], "int32"))]
            states = device.allocate_together([4, 4])
            for state in states:
                device.write(state, memoryview(numpy.array([bit], "int32")).cast("B"))
            (result,) = replay.run(given, states)
            numpy.testing.assert_array_equal(download(device, result), values * 2 if bit else values + 1)


def test_a_side_that_is_not_taken_is_not_run(device: Device, way: str) -> None:
    """Its writes are missing; on ``cpu`` the count of calls also shows it."""
    k = Kernels(device)
    steps: list[PlanStep] = [
        k.step(k.copy, value("input"), value("output")),
        k.test(-1.0, value("input")),
        Branch(flag(), (Branch(flag(), (k.step(k.double, value("input"), value("output")),), ()),), ()),
        While((k.test(-1.0, value("input")),), flag(), (k.step(k.double, value("input"), value("output")),)),
    ]
    for found in run(device, plan_of(steps), 0.0):
        numpy.testing.assert_array_equal(found, numpy.arange(N))
    if device.name == "cpu":
        replay, given = device.prepare(plan_of(steps)), upload(device, numpy.arange(N, dtype="float32"))
        before = device.memory_stats().dispatches
        replay.run([given], [])
        assert device.memory_stats().dispatches - before == 3


def test_a_plan_prints_its_branches(device: Device) -> None:
    k = Kernels(device)
    plan = plan_of([
        k.test(1.0, value("input")),
        Branch(flag(), (k.step(k.more, value("input"), value("output")),), ()),
        While((k.test(1.0, value()),), flag(), k.through(k.more)),
    ])  # fmt: skip
    text = repr(plan)
    assert "plan of 5 dispatches" in text
    assert "  if arena0[256:257]:\n    pointwise(" in text and "  else:\n" in text
    assert "  while:\n    less(" in text and "  is arena0[256:257]:\n    pointwise(" in text
    assert plan == plan_of(list(plan.steps)) and hash(plan) == hash(plan_of(list(plan.steps)))


WRONG = {
    "no such arena": (at("arena", 1, 1), "one of 1 arenas"),
    "outside": (at("arena", 0, 1, 768), "within 768 bytes"),
    "unaligned": (at("arena", 0, 1, 8), "a multiple of 256"),
    "empty": (at("arena", 0, 0), "one byte"),
}


@pytest.mark.parametrize("kind", [Branch, While])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_predicates_are_refused(device: Device, name: str, kind: Any) -> None:
    place, message = WRONG[name]
    step = Branch(place, (), ()) if kind is Branch else While((), place, ())
    with pytest.raises(ArgumentError, match=f"predicate.*{message}"):
        device.prepare(plan_of([step]))


def test_a_replay_lets_its_memory_go(device: Device, way: str) -> None:
    k = Kernels(device)
    gc.collect()  # of earlier tests, which would else be counted here
    before = device.memory_stats().in_use
    steps: list[PlanStep] = [
        k.step(k.copy, value("input"), value()),
        While((k.test(5.0, value()),), flag(), k.through(k.more)),
        k.step(k.copy, value(), value("output")),
    ]
    for _ in range(3):
        run(device, plan_of(steps), 0.0)
        gc.collect()
    assert device.memory_stats().in_use == before
