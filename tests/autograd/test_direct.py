"""Prepared calls do not pass the interpreters, and give the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.autograd.tape import Tape
from weft.devices import Device
from weft.errors import DisposedError, GradError

CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sum of two": lambda lib, a, b: a + b,
    "with a number": lambda lib, a, b: 2.5 * a - 1,
    "with a large number": lambda lib, a, b: a * 1e300,
    "of a bool": lambda lib, a, b: a * True,
    "of views": lambda lib, a, b: a[1:] * b[:3],
    "fold": lambda lib, a, b: (a * b).sum(),
    "product": lambda lib, a, b: a @ b.T,
    "several kernels": lambda lib, a, b: lib.nn.functional.linear(a, b, a[0]),
    "new": lambda lib, a, b: lib.full((3,), 7.5),
    "in place": lambda lib, a, b: a.clone().add_(b).mul_(2),
    "in place by itself": lambda lib, a, b: a.clone().mul_(a),
    "part in place": lambda lib, a, b: a.clone()[1].add_(b[0]),
    "an element": lambda lib, a, b: a[2, 1],
    "slices": lambda lib, a, b: a[1:3, ..., ::2],
    "new dimension": lambda lib, a, b: a[None, -1],
    "taken apart": lambda lib, a, b: lib.stack(a.unbind(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_call_gives_pytorchs_values(name: str, device: Device) -> None:
    draw = np.random.default_rng(0).standard_normal
    with wf.device(device.name):
        for _ in range(3):
            arrays = [draw((4, 4)).astype(np.float32) for _ in range(2)]
            made = CALLS[name](wf, *map(wf.tensor, arrays))
            expected = CALLS[name](torch, *map(torch.tensor, arrays))
            np.testing.assert_allclose(made.cpu().numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_prepared_calls_do_not_pass_the_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = wf.ones(4, 4, device="cpu"), wf.ones(4, 4, device="cpu", requires_grad=True)

    def calls() -> None:
        a + b, a.add_(2.0), a.sum(), wf.zeros(3, device="cpu"), a.T, a[1], a[1:, 2], a.unbind(0), b.split(2)

    calls()
    passed: list[str] = []
    process = Tape.process
    monkeypatch.setattr(
        Tape, "process", lambda self, op, *rest: (passed.append(op.name), process(self, op, *rest))[1]
    )
    calls()
    assert passed == []


def test_disposed_memory_is_refused(device: Device) -> None:
    a, b = wf.ones(4, device=device.name), wf.ones(4, device=device.name)
    a + b, a.add_(b), a[1]
    b.dispose()
    for call in (lambda: a + b, lambda: a.add_(b), lambda: b[1], lambda: b.unbind(0)):
        with pytest.raises(DisposedError):
            call()
    assert a.tolist() == [2.0] * 4


def test_writes_through_a_view_by_an_index_reach_the_whole_and_its_history(device: Device) -> None:
    for _ in range(3):
        leaf = wf.ones(3, device=device.name, requires_grad=True)
        with wf.no_grad():
            untracked = leaf[1]
        base = wf.zeros(3, device=device.name)
        row = base[1]
        row.copy_((leaf * 2)[1])
        assert base.requires_grad and row.requires_grad
        base.sum().backward()
        assert leaf.grad is not None and leaf.grad.tolist() == [0.0, 2.0, 0.0]
        with pytest.raises(GradError):
            untracked.add_(1)


def test_sums_of_gradients_do_not_change_tensors_that_others_hold(device: Device) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True)
    y = x * 2
    seen: list[Any] = []
    y.register_hook(seen.append)
    total = sum((y * factor).sum() for factor in range(1, 6))
    total.backward(retain_graph=True)
    assert seen[0].tolist() == [15.0] * 3
    (y * 1).sum().backward()
    assert seen[0].tolist() == [15.0] * 3 and x.grad is not None and x.grad.tolist() == [32.0] * 3
