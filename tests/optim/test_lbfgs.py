"""L-BFGS against PyTorch's: steps with and without a line search, its state, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.optim.training import pair, same
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError

OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.5, "max_iter": 3, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "max_eval": 9, "history_size": 3, "lr": 0.7},
    {"lr": 0.2, "tolerance_grad": 0.5},
    {"lr": 0.2, "tolerance_change": 0.05},
]


def valley(parameters: list[Any]) -> Any:
    """Rosenbrock's function of neighbours, and a bowl, so that the least is not at a corner."""
    total: Any = 0
    for parameter in parameters[:4]:
        x = parameter.reshape(-1)
        total = total + ((x[1:] - x[:-1] ** 2) ** 2 * 5).sum() + ((1 - x) ** 2).sum()
    return total


def closure_of(optimizer: Any, parameters: list[Any]) -> Any:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = valley(parameters)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_follow_pytorch(options: dict[str, Any], device: Device) -> None:
    double = device.name == "cpu"
    ours, theirs = pair(device.name, double)
    optimizer, other = wf.optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    for _ in range(3 if double else 1):
        loss, expected = optimizer.step(closure_of(optimizer, ours)), other.step(closure_of(other, theirs))
        numpy.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-6 if double else 1e-3)
    same(ours, theirs, 1e-6 if double else 2e-2)
    packed, their = optimizer.state_dict(), other.state_dict()
    assert set(packed["param_groups"][0]) == set(their["param_groups"][0])
    assert set(packed["state"][0]) == set(their["state"][0]) - {"al"}
    if double:
        assert packed["state"][0]["func_evals"] == their["state"][0]["func_evals"]
        assert packed["state"][0]["n_iter"] == their["state"][0]["n_iter"]


def test_runs_resume_and_copies_go_on_apart() -> None:
    ours, _ = pair()
    optimizer = wf.optim.LBFGS(ours, lr=0.3, max_iter=2)
    optimizer.step(closure_of(optimizer, ours))
    twin, other = copy.deepcopy((ours, optimizer))
    again, _ = pair()
    for new, old in zip(again, ours, strict=True):
        new.data.copy_(old.detach())
    resumed = wf.optim.LBFGS(again)
    resumed.load_state_dict(optimizer.state_dict())
    for stepped, parameters in ((optimizer, ours), (other, twin), (resumed, again)):
        stepped.step(closure_of(stepped, parameters))
    same(ours, twin, 0)
    same(ours, again, 0)


def test_the_history_of_pytorch_is_taken_over() -> None:
    ours, theirs = pair()
    other = torch.optim.LBFGS(theirs, lr=0.3, max_iter=3)
    other.step(closure_of(other, theirs))
    for new, old in zip(ours, theirs, strict=True):
        new.data.copy_(wf.tensor(old.detach().numpy(), dtype=wf.float64, device="cpu"))
    optimizer = wf.optim.LBFGS(ours)
    optimizer.load_state_dict(other.state_dict())
    optimizer.step(closure_of(optimizer, ours))
    other.step(closure_of(other, theirs))
    same(ours, theirs, 1e-8)


def test_mistakes_are_named() -> None:
    p, q = wf.nn.Parameter(wf.ones(2, device="cpu")), wf.nn.Parameter(wf.ones(2, device="cpu"))
    with pytest.raises(ArgumentError, match="line_search_fn is 'armijo', expected None or 'strong_wolfe'"):
        wf.optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(ArgumentError, match="params is 2 groups, expected one group"):
        wf.optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(ArgumentTypeError, match="closure is None, expected a function"):
        wf.optim.LBFGS([p]).step()
    optimizer = wf.optim.LBFGS([p])
    with pytest.raises(UnsupportedError, match=r"LBFGS.step"):
        wf.jit(lambda: optimizer.step(closure_of(optimizer, [p])))()
