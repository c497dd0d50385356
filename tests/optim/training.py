"""What the optimizers' tests share: options, equal parameters in both libraries, and a loss to follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch

import weft as wf

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True}),
    ("SGD", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.99)}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.0), "eps": 1e-2}),
    ("Adam", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.7, "weight_decay": 0.1, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-2, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"lr": 0.05, "maximize": True, "eps": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("NAdam", {"lr": 0.01, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.5)}),
    ("RAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (1e-2, 0.2)}),
    ("Rprop", {"maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.02, "lambd": 0.1, "alpha": 0.6, "t0": 3, "weight_decay": 0.1}),
    ("ASGD", {"maximize": True}),
]
ROUNDED = ("ASGD", "NAdam")
"""Optimizers of which PyTorch keeps some numbers in float32, whatever the parameters are."""
SHAPES = [(3, 4), (4,), (), (2, 3, 1, 2), (0, 2)]


def pair(
    device: str = "cpu", double: bool = True, shapes: Any = SHAPES
) -> tuple[list[wf.nn.Parameter], list[Any]]:
    """The same random parameters in both libraries."""
    random = numpy.random.default_rng(0)
    values = [random.standard_normal(shape) for shape in shapes]
    kind, other = (wf.float64, torch.float64) if double else (wf.float32, torch.float32)
    ours = [wf.nn.Parameter(wf.tensor(value, dtype=kind, device=device)) for value in values]
    theirs = [torch.nn.Parameter(torch.tensor(value, dtype=other)) for value in values]
    return ours, theirs


def loss_of(parameters: list[Any]) -> Any:
    """Something whose gradient changes with every parameter from step to step."""
    total: Any = 0
    for index, parameter in enumerate(parameters):
        total = total + ((parameter - 0.3 * index) * parameter * (parameter.tanh() + index)).sum()
    return total


def train(
    optimizer: Any, parameters: list[Any], steps: int, loss: Callable[[list[Any]], Any] = loss_of
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(parameters).backward()
        optimizer.step()


def same(ours: list[Any], theirs: list[Any], tolerance: float) -> None:
    for own, other in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(
            own.detach().numpy(), other.detach().numpy(), rtol=tolerance, atol=tolerance
        )
