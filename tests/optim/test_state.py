"""Optimizers' state dicts: to PyTorch and back, resumed runs, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.optim.training import OPTIONS, ROUNDED, pair, same, train
from weft.devices import Device
from weft.errors import ArgumentError


@pytest.mark.parametrize(("name", "options"), [o for o in OPTIONS if "maximize" not in o[1]])
def test_state_goes_both_ways(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair()
    optimizer, other = getattr(wf.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    train(other, theirs, 3)
    for own, value in zip(ours, theirs, strict=True):
        own.data.copy_(wf.tensor(value.detach().numpy(), dtype=wf.float64, device="cpu"))
    optimizer.load_state_dict(other.state_dict())
    train(optimizer, ours, 3)
    train(other, theirs, 3)
    tolerance = 1e-6 if name in ROUNDED else 1e-9
    same(ours, theirs, tolerance)

    packed = optimizer.state_dict()
    theirs_packed = other.state_dict()
    assert packed["param_groups"][0]["params"] == theirs_packed["param_groups"][0]["params"]
    assert set(packed["param_groups"][0]) <= set(theirs_packed["param_groups"][0])
    assert set(packed["state"]) == {
        k for k, entry in theirs_packed["state"].items() if entry
    } or not options.get("momentum")
    packed["state"] = {
        number: {key: torch.tensor(value.numpy()) for key, value in entry.items()}
        for number, entry in packed["state"].items()
    }
    third = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in ours]
    again = getattr(torch.optim, name)(third, **options)
    again.load_state_dict(packed)
    train(again, third, 3)
    train(optimizer, ours, 3)
    same(ours, third, tolerance)


def test_a_resumed_run_is_the_uninterrupted_one(device: Device) -> None:
    """With parameters that have taken different numbers of steps, before any step, and after some."""
    for before in (0, 3):
        ours, _ = pair(device.name, double=False)
        optimizer = wf.optim.SGD(ours, lr=0.05, momentum=0.9, dampening=0.5)
        train(optimizer, ours[:1], 1 if before else 0)
        train(optimizer, ours, before)
        again, _ = pair(device.name, double=False)
        for new, old in zip(again, ours, strict=True):
            new.data.copy_(old.detach())
        resumed = wf.optim.SGD(again, lr=1.0, momentum=0.1)
        resumed.load_state_dict(optimizer.state_dict())
        assert resumed.param_groups[0]["lr"] == 0.05
        train(optimizer, ours, 3)
        train(resumed, again, 3)
        for new, old in zip(again, ours, strict=True):
            numpy.testing.assert_array_equal(new.detach().numpy(), old.detach().numpy())


def test_a_state_dict_that_does_not_fit_changes_nothing() -> None:
    ours, _ = pair()
    optimizer = wf.optim.Adam(ours, lr=0.5)
    train(optimizer, ours, 2)
    before = optimizer.state_dict()
    values = [before["state"][0][key].numpy().copy() for key in ("step", "exp_avg", "exp_avg_sq")]

    def wrong(change: Callable[[dict[str, Any]], Any], message: str) -> None:
        state = optimizer.state_dict()
        state["state"] = {number: dict(entry) for number, entry in state["state"].items()}
        change(state)
        with pytest.raises(ArgumentError, match=message):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()["state"][0]
        for key, value in zip(("step", "exp_avg", "exp_avg_sq"), values, strict=True):
            numpy.testing.assert_array_equal(after[key].numpy(), value)
        assert optimizer.param_groups[0]["lr"] == 0.5

    wrong(lambda s: s.pop("state"), r"state_dict is \['param_groups'\], expected a dict with 'state'")
    wrong(
        lambda s: s["param_groups"].append(s["param_groups"][0]), "of 2 parameter groups, expected 1 groups"
    )
    wrong(lambda s: s["param_groups"][0].update(params=[0]), "group 0 is of 1 parameters, expected 5")
    wrong(lambda s: s["param_groups"][0].update(lr=-1.0), "lr is -1.0, expected at least 0")
    wrong(
        lambda s: s["state"][3].update(exp_avg=wf.zeros(2)),
        r"exp_avg's shape is \(2,\), expected \(2, 3, 1, 2\)",
    )
    wrong(lambda s: s["state"][3].update(max_exp_avg_sq=wf.zeros(2)), r"names is \['max_exp_avg_sq'\]")
