"""The digits training step traced to a graph and interpreted node by node gives the eager run."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from examples.digits.train import load_data, make_model
from weft import nn, optim
from weft.compiler import trace

STEPS = 12


def training(name: str, optimizer: str):
    """A fresh model and its training step, on the seed's weights."""
    wf.manual_seed(0)
    model = make_model().to(name).train()
    options = {"Adam": {"lr": 0.01}, "SGD": {"lr": 0.1, "momentum": 0.9}}[optimizer]
    made = getattr(optim, optimizer)(model.parameters(), **options)
    criterion = nn.CrossEntropyLoss()

    def step(images, labels):
        loss = criterion(model(images), labels)
        made.zero_grad()
        loss.backward()
        made.step()
        return loss

    return model, step


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_the_traced_digits_step_gives_the_losses_of_the_eager_run(device, optimizer: str) -> None:
    images, labels = load_data(device.name)[0].tensors
    data = [(images[64 * i : 64 * i + 64], labels[64 * i : 64 * i + 64]) for i in range(STEPS)]
    eager, step = training(device.name, optimizer)
    expected = [step(*value).item() for value in data]
    model, step = training(device.name, optimizer)
    traced = trace(step, *data[0])
    found = [traced(*value).item() for value in data]
    # eager mode has one call for a layer with its bias and for the loss, a trace the operations that these stand for
    numpy.testing.assert_allclose(found, expected, rtol=1e-6)
    assert expected[-1] < expected[0]
    for (name, one), (_, other) in zip(model.named_parameters(), eager.named_parameters(), strict=True):
        # to the last place but one: in a trace Adam's kernel takes its first beta from memory, as schedules change it
        numpy.testing.assert_allclose(
            one.detach().numpy(), other.detach().numpy(), rtol=1e-6, atol=1e-7, err_msg=name
        )


def test_the_graph_holds_the_whole_step_as_state_changes() -> None:
    images, labels = (tensor[:8] for tensor in load_data("cpu")[0].tensors)
    model, step = training("cpu", "Adam")
    graph = trace(step, images, labels).graph
    ops = [node.op for node in graph.nodes]
    assert (
        ops.count("adam_step") == 1 and ops.count("convolution") == 2 and ops.count("convolution_weight") == 2
    )
    changed = [state for state in graph.states if state.changed]
    # each parameter and its two moments, the step counter, the random generator's counter
    assert len(changed) == 3 * len(list(model.parameters())) + 2
    assert all(node.site for node in graph.nodes)
