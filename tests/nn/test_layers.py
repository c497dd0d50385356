"""Layers and losses: outputs and gradients against PyTorch with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError

LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "linear": (lambda n: n.Linear(5, 3), (4, 5)),
    "linear without bias, 3-d": (lambda n: n.Linear(5, 3, bias=False), (2, 4, 5)),
    "linear, a vector": (lambda n: n.Linear(5, 3), (5,)),
    "conv": (lambda n: n.Conv2d(2, 3, 3), (2, 2, 6, 5)),
    "conv with all options": (
        lambda n: n.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False), (2, 4, 7, 6)),
    "conv, same": (lambda n: n.Conv2d(2, 3, (3, 5), padding="same"), (1, 2, 6, 7)),
    "conv, valid": (lambda n: n.Conv2d(2, 3, 3, padding="valid"), (1, 2, 6, 7)),
    "conv without a batch": (lambda n: n.Conv2d(2, 3, 3, padding=1), (2, 4, 4)),
    "pool": (lambda n: n.MaxPool2d(2), (2, 3, 6, 5)),
    "pool with options": (lambda n: n.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 1), ceil_mode=True), (2, 3, 7, 6)),
    "relu": (lambda n: n.ReLU(), (3, 4)),
    "tanh": (lambda n: n.Tanh(), (3, 4)),
    "sigmoid": (lambda n: n.Sigmoid(), (3, 4)),
    "silu": (lambda n: n.SiLU(), (3, 4)),
    "softmax": (lambda n: n.Softmax(-1), (3, 4)),
    "log softmax": (lambda n: n.LogSoftmax(0), (3, 4)),
    "flatten": (lambda n: n.Flatten(), (2, 3, 4)),
    "flatten, part": (lambda n: n.Flatten(0, 1), (2, 3, 4)),
    "dropout in evaluation": (lambda n: n.Dropout(0.5).eval(), (3, 4)),
    "a small network": (
        lambda n: n.Sequential(
            n.Conv2d(1, 4, 3, padding=1), n.ReLU(inplace=True), n.MaxPool2d(2), n.Flatten(), n.Linear(16, 8), n.SiLU(True),
            n.Linear(8, 3)), (5, 1, 4, 4)),
}  # fmt: skip
LOSSES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "cross entropy": (lambda n: n.CrossEntropyLoss(), "classes"),
    "cross entropy, sum": (lambda n: n.CrossEntropyLoss(reduction="sum"), "classes"),
    "cross entropy, each": (lambda n: n.CrossEntropyLoss(reduction="none"), "classes"),
    "cross entropy, ignoring and smoothing": (lambda n: n.CrossEntropyLoss(ignore_index=2), "classes"),
    "cross entropy, smoothed": (lambda n: n.CrossEntropyLoss(label_smoothing=0.2), "classes"),
    "cross entropy of probabilities": (lambda n: n.CrossEntropyLoss(label_smoothing=0.1), "values"),
    "nll": (lambda n: n.NLLLoss(), "classes"),
    "nll, ignoring": (lambda n: n.NLLLoss(ignore_index=1, reduction="sum"), "classes"),
    "mse": (lambda n: n.MSELoss(), "values"),
    "mse, each": (lambda n: n.MSELoss(reduction="none"), "values"),
}


def dtypes_of(device: Device) -> list[tuple[Any, Any, float]]:
    single = (wf.float32, torch.float32, 1e-5 if device.name == "cpu" else 1e-4)
    return [(wf.float64, torch.float64, 1e-9), single] if device.name == "cpu" else [single]


def agree(ours: wf.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    numpy.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_pytorch(name: str, device: Device) -> None:
    make, shape = LAYERS[name]
    for dtype, torch_dtype, tolerance in dtypes_of(device):
        theirs = make(torch.nn).to(torch_dtype)
        ours = make(wf.nn).to(device.name, dtype)
        ours.load_state_dict(theirs.state_dict())
        values = numpy.random.default_rng(1).standard_normal(shape)
        x = wf.tensor(values, dtype=dtype, device=device.name, requires_grad=True)
        t = torch.tensor(values, dtype=torch_dtype, requires_grad=True)
        y, expected = ours(x), theirs(t)
        agree(y, expected, tolerance)
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        agree(x.grad, t.grad, tolerance)
        for (key, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert own.grad is not None, key
            agree(own.grad, other.grad, tolerance * 10)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3)])
def test_losses_agree_with_pytorch(name: str, shape: tuple[int, ...], device: Device) -> None:
    make, kind = LOSSES[name]
    random = numpy.random.default_rng(2)
    values = random.standard_normal(shape)
    classes = random.integers(0, shape[1], (shape[0], *shape[2:]))
    target = classes if kind == "classes" else random.uniform(size=shape)
    for dtype, torch_dtype, tolerance in dtypes_of(device):
        x = wf.tensor(values, dtype=dtype, device=device.name, requires_grad=True)
        t = torch.tensor(values, dtype=torch_dtype, requires_grad=True)
        own = wf.tensor(target, dtype=None if kind == "classes" else dtype, device=device.name)
        other = torch.tensor(target) if kind == "classes" else torch.tensor(target, dtype=torch_dtype)
        loss, expected = make(wf.nn)(x, own), make(torch.nn)(t, other)
        agree(loss, expected, tolerance)
        loss.sum().backward()
        expected.sum().backward()
        agree(x.grad, t.grad, tolerance)


@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding_agrees_with_pytorch(padding: int | None, device: Device) -> None:
    ours, theirs = (
        wf.nn.Embedding(5, 3, padding_idx=padding, device=device.name),
        torch.nn.Embedding(5, 3, padding),
    )
    if padding is not None:
        assert ours.weight[padding].tolist() == [0, 0, 0]
    ours.load_state_dict(theirs.state_dict())
    indices = numpy.array([[0, 1, 4], [1, 1, 3]])
    y, expected = ours(wf.tensor(indices, device=device.name)), theirs(torch.tensor(indices))
    agree(y, expected, 1e-6)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    agree(ours.weight.grad, theirs.weight.grad, 1e-6)


def test_dropout_drops_scales_and_lets_the_same_elements_back(device: Device) -> None:
    wf.manual_seed(0)
    layer = wf.nn.Dropout(0.25)
    x = wf.ones(100, 100, device=device.name, requires_grad=True)
    y = layer(x)
    values = y.detach().numpy()
    assert set(numpy.unique(values)) == {numpy.float32(0), numpy.float32(1 / 0.75)}
    assert abs((values == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    numpy.testing.assert_array_equal(x.grad.numpy(), values)
    assert (layer(x).detach().numpy() != values).any()
    assert layer.eval()(x) is x


def test_functional_has_what_the_table_declares() -> None:
    F = wf.nn.functional
    assert F.relu is wf.relu
    assert {"conv2d", "cross_entropy", "dropout", "embedding", "linear", "max_pool2d", "softmax"} <= set(
        dir(F)
    )
    with pytest.raises(AttributeError, match="no attribute 'eye'"):
        F.eye  # noqa: B018


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: wf.nn.Linear(-1, 2), ArgumentError, "Linear: in_features is -1, expected at least 0"),
        (lambda: wf.nn.Linear(1.5, 2), ArgumentTypeError, "Linear: in_features is 1.5, expected an int"),
        (
            lambda: wf.nn.Conv2d(3, 4, 3, groups=2),
            ArgumentError,
            "in_channels is 3, expected a multiple of groups, 2",
        ),
        (
            lambda: wf.nn.Conv2d(2, 3, 3, groups=2),
            ArgumentError,
            "out_channels is 3, expected a multiple of groups, 2",
        ),
        (
            lambda: wf.nn.Conv2d(1, 1, (1, 2, 3)),
            ShapeError,
            r"kernel_size is \(1, 2, 3\), expected an int or two ints",
        ),
        (
            lambda: wf.nn.Conv2d(1, 1, 3, padding="full"),
            ArgumentError,
            "padding is 'full', expected 'same', 'valid'",
        ),
        (
            lambda: wf.nn.Conv2d(1, 1, 3, 2, padding="same"),
            ArgumentError,
            r"stride is \(2, 2\), expected 1 with padding",
        ),
        (
            lambda: wf.nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"),
            UnsupportedError,
            "'reflect', expected 'zeros'",
        ),
        (lambda: wf.nn.Dropout(1.5), ArgumentError, r"p is 1.5, expected a probability in \[0, 1\]"),
        (lambda: wf.nn.Embedding(3, 2, padding_idx=3), ArgumentError, "padding_idx is 3, expected within"),
        (
            lambda: wf.nn.CrossEntropyLoss(reduction="max"),
            ArgumentError,
            "reduction is 'max', expected 'none'",
        ),
        (lambda: wf.nn.Embedding(3, 2, max_norm=1.0), UnsupportedError, "max_norm is 1.0, expected None"),
        (lambda: wf.nn.Softmax()(wf.ones(2)), ArgumentTypeError, r"Softmax: dim is None, expected an int"),
    ],
)
def test_mistakes_are_named_where_they_are_made(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()
