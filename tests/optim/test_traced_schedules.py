"""Schedules in compiled steps: 100 rates on the device and on the host against PyTorch's, and what belongs to them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.compiler import trace
from weft.devices import Device
from weft.errors import ArgumentError, UnsupportedError

STEPS = 100
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
S = wf.optim.lr_scheduler
Make = Callable[[Any, Any], Any]

FORMULAS: dict[str, Make] = {
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=17),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 30, eta_min=0.01),
    "warm-up, then cosine": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.01, total_iters=10), s.CosineAnnealingLR(o, 100)], [10]),
    "staircase": lambda s, o: s.StepLR(o, 7, gamma=0.5),
    "milestones": lambda s, o: s.MultiStepLR(o, [5, 20, 20, 33], gamma=0.3),
    "no milestones": lambda s, o: s.MultiStepLR(o, []),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=12),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=30, power=1.7),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 6, eta_min=0.02),
    "warm restarts, doubling": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2, eta_min=0.001),
    "cyclic, halving": lambda s, o: s.CyclicLR(o, 0.01, [0.2, 0.3], 5, 8, mode="triangular2", cycle_momentum=False),
    "cyclic, shrinking": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.9, 0.4], total_steps=STEPS + 1, cycle_momentum=False),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(
        o, 0.9, total_steps=STEPS + 1, three_phase=True, pct_start=0.4, anneal_strategy="linear", cycle_momentum=False),
    "cyclic, momentum too": lambda s, o: s.CyclicLR(
        o, [0.01, 0.02], 0.2, 7, base_momentum=[0.8, 0.5], max_momentum=0.95),
    "one cycle, momentum too": lambda s, o: s.OneCycleLR(o, [0.9, 0.4], total_steps=STEPS + 1, base_momentum=0.5),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.CosineAnnealingLR(o, 70)], optimizer=o),
    "four in turn": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.9), s.StepLR(o, 5), s.CosineAnnealingWarmRestarts(o, 9)],
        [4, 12, 40]),
}  # fmt: skip


def optimizer_of(lib: Any, device: str = "cpu", kind: str = "SGD", **options: Any) -> Any:
    placed = {"device": device} if lib is wf else {}
    a, b = (lib.nn.Parameter(lib.ones(2, **placed)) for _ in range(2))
    return getattr(lib.optim, kind)([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1, **options)


def step_of(optimizer: Any, schedule: Any) -> Callable[[], Any]:
    def step() -> Any:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for group in optimizer.param_groups for p in group["params"])
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    return step


def on_device(optimizer: Any) -> list[float]:
    return [rate.item() for group in optimizer.param_groups for rate in group.rates.values()]


def on_host(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_hundred_steps_are_pytorchs(name: str, device: Device) -> None:
    momentum = {"momentum": 0.9} if "momentum" in name else {}
    ours, theirs = optimizer_of(wf, device.name, **momentum), optimizer_of(torch, **momentum)
    schedule, other = FORMULAS[name](S, ours), FORMULAS[name](torch.optim.lr_scheduler, theirs)
    step = wf.jit(step_of(ours, schedule))
    bound = 1e-12 if device.name == "cpu" else 1e-6  # of the largest rate: WebGPU has 32 bits
    for _ in range(STEPS):
        step()
        theirs.step()
        other.step()
        assert on_host(ours) == pytest.approx(on_host(theirs), rel=1e-12, abs=1e-15)
        assert schedule.get_last_lr() == on_host(ours)
        assert on_device(ours) == pytest.approx(on_host(theirs), rel=1e-12, abs=bound)
    assert step.compilations == 1
    seen = {key: value for key, value in other.state_dict().items() if key in schedule.state_dict()}
    assert schedule.state_dict().keys() == seen.keys() | (schedule.state_dict().keys() - seen.keys())
    assert getattr(schedule, "last_epoch", STEPS) == STEPS


def test_the_losses_are_the_eager_ones(device: Device) -> None:
    found = []
    for compiled in (False, True):
        optimizer = optimizer_of(wf, device.name, "Adam")
        step = step_of(optimizer, FORMULAS["warm-up, then cosine"](S, optimizer))
        if compiled:
            step = wf.jit(step)
        found.append([step() for _ in range(40)])
    values = [[loss.item() for loss in losses] for losses in found]
    numpy.testing.assert_allclose(values[1], values[0], rtol=1e-5)
    assert values[0][-1] < values[0][0]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("first", ["optimizer", "schedule"])
@pytest.mark.parametrize("name", ["cyclic, momentum too", "one cycle, momentum too"])
def test_momenta_go_along(name: str, kind: str, first: str, device: Device) -> None:
    options = {"momentum": 0.9} if kind == "SGD" else {"eps": 1e-2}
    seen = []
    for lib in (wf, torch):
        optimizer = optimizer_of(lib, device.name, kind, **options)
        schedule = FORMULAS[name](lib.optim.lr_scheduler, optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]

        def step(optimizer: Any = optimizer, schedule: Any = schedule, parameters: Any = parameters) -> Any:
            optimizer.zero_grad()
            sum((parameter * parameter).sum() for parameter in parameters).backward()
            for stepped in (optimizer, schedule) if first == "optimizer" else (schedule, optimizer):
                stepped.step()
            return parameters[0] * 1

        run = wf.jit(step) if lib is wf else step
        seen.append([run().tolist() for _ in range(STEPS)])
        if lib is wf:
            assert run.compilations == 1
            for group in optimizer.param_groups:
                for tensor, formula in group.numbers.values():
                    exact = formula(group.momentum, wf.optim.numbers.HOST)
                    assert tensor.item() == pytest.approx(exact, rel=1e-5, abs=1e-6)
                assert group.numbers
    numpy.testing.assert_allclose(seen[0], seen[1], rtol=1e-3, atol=1e-5)


def test_momenta_of_optimizers_that_build_them_in() -> None:
    optimizer = optimizer_of(wf, "cpu", "Lion")
    schedule = S.OneCycleLR(optimizer, 0.1, 9)
    with pytest.raises(
        UnsupportedError, match="cycle_momentum is True, expected False with Lion in a compiled step"
    ):
        wf.jit(step_of(optimizer, schedule))()


def test_it_is_part_of_the_graph_and_nothing_is_read_back(device: Device, monkeypatch: Any) -> None:
    optimizer = optimizer_of(wf, device.name)
    schedule = S.CosineAnnealingLR(optimizer, 30)
    step = wf.jit(step_of(optimizer, schedule))
    step()
    assert "cos" in {node.op for node in step.graph().nodes}

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the host touched the device")

    for name in ("read", "write"):
        monkeypatch.setattr(type(device), name, refuse)
    for _ in range(5):
        step()
        schedule.state_dict()
    monkeypatch.undo()
    assert on_device(optimizer) == pytest.approx(on_host(optimizer), rel=1e-6)
    assert schedule.last_epoch == 6


def test_steps_inside_and_outside_may_alternate(device: Device) -> None:
    ours, theirs = optimizer_of(wf, device.name), optimizer_of(torch)
    schedule = FORMULAS["warm-up, then cosine"](S, ours)
    other = FORMULAS["warm-up, then cosine"](torch.optim.lr_scheduler, theirs)
    step = wf.jit(step_of(ours, schedule))
    for at in range(30):
        schedule.step() if at % 3 == 1 else step()
        theirs.step()
        other.step()
        assert on_device(ours) == pytest.approx(on_host(theirs), rel=1e-5)
    assert step.compilations == 1


def test_two_steps_in_a_call_and_in_a_nested_function(device: Device) -> None:
    optimizer, plain = optimizer_of(wf, device.name), optimizer_of(wf, device.name)
    schedule, other = S.StepLR(optimizer, 3, gamma=0.5), S.StepLR(plain, 3, gamma=0.5)
    inner = wf.jit(step_of(optimizer, schedule))

    @wf.jit
    def twice() -> Any:
        inner()
        return inner()

    for _ in range(4):
        twice()
        other.step()
        other.step()
        assert on_host(optimizer) == on_host(plain)
        assert on_device(optimizer) == pytest.approx(on_host(plain), rel=1e-6)
    assert inner.compilations == 0


def test_a_saved_schedule_goes_on_in_another_program(device: Device) -> None:
    name = "four in turn"
    optimizer = optimizer_of(wf, device.name, momentum=0.9)
    schedule = FORMULAS[name](S, optimizer)
    step = wf.jit(step_of(optimizer, schedule))
    for _ in range(9):
        step()
    kept = copy.deepcopy((schedule.state_dict(), optimizer.state_dict()))
    weights = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    expected = [(step().item(), on_device(optimizer)) for _ in range(8)]

    def load(optimizer: Any, schedule: Any) -> None:
        schedule.load_state_dict(kept[0])
        optimizer.load_state_dict(kept[1])
        with wf.no_grad():
            for parameter, value in zip(
                [p for group in optimizer.param_groups for p in group["params"]], weights, strict=True
            ):
                parameter.copy_(value)

    load(optimizer, schedule)
    assert [(step().item(), on_device(optimizer)) for _ in range(8)] == expected
    assert step.compilations == 1
    fresh = optimizer_of(wf, device.name, momentum=0.9)
    later = FORMULAS[name](S, fresh)
    load(fresh, later)
    again = wf.jit(step_of(fresh, later))
    assert [(again().item(), on_device(fresh)) for _ in range(8)] == expected


def test_options_of_a_schedule_compile_anew() -> None:
    optimizer = optimizer_of(wf)
    schedule = S.StepLR(optimizer, 2, gamma=0.5)
    step = wf.jit(step_of(optimizer, schedule))
    step()
    schedule.gamma = 0.1  # before the first fall: the formula is that of the steps taken
    step()
    assert step.compilations == 2
    assert on_device(optimizer) == pytest.approx([0.05, 0.01])
    assert on_device(optimizer) == pytest.approx(on_host(optimizer))
    schedule.gamma = 0.5
    with pytest.raises(
        ArgumentError, match=r"param_groups\[0\] is 0.05, expected 0.25 at step 2 in a compiled step"
    ):
        step()
    schedule.gamma = 0.1
    step()
    assert step.compilations == 2 and schedule.last_epoch == 3


def test_a_rate_set_between_steps_is_named() -> None:
    optimizer = optimizer_of(wf)
    schedule = S.ExponentialLR(optimizer, 0.9)
    step = wf.jit(step_of(optimizer, schedule))
    step()
    before = [p.tolist() for group in optimizer.param_groups for p in group["params"]]
    optimizer.param_groups[1]["lr"] = 0.7
    message = r"ExponentialLR.step: the rate of param_groups\[1\] is 0.7, expected 0.09 at step 1 in a compiled step"
    for call in (step, wf.jit(step_of(optimizer, schedule))):
        with pytest.raises(ArgumentError, match=message):
            call()
    assert [p.tolist() for group in optimizer.param_groups for p in group["params"]] == before
    optimizer.param_groups[1]["lr"] = schedule.get_last_lr()[1]
    step()
    assert on_device(optimizer) == pytest.approx(on_host(optimizer))


def test_a_rate_set_before_a_step_outside_is_named_too() -> None:
    optimizer = optimizer_of(wf)
    schedule = S.ExponentialLR(optimizer, 0.9)
    step = wf.jit(step_of(optimizer, schedule))
    step()
    optimizer.param_groups[1]["lr"] = 0.7
    schedule.step()  # goes on from 0.7, as PyTorch's does; the formula does not
    with pytest.raises(ArgumentError, match=r"param_groups\[1\] is 0.63, expected 0.081 at step 2"):
        step()


def test_tracing_alone_changes_nothing() -> None:
    optimizer = optimizer_of(wf)
    schedule = S.CosineAnnealingLR(optimizer, 10)
    step = step_of(optimizer, schedule)
    before = copy.deepcopy((schedule.state_dict(), optimizer.state_dict()["param_groups"]))
    traced = trace(step)
    wf.jit(step).graph()
    assert (schedule.state_dict(), optimizer.state_dict()["param_groups"]) == before
    for _ in range(3):
        traced()
    assert schedule.last_epoch == 3
    assert on_device(optimizer) == pytest.approx(on_host(optimizer), rel=1e-12)


def test_beyond_its_last_step_one_cycle_says_so() -> None:
    optimizer = optimizer_of(wf)
    step = wf.jit(step_of(optimizer, S.OneCycleLR(optimizer, 0.5, total_steps=3, cycle_momentum=False)))
    for _ in range(3):
        step()
    with pytest.raises(ArgumentError, match="the step is 4, expected at most 3"):
        step()


class OwnRates(S.StepLR):
    def get_lr(self) -> list[float]:
        return [0.1, 0.2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: S.LambdaLR(o, lambda step: 0.9**step), "LambdaLR.step: is called while a function is traced"),
        (lambda o: S.MultiplicativeLR(o, lambda step: 0.9), "MultiplicativeLR.step: is called while a function is"),
        (lambda o: OwnRates(o, 3), "OwnRates.step: is called while a function is traced"),
        (lambda o: S.SequentialLR(o, [S.StepLR(o, 2), S.OneCycleLR(o, 0.1, 9)], [2]),
         "OneCycleLR: cycle_momentum is True, expected False in a SequentialLR of a compiled step"),
        (lambda o: S.CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: x, cycle_momentum=False), "scale_fn is a function"),
        (lambda o: S.SequentialLR(o, [S.StepLR(o, 2), S.LambdaLR(o, lambda step: 1.0)], [3]), "LambdaLR: is part of"),
        (lambda o: S.SequentialLR(o, [S.SequentialLR(o, [S.StepLR(o, 2)], []), S.StepLR(o, 2)], [3]), "expected no nesting"),
        (lambda o: S.ChainedScheduler([S.StepLR(o, 2), S.CosineAnnealingLR(o, 5, 0.01)]), "eta_min is 0.01"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_stepped_outside(make: Callable[[Any], Any], message: str) -> None:
    optimizer = optimizer_of(wf, momentum=0.9)
    schedule = make(optimizer)
    with pytest.raises(UnsupportedError, match=message):
        wf.jit(step_of(optimizer, schedule))()
    schedule.step()  # outside it goes on


def test_other_mistakes_are_named() -> None:
    optimizer = optimizer_of(wf)
    restarts = S.CosineAnnealingWarmRestarts(optimizer, 5)
    with pytest.raises(UnsupportedError, match="give no epoch in a compiled step"):
        wf.jit(lambda: restarts.step(2))()
    restarts.step(0.5)
    with pytest.raises(UnsupportedError, match=r"the epoch is 0\.5 into its period, expected an integer"):
        wf.jit(lambda: restarts.step())()
    plateau = S.ReduceLROnPlateau(optimizer)
    with pytest.raises(UnsupportedError, match=r"ReduceLROnPlateau.step"):
        wf.jit(lambda: plateau.step(1.0))()

    other = optimizer_of(wf)
    first, second = S.StepLR(other, 2), S.ExponentialLR(other, 0.9)

    def both() -> None:
        first.step()
        second.step()

    with pytest.raises(
        UnsupportedError, match="another schedule steps the same optimizer in a compiled step"
    ):
        wf.jit(both)()
    uneven = S.ChainedScheduler([first, second])
    first.step()
    with pytest.raises(UnsupportedError, match=r"the schedulers' steps is \[1, 0\], expected the same"):
        wf.jit(lambda: uneven.step())()
