"""Recurrent layers in eager mode run as loops of one call: as PyTorch's in every call, and with the tape's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.control import replayed
from weft.devices import Device, base
from weft.errors import GradError

LAYERS = ("LSTM", "GRU", "RNN")
CELLS = ("LSTMCell", "GRUCell", "RNNCell")


def pair(name: str, device: Device) -> tuple[Any, Any]:
    theirs = getattr(torch.nn, name)(4, 6)
    ours = getattr(wf.nn, name)(4, 6).to(device.name)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def losses(m: Any, module: Any, x: Any) -> Any:
    """A layer's sum over all that it gives, or that of a cell in a loop."""
    if type(module).__name__ in LAYERS:
        output, last = module(x)
        state = last[-1] if isinstance(last, tuple) else last
        return (output * output).sum() + state.sin().sum()
    state: Any = None
    for step in x:
        state = module(step, state)
    return sum((part * part).sum() for part in (state if isinstance(state, tuple) else (state,)))


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_every_call_is_pytorchs(name: str, device: Device) -> None:
    ours, theirs = pair(name, device)
    draw = np.random.default_rng(0).standard_normal
    for call in range(4):  # step by step, then by plan; lengths and batches change between calls
        values = draw((3 + call // 3, 2, 4)).astype(np.float32)
        x, expected = (
            wf.tensor(values, device=device.name, requires_grad=True),
            torch.tensor(values, requires_grad=True),
        )
        ours.zero_grad(), theirs.zero_grad()
        mine, loss = losses(wf, ours, x), losses(torch, theirs, expected)
        assert abs(mine.item() - loss.item()) < 1e-4
        mine.backward(), loss.backward()
        for own, other in zip([x, *ours.parameters()], [expected, *theirs.parameters()], strict=True):
            np.testing.assert_allclose(own.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5)
        with wf.no_grad():
            assert abs(losses(wf, ours, x.detach()).item() - loss.item()) < 1e-4


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_gradients_of_gradients_are_pytorchs(name: str, device: Device) -> None:
    ours, theirs = pair(name, device)
    values = np.random.default_rng(1).standard_normal((3, 2, 4)).astype(np.float32)

    def penalty(m: Any, module: Any, x: Any) -> Any:
        (grad,) = m.autograd.grad(losses(m, module, x), x, create_graph=True)
        return m.autograd.grad((grad * grad).sum(), next(iter(module.parameters())))[0]

    for _ in range(2):
        made = penalty(wf, ours, wf.tensor(values, device=device.name, requires_grad=True))
    expected = penalty(torch, theirs, torch.tensor(values, requires_grad=True))
    np.testing.assert_allclose(made.cpu().numpy(), expected.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_a_call_makes_as_many_tensors_whatever_its_length(
    name: str, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair(name, device)

    def made(length: int) -> int:
        x = wf.ones(length, 2, 4, device=device.name)
        for _ in range(2):
            losses(wf, ours, x).backward()
        count: list[Any] = []
        with monkeypatch.context() as patched:
            patched.setattr(base, "allocation_hook", lambda storage: count.append(storage.size))
            losses(wf, ours, x).backward()
        return len(count)

    assert made(12) == made(4)


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_weights_that_change_before_backward_are_refused(name: str, device: Device) -> None:
    ours, _ = pair(name, device)
    for _ in range(3):
        loss = losses(wf, ours, wf.ones(3, 2, 4, device=device.name))
        with wf.no_grad():
            (ours.weight_hh if name in CELLS else ours.weight_hh_l0).mul_(2.0)
        with pytest.raises(GradError, match="modified by an in-place operation"):
            loss.backward()


def test_plans_are_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    if device.name != "cpu":
        pytest.skip("the table is one for all devices")
    plans = replayed._Plans()
    monkeypatch.setattr(replayed, "_PLANS", plans)
    monkeypatch.setattr(replayed, "CAPACITY", 3)
    ours, _ = pair("RNN", device)
    with wf.no_grad():
        for length in range(2, 8):
            for _ in range(3):
                ours(wf.ones(length, 2, 4, device="cpu"))
    assert len(plans._plans) == 3
    monkeypatch.setattr(replayed, "ARENAS", 0)
    with wf.no_grad():
        for _ in range(2):
            ours(wf.ones(9, 2, 4, device="cpu"))
    assert sum(plan is not None for _, plan, _ in plans._plans.values()) == 1


def test_half_precision_and_autocast_run_by_plan_too() -> None:
    ours = wf.nn.LSTM(4, 6, device="cpu")
    x = wf.ones(5, 2, 4, device="cpu")
    expected = ours(x)[0].detach().numpy()
    for _ in range(3):
        with wf.autocast("cpu", dtype=wf.bfloat16):
            found = ours(x)[0]
        assert found.dtype is wf.bfloat16
        np.testing.assert_allclose(found.float().detach().numpy(), expected, atol=0.03)
