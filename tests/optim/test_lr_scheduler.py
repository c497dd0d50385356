"""Schedules: the rates and momenta of 50 steps against PyTorch's, their states, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError

STEPS = 50
# PyTorch warns of the steps that building a nested SequentialLR takes
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


class Halving:
    """A function with state."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, step: int) -> float:
        return self.base ** (step / 10)


def optimizer_of(lib: Any, name: str = "SGD", **options: Any) -> Any:
    device = {"device": "cpu"} if lib is wf else {}
    a, b = (lib.nn.Parameter(lib.ones(2, **device)) for _ in range(2))
    return getattr(lib.optim, name)([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1, **options)


MOMENTUM = {"momentum": 0.9}
Make = Callable[[Any, Any], Any]
SCHEDULES: dict[str, Make] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda step: 0.95**step),
    "lambda, one a group": lambda s, o: s.LambdaLR(o, [lambda step: 1 / (1 + step), Halving(0.5)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda step: 0.9 + 0.001 * step),
    "step": lambda s, o: s.StepLR(o, 7, gamma=0.5),
    "milestones": lambda s, o: s.MultiStepLR(o, [5, 20, 20, 33], gamma=0.3),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=12),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=17),
    "linear, default": lambda s, o: s.LinearLR(o),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=30, power=1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 11, eta_min=0.01),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 6, eta_min=0.02),
    "warm restarts, doubling": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, [0.2, 0.3], step_size_up=6, step_size_down=9),
    "cyclic, halving": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5, mode="triangular2", cycle_momentum=False),
    "cyclic, shrinking": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5, mode="exp_range", gamma=0.97),
    "cyclic, own scale": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5, scale_fn=Halving(0.7), scale_mode="iterations"),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.9, 0.4], total_steps=STEPS),
    "one cycle, linear": lambda s, o: s.OneCycleLR(o, 0.9, epochs=10, steps_per_epoch=5, anneal_strategy="linear"),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(o, 0.9, total_steps=STEPS, three_phase=True, pct_start=0.4),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 5), s.CosineAnnealingLR(o, 20), s.ExponentialLR(o, 0.9), s.StepLR(o, 3)], [5, 20, 38]),
    "sequential, restarts last": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=8), s.CosineAnnealingWarmRestarts(o, 7)], [8]),
    "sequential of sequential": lambda s, o: s.SequentialLR(
        o, [s.SequentialLR(o, [s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.9)], [4]), s.StepLR(o, 5)], [12]),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)], optimizer=o),
}  # fmt: skip


def values(optimizer: Any) -> list[tuple[float, ...]]:
    return [
        (group["lr"], group["momentum"]) if "momentum" in group else (group["lr"], *group["betas"])
        for group in optimizer.param_groups
    ]


def run(optimizer: Any, schedule: Any, steps: int) -> list[Any]:
    """Groups and last rates after each step."""
    seen = []
    for _ in range(steps):
        seen.append((values(optimizer), list(schedule.get_last_lr())))
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_fifty_steps_are_pytorchs(name: str, kind: str) -> None:
    seen = []
    for lib in (wf, torch):
        optimizer = optimizer_of(lib, kind, **(MOMENTUM if kind == "SGD" else {}))
        seen.append(run(optimizer, SCHEDULES[name](lib.optim.lr_scheduler, optimizer), STEPS))
    assert len({str(value) for value in seen[0]}) > 1
    for own, other in zip(*seen, strict=True):
        assert own[1] == pytest.approx(other[1], rel=1e-12, abs=1e-15)
        for ours, theirs in zip(own[0], other[0], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_loaded_schedule_goes_on_as_the_saved_one(name: str) -> None:
    optimizer = optimizer_of(wf, **MOMENTUM)
    schedule = SCHEDULES[name](wf.optim.lr_scheduler, optimizer)
    run(optimizer, schedule, 9)
    kept = copy.deepcopy((schedule.state_dict(), optimizer.state_dict()))
    expected = run(optimizer, schedule, 20)
    other = optimizer_of(wf, **MOMENTUM)
    fresh = SCHEDULES[name](wf.optim.lr_scheduler, other)
    fresh.load_state_dict(kept[0])
    other.load_state_dict(kept[1])
    assert run(other, fresh, 20) == expected
    theirs = optimizer_of(torch, **MOMENTUM)
    keys = SCHEDULES[name](torch.optim.lr_scheduler, theirs).state_dict().keys()
    assert set(keys) - set(kept[0]) <= {"_get_lr_called_within_step"}


@pytest.mark.parametrize(
    "name", ["step", "linear", "cosine", "warm restarts, doubling", "one cycle", "cyclic"]
)
def test_a_schedule_takes_over_pytorchs_state(name: str) -> None:
    theirs = optimizer_of(torch, **MOMENTUM)
    schedule = SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    run(theirs, schedule, 13)
    ours = optimizer_of(wf, **MOMENTUM)
    own = SCHEDULES[name](wf.optim.lr_scheduler, ours)
    own.load_state_dict(schedule.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for mine, other in zip(run(ours, own, 20), run(theirs, schedule, 20), strict=True):
        assert mine[1] == pytest.approx(other[1], rel=1e-12)


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 2}, {"min_lr": [0.2, 0.05]},
     {"patience": 1, "cooldown": 3, "factor": 0.5, "threshold": 0.05}, {"mode": "max", "patience": 3}],
)  # fmt: skip
def test_plateaus_are_pytorchs(options: dict[str, Any]) -> None:
    metrics = [
        1.0,
        0.9,
        0.85,
        0.9,
        0.91,
        *(0.86 + 0.001 * (i % 5) for i in range(30)),
        0.2,
        0.3,
        0.4,
        *([0.35] * 12),
    ]
    seen = []
    for lib in (wf, torch):
        optimizer = optimizer_of(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        rates = []
        for metric in metrics:
            schedule.step(lib.tensor(metric))
            rates.append([group["lr"] for group in optimizer.param_groups])
        seen.append((rates, schedule.state_dict()))
    assert seen[0][0] == seen[1][0]
    assert len({str(rates) for rates in seen[0][0]}) > 1
    assert seen[0][1] == {key: value for key, value in seen[1][1].items() if key in seen[0][1]}
    assert set(seen[1][1]) <= set(seen[0][1])


def test_warm_restarts_take_fractions_of_an_epoch() -> None:
    seen = []
    for lib in (wf, torch):
        optimizer = optimizer_of(lib)
        schedule = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, T_mult=2)
        rates = []
        for step in range(40):
            optimizer.step()
            schedule.step(step / 4)
            rates += [group["lr"] for group in optimizer.param_groups]
        seen.append(rates)
    assert seen[0] == pytest.approx(seen[1], rel=1e-12)


def test_a_cycle_of_rate_and_momentum_trains_as_pytorch_and_compiles_nothing_new(device: Device) -> None:
    results = []
    for lib in (wf, torch):
        placed = {"device": device.name} if lib is wf else {}
        weight = lib.nn.Parameter(lib.tensor([1.0, -2.0, 3.0], **placed))
        for name in ("SGD", "Adam"):
            optimizer = getattr(lib.optim, name)([weight], lr=0.1, **(MOMENTUM if name == "SGD" else {}))
            schedule = lib.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
            for step in range(20):
                optimizer.zero_grad()
                (weight * weight).sum().backward()
                optimizer.step()
                if step < 19:
                    schedule.step()
                if lib is wf and step == 2:
                    kernels = len(wf.tensors.EAGER.prepared)
            if lib is wf:
                assert len(wf.tensors.EAGER.prepared) == kernels
        results.append(weight.detach().numpy())
    assert results[0] == pytest.approx(results[1], rel=1e-3, abs=1e-4)


S = wf.optim.lr_scheduler


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda o: S.StepLR("sgd", 3), ArgumentTypeError, "StepLR: optimizer is a str, expected an Optimizer"),
        (lambda o: S.StepLR(o, 0), ArgumentError, "StepLR: step_size is 0, expected at least 1"),
        (lambda o: S.StepLR(o, 3, last_epoch=4), ArgumentError, r"param_groups\[0\] is without 'initial_lr'"),
        (lambda o: S.LambdaLR(o, [abs]), ArgumentError, "lr_lambda is 1 values, expected 2"),
        (lambda o: S.MultiplicativeLR(o, 0.5), ArgumentTypeError, "lr_lambda is a float, expected a function"),
        (lambda o: S.ConstantLR(o, 2.0), ArgumentError, r"factor is 2.0, expected in \[0, 1\]"),
        (lambda o: S.LinearLR(o, 0.0), ArgumentError, r"start_factor is 0.0, expected in \(0, 1\]"),
        (lambda o: S.CyclicLR(o, 0.1, 1.0, mode="square"), ArgumentError, "mode is 'square', expected one of"),
        (lambda o: S.OneCycleLR(o, 1.0), ArgumentError, "total_steps is None"),
        (lambda o: S.ReduceLROnPlateau(o, "less"), ArgumentError, "mode is 'less', expected 'min' or 'max'"),
        (lambda o: S.ReduceLROnPlateau(o, min_lr=[0.1]), ArgumentError, "min_lr is 1 values, expected 2"),
        (lambda o: S.SequentialLR(o, [S.StepLR(o, 2)], [3]), ArgumentError, "milestones is 1 steps, expected 0"),
        (lambda o: S.ChainedScheduler([]), ArgumentError, "schedulers is empty"),
        (lambda o: S.ChainedScheduler([S.ReduceLROnPlateau(o)]), ArgumentError, "is a ReduceLROnPlateau"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make(optimizer_of(wf))


def test_momentum_cannot_cycle_where_there_is_none() -> None:
    with pytest.raises(ArgumentError, match="cycle_momentum is True, expected False with Adagrad"):
        S.OneCycleLR(optimizer_of(wf, "Adagrad"), 0.1, total_steps=5)


def test_one_cycle_ends() -> None:
    optimizer = optimizer_of(wf, momentum=0.9)
    schedule = S.OneCycleLR(optimizer, 0.1, total_steps=3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ArgumentError, match="the step is 4, expected at most 3"):
        schedule.step()


ADDED: dict[str, Make] = {
    **{name: make for name, make in SCHEDULES.items() if name not in (
        "lambda, one a group", "cyclic", "one cycle")},
    "lambda, one function": lambda s, o: s.LambdaLR(o, Halving(0.5)),
}  # fmt: skip
"""Schedules whose options fit any number of groups."""


@pytest.mark.parametrize("name", ADDED)
def test_a_group_that_is_added_goes_along(name: str) -> None:
    """The groups from before go on as without it; where PyTorch takes the group, its rates are PyTorch's too."""
    make = ADDED[name]
    alone, ours, theirs = (optimizer_of(lib, **MOMENTUM) for lib in (wf, wf, torch))
    schedules = [
        make(lib.optim.lr_scheduler, optimizer)
        for lib, optimizer in ((wf, alone), (wf, ours), (torch, theirs))
    ]
    for optimizer, schedule in zip((alone, ours, theirs), schedules, strict=True):
        run(optimizer, schedule, 3)
    ours.add_param_group({"params": [wf.nn.Parameter(wf.ones(2, device="cpu"))], "lr": 0.3})
    theirs.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.3})
    own = run(ours, schedules[1], 20)
    for (before, _), (now, last) in zip(run(alone, schedules[0], 20)[1:], own[1:], strict=True):
        assert now[:2] == before
        assert len(now) == len(last) == 3
        assert now[2][0] == last[2]
    assert len({rates[2] for _, rates in own[1:]}) > 1 or name == "milestones"
    try:
        expected = run(theirs, schedules[2], 20)
    except (ValueError, KeyError):  # PyTorch's does not take it
        return
    for (_, last), (_, other) in zip(own[1:], expected[1:], strict=True):
        assert last == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("name", ["lambda, one a group", "cyclic", "one cycle"])
def test_a_group_that_is_added_to_groups_with_options_of_their_own(name: str) -> None:
    optimizer = optimizer_of(wf, **MOMENTUM)
    schedule = SCHEDULES[name](wf.optim.lr_scheduler, optimizer)
    optimizer.add_param_group({"params": [wf.nn.Parameter(wf.ones(2, device="cpu"))], "lr": 0.3})
    with pytest.raises(ArgumentError, match="as a parameter group was added"):
        schedule.step()


@pytest.mark.parametrize(
    "name", ["step", "milestones", "constant", "linear", "exponential", "polynomial", "cosine"]
)
def test_a_step_by_its_number(name: str) -> None:
    seen = []
    for lib in (wf, torch):
        optimizer = optimizer_of(lib, **MOMENTUM)
        schedule = SCHEDULES[name](lib.optim.lr_scheduler, optimizer)
        optimizer.step()
        rates = []
        for epoch in (7, 3, 12):
            with pytest.warns(UserWarning, match="epoch"):
                schedule.step(epoch)
            rates.append(list(schedule.get_last_lr()))
        schedule.step()
        seen.append([*rates, list(schedule.get_last_lr()), schedule.last_epoch])
    for own, other in zip(*seen, strict=True):
        assert own == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_go_on_alike(name: str, how: str) -> None:
    optimizer = optimizer_of(wf, "Adam")
    schedule = SCHEDULES[name](wf.optim.lr_scheduler, optimizer)
    run(optimizer, schedule, 9)
    if how == "pickle" and name.startswith(("lambda", "multiplicative")):
        pytest.skip("lambdas do not pickle, in PyTorch neither")
    other = copy.deepcopy(schedule) if how == "deepcopy" else pickle.loads(pickle.dumps(schedule))
    assert other.optimizer is not optimizer
    assert run(other.optimizer, other, 20) == run(optimizer, schedule, 20)
