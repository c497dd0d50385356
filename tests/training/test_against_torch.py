"""The digits network against PyTorch with the same weights: outputs, gradients, and 20 steps of training."""

from __future__ import annotations

import numpy
import pytest
import torch

import weft as wf
from examples.digits.train import make_model
from weft import nn, optim


def torch_model() -> torch.nn.Sequential:
    """The same network in PyTorch, with the weights of its seed 0."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Dropout(0.25), torch.nn.Linear(32 * 2 * 2, 10),
    )  # fmt: skip


def batches(count: int, dtype: str) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    draw = numpy.random.default_rng(0)
    return [(draw.random((64, 1, 8, 8)).astype(dtype), draw.integers(0, 10, 64)) for _ in range(count)]


CASES = [("cpu", "float64", 1e-9), ("cpu", "float32", 1e-3), ("webgpu", "float32", 1e-3)]
each_case = pytest.mark.parametrize(
    ("device", "dtype", "bound"),
    [pytest.param(*case, marks=getattr(pytest.mark, case[0]), id=f"{case[0]}-{case[1]}") for case in CASES],
    indirect=["device"],
)


def both_models(name: str, dtype: str) -> tuple[torch.nn.Module, nn.Module]:
    """PyTorch's network and ours, with equal weights and without dropout."""
    theirs = torch_model().to(getattr(torch, dtype)).eval()
    ours = make_model().to(name, getattr(wf, dtype)).eval()
    ours.load_state_dict(
        {
            key: wf.tensor(value.numpy(), dtype=getattr(wf, dtype), device=name)
            for key, value in theirs.state_dict().items()
        }
    )
    return theirs, ours


def assert_close(found: wf.Tensor, expected: torch.Tensor, bound: float) -> None:
    numpy.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=bound, atol=bound * 0.1
    )


@each_case
def test_outputs_and_gradients(device, dtype: str, bound: float) -> None:
    theirs, ours = both_models(device.name, dtype)
    ((images, labels),) = batches(1, dtype)
    expected = theirs(torch.tensor(images))
    found = ours(wf.tensor(images, dtype=getattr(wf, dtype), device=device.name))
    assert_close(found, expected, bound)
    torch.nn.functional.cross_entropy(expected, torch.tensor(labels)).backward()
    nn.functional.cross_entropy(found, wf.tensor(labels, device=device.name)).backward()
    for (name, one), (other, reference) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == other
        assert_close(one.grad, reference.grad, bound)


@each_case
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_twenty_steps_of_training(device, dtype: str, bound: float, optimizer: str) -> None:
    options = {"SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}, "Adam": {"lr": 0.01}}[optimizer]
    theirs, ours = both_models(device.name, dtype)
    their_optimizer = getattr(torch.optim, optimizer)(theirs.parameters(), **options)
    our_optimizer = getattr(optim, optimizer)(ours.parameters(), **options)
    for images, labels in batches(20, dtype):
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(images)), torch.tensor(labels))
        their_optimizer.zero_grad()
        expected.backward()
        their_optimizer.step()
        inputs = wf.tensor(images, dtype=getattr(wf, dtype), device=device.name)
        found = nn.functional.cross_entropy(ours(inputs), wf.tensor(labels, device=device.name))
        our_optimizer.zero_grad()
        found.backward()
        our_optimizer.step()
        assert_close(found, expected, bound)
    for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(parameter, reference, bound if dtype == "float64" else 2e-2)
