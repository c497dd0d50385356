"""Writes into views of computed values: one pointwise kernel, equal to the eager results."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

import weft as wf
from tests.graph.test_epilogues import wrapped
from weft.compiler import trace
from weft.devices.base import Device
from weft.graph.pipeline import lower_graph
from weft.graph.plan.planning import Planning
from weft.tensors.tensor import Tensor

SHAPE = (4, 6, 5)


def rows(x: Tensor) -> Tensor:
    zeros = wf.zeros(SHAPE, device=x.device)
    zeros[1:3] = x[:2] * 2
    return zeros + 1


def steps(x: Tensor) -> Tensor:
    zeros = wf.zeros(SHAPE, device=x.device)
    zeros[:, 1::2, ::3] = x[:, :3, :2]
    return zeros


def turned(x: Tensor) -> Tensor:
    made = wf.full((5, 4, 6), 7.0, device=x.device)
    made.permute(1, 2, 0)[1, 2:] = x[0, 2:]
    return made


def twice(x: Tensor) -> Tensor:
    made = wf.sin(x)
    made[0] = x[1] + 1
    made[:, 2:4] = x[:, 1:3]
    return made * 2


def whole(x: Tensor) -> Tensor:
    made = x + 1
    made[:] = x
    return made


def differences(x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = wf.autograd.grad(((x[1:] - x[:-1]) ** 2).sum(), [x])
    return found


CASES: tuple[Callable[[Tensor], Tensor], ...] = (rows, steps, turned, twice, whole, differences)


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_updates_are_pointwise(function: Callable[[Tensor], Tensor], device: Device) -> None:
    x = wf.tensor(numpy.random.default_rng(0).standard_normal(SHAPE).astype("float32"), device=device.name)
    expected = function(x).numpy()
    lowered = lower_graph(trace(function, x).graph, device.profile)
    assert len(lowered.calls) == 1, lowered
    replay = device.prepare(Planning(lowered, device.profile).plan())
    (storage,) = replay.run([x._data.storage], [])
    numpy.testing.assert_allclose(wrapped(storage, lowered.outputs[0]).numpy(), expected, rtol=1e-6)


def test_a_state_is_updated_by_a_kernel_of_its_own(device: Device) -> None:
    cache = wf.zeros(64, 8, device=device.name)

    def write(x: Tensor) -> None:
        cache[3] = x

    traced = trace(write, wf.ones(8, device=device.name))
    lowered = lower_graph(traced.graph, device.profile)
    assert any(call.kernel.name == "update_view_part" for call in lowered.calls)
