"""Optimizers that are copied or pickled go on exactly as the original, apart from it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf

KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True}, "Adam": {"lr": 0.1, "amsgrad": True}, "AdamW": {"lr": 0.1},
    "Adagrad": {"lr": 0.1}, "RMSprop": {"lr": 0.1, "momentum": 0.9}, "Lion": {"lr": 0.1},
    "Adamax": {"lr": 0.1}, "NAdam": {"lr": 0.1}, "RAdam": {"lr": 0.1}, "Adadelta": {"lr": 0.1}, "Rprop": {"lr": 0.1}, "ASGD": {"lr": 0.1},
}  # fmt: skip
HOW: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


def train(layer: Any, optimizer: Any, steps: int) -> list[Any]:
    device = str(layer.weight.device)
    for step in range(steps):
        optimizer.zero_grad()
        x = wf.arange(6.0, device=device).reshape(2, 3) * (step + 1) / 10
        (layer(x) ** 2).sum().backward()
        optimizer.step()
    return [parameter.detach().numpy().copy() for parameter in layer.parameters()]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_apart(device: Any, kind: str, how: str) -> None:
    wf.manual_seed(0)
    layer = wf.nn.Linear(3, 2, device=device.name)
    optimizer = getattr(wf.optim, kind)(
        [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.01}], **KINDS[kind]
    )
    train(layer, optimizer, 2)
    twin, other = HOW[how]((layer, optimizer))
    assert type(other) is type(optimizer)
    assert [p is q for group in other.param_groups for p in group["params"] for q in twin.parameters()].count(
        True
    ) == 2
    assert other.param_groups[0] is not optimizer.param_groups[0]
    first, before = train(layer, optimizer, 2), [p.detach().numpy().copy() for p in twin.parameters()]
    again = train(twin, other, 2)
    for original, copied, old in zip(first, again, before, strict=True):
        np.testing.assert_array_equal(original, copied)
        assert (old != copied).any()
    other.param_groups[0]["lr"] = 0.0
    assert optimizer.param_groups[0]["lr"] == 0.1
    still = train(twin, other, 1)[0]
    # the momentum of some has the rate in it, or moves on; the rates of others are of steps before
    if kind not in ("RMSprop", "SGD", "Rprop", "ASGD"):
        np.testing.assert_array_equal(still, again[0])


@pytest.mark.parametrize("how", HOW)
def test_an_optimizer_alone_has_parameters_of_its_own(how: str) -> None:
    parameter = wf.nn.Parameter(wf.ones(2))
    other = HOW[how](wf.optim.Adam([parameter], lr=0.1))
    (own,) = other.param_groups[0]["params"]
    own.grad = wf.ones(2)
    other.step()
    assert parameter.tolist() == [1.0, 1.0]
    assert own.tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("how", HOW)
def test_a_copied_optimizer_in_a_compiled_step(device: Any, how: str) -> None:
    layer = wf.nn.Linear(3, 2, device=device.name)
    optimizer = wf.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    pairs = [(layer, optimizer), HOW[how]((layer, optimizer))]
    seen = []
    for model, own in pairs:

        @wf.jit
        def step(x: Any, model: Any = model, own: Any = own) -> Any:
            own.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            own.step()
            return loss

        x = wf.ones(2, 3, device=device.name)
        losses = [float(step(x)) for _ in range(2)]
        own.param_groups[0]["momentum"] = 0.5
        seen.append([*losses, float(step(x)), float(step(x))])
    assert seen[0] == pytest.approx(seen[1], rel=1e-6)
