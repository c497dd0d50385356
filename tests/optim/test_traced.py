"""A training step traced to a graph and interpreted: the optimizers' state advances as in the eager run."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import weft as wf
from weft.compiler import trace
from weft.devices import Device


def network(device: str) -> wf.nn.Module:
    wf.manual_seed(0)
    return wf.nn.Sequential(
        wf.nn.Conv2d(1, 3, 3, device=device), wf.nn.ReLU(), wf.nn.MaxPool2d(2), wf.nn.Flatten(), wf.nn.Dropout(0.2),
        wf.nn.Linear(12, 4, device=device),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adam", {"lr": 0.01}),
        ("AdamW", {"lr": 0.01}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
        ("SGD", {"lr": 0.1}),
        ("NAdam", {"lr": 0.01}),
        ("ASGD", {"lr": 0.1, "t0": 2}),
    ],
)
def test_a_traced_step_is_the_eager_step(name: str, options: dict[str, Any], device: Device) -> None:
    random = numpy.random.default_rng(0)
    batches = [
        (random.standard_normal((5, 1, 6, 6)).astype("float32"), random.integers(0, 4, 5)) for _ in range(4)
    ]

    def run(traced: bool) -> tuple[list[float], list[Any]]:
        model = network(device.name)
        optimizer = getattr(wf.optim, name)(model.parameters(), **options)

        def step(x: wf.Tensor, y: wf.Tensor) -> wf.Tensor:
            optimizer.zero_grad()
            loss: wf.Tensor = wf.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        losses = []
        program: Any = step
        for x, y in batches:
            batch = wf.tensor(x, device=device.name), wf.tensor(y, device=device.name)
            if traced and program is step:
                program = trace(step, *batch)
            losses.append(program(*batch).item())
            optimizer.param_groups[0]["lr"] *= 0.5  # a state of the graph: no new trace
        return losses, [parameter.detach().numpy() for parameter in model.parameters()]

    wf.manual_seed(1)
    eager, values = run(False)
    wf.manual_seed(1)
    replayed, found = run(True)
    assert replayed == pytest.approx(eager, rel=1e-5)
    for actual, expected in zip(found, values, strict=True):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_parameters_without_a_gradient_keep_their_count() -> None:
    parameters = [wf.nn.Parameter(wf.ones(2, device="cpu")) for _ in range(2)]
    optimizer = wf.optim.Adam(parameters)

    def step(x: wf.Tensor) -> wf.Tensor:
        optimizer.zero_grad()
        loss = (parameters[0] * x).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    x = wf.ones(2, device="cpu")
    traced = trace(step, x)
    assert [entry["step"].item() for entry in optimizer.state_dict()["state"].values()] == [0.0, 0.0]
    traced(x)
    step(x)
    assert [entry["step"].item() for entry in optimizer.state_dict()["state"].values()] == [2.0, 0.0]
