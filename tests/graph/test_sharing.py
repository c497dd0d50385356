"""Shared kernels: kernels that differ only in offsets and sizes are compiled once, with equal results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.compiler import trace
from weft.devices import Device
from weft.graph.pipeline import compile_graph
from weft.target import CPU


def compiled_kernels(run: Any, *given: Any, profile: Any = CPU) -> tuple[int, int]:
    """How many dispatches the plan of a function has, and how many kernels."""
    made = list(compile_graph(trace(run, *given).graph, profile).dispatches())
    return len(made), len({dispatch.spec for dispatch in made})


def recurrence(x: Any, weight: Any) -> Any:
    state = x[0]
    for at in range(1, x.shape[0]):
        state = wf.tanh(state @ weight) * wf.sigmoid(x[at]) + x[at]
    return state


def test_steps_of_a_loop_that_was_written_out_share_their_kernels(device: Device) -> None:
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((24, 4, 8), np.float32), rng.standard_normal((8, 8), np.float32)
    given = wf.tensor(x, device=device.name), wf.tensor(weight, device=device.name)
    dispatches, kernels = compiled_kernels(recurrence, *given, profile=device.profile)
    assert dispatches >= 23
    if not device.profile.capabilities.epilogues:  # what follows a product is written into its template there
        assert kernels <= 8  # first, middle and last steps
    expected = x[0].astype(np.float64)
    for at in range(1, len(x)):
        expected = np.tanh(expected @ weight) / (1 + np.exp(-x[at].astype(np.float64))) + x[at]
    np.testing.assert_allclose(wf.jit(recurrence)(*given).numpy(), expected, rtol=2e-4, atol=2e-4)


def test_an_optimizer_over_unequal_sizes_has_few_kernels(device: Device) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    sizes = [int(size) for size in rng.integers(1, 30, 200)]
    values = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    ours = [wf.nn.Parameter(wf.tensor(value, device=device.name)) for value in values]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in values]
    for own, other in zip(ours, theirs, strict=True):
        own.grad, other.grad = own.detach() * 0.5, other.detach() * 0.5
    optimizers = wf.optim.AdamW(ours, lr=0.1), torch.optim.AdamW(theirs, lr=0.1)
    step = wf.jit(optimizers[0].step)
    for _ in range(3):
        step()
        optimizers[1].step()
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.cpu
def test_numbers_that_are_equal_in_all_kernels_stay_constants() -> None:
    def run(x: Any) -> Any:
        return [wf.exp(x[at : at + 4, 3:]) + 1 for at in range(0, 16, 4)]

    x = wf.ones(16, 8, device="cpu")
    made = list(compile_graph(trace(run, x).graph, CPU).dispatches())
    assert len({dispatch.spec for dispatch in made}) == 1
    assert {len(dispatch.parameters) for dispatch in made} == {1}
    assert [dispatch.parameters[0] for dispatch in made] == [3, 35, 67, 99]
