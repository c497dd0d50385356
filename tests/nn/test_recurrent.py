"""Recurrent layers against PyTorch's with the same weights: outputs, states, gradients, names and prints."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.nn.test_layers import agree, dtypes_of
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"bias": False, "num_layers": 2}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "batch_first": True}),
    ("GRU", {"bidirectional": True, "bias": False}),
]


def pair(name: str, options: dict[str, Any], dtype: Any, torch_dtype: Any, device: str) -> tuple[Any, Any]:
    theirs = getattr(torch.nn, name)(4, 3, **options).to(torch_dtype)
    ours = getattr(wf.nn, name)(4, 3, **options).to(device, dtype)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    return ours, theirs


def flat(result: Any) -> list[Any]:
    return [leaf for part in result for leaf in flat(part)] if isinstance(result, tuple) else [result]


def compare(ours: Any, theirs: Any, inputs: list[Any], rebuild: Any, kinds: Any, device: str) -> None:
    dtype, torch_dtype, tolerance = kinds
    own = [wf.tensor(value, dtype=dtype, device=device, requires_grad=True) for value in inputs]
    other = [torch.tensor(value, dtype=torch_dtype, requires_grad=True) for value in inputs]
    results = flat(ours(*rebuild(own))), flat(theirs(*rebuild(other)))
    for mine, expected in zip(*results, strict=True):
        agree(mine, expected, tolerance)
    for parts in results:
        sum((part * part * (index + 1)).sum() for index, part in enumerate(parts)).backward()
    for mine, expected in zip([*own, *ours.parameters()], [*other, *theirs.parameters()], strict=True):
        agree(mine.grad, expected.grad, tolerance * 10)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
@pytest.mark.parametrize("start", ["zeros", "given", "no batch"])
def test_layers_agree_with_pytorch(name: str, options: dict[str, Any], start: str, device: Device) -> None:
    if device.name != "cpu" and start == "zeros":
        pytest.skip("given states cover it; each pipeline takes its time on the software driver")
    draw = numpy.random.default_rng(0).standard_normal
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    shape, state = ((5, 4), (count, 3)) if start == "no batch" else ((5, 2, 4), (count, 2, 3))
    if options.get("batch_first") and len(shape) == 3:
        shape = (2, 5, 4)
    inputs = [draw(shape)] + (
        [] if start == "zeros" else [draw(state) for _ in range(2 if name == "LSTM" else 1)]
    )

    def rebuild(given: list[Any]) -> list[Any]:
        return [given[0], tuple(given[1:])] if len(given) == 3 else given

    for kinds in dtypes_of(device):
        ours, theirs = pair(name, options, *kinds[:2], device.name)
        compare(ours, theirs, inputs, rebuild, kinds, device.name)


@pytest.mark.parametrize(
    ("name", "options"),
    [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {"bias": False}), ("GRUCell", {})],
)  # fmt: skip
def test_cells_agree_with_pytorch(name: str, options: dict[str, Any], device: Device) -> None:
    draw = numpy.random.default_rng(1).standard_normal
    inputs = [draw((2, 4)), *(draw((2, 3)) for _ in range(2 if name == "LSTMCell" else 1))]
    for kinds in dtypes_of(device):
        ours, theirs = pair(name, options, *kinds[:2], device.name)
        compare(
            ours, theirs, inputs, lambda g: [g[0], tuple(g[1:])] if len(g) == 3 else g, kinds, device.name
        )
        x = draw(4)
        result = flat(ours(wf.tensor(x, dtype=kinds[0], device=device.name)))
        expected = flat(theirs(torch.tensor(x, dtype=kinds[1])))
        for mine, other in zip(result, expected, strict=True):
            agree(mine, other, kinds[2])


def test_twenty_steps_follow_pytorch() -> None:
    ours, theirs = pair("LSTM", {"num_layers": 2}, wf.float64, torch.float64, "cpu")
    values = numpy.random.default_rng(3).standard_normal((6, 2, 4))
    for lib, layer, kind in ((wf, ours, wf.float64), (torch, theirs, torch.float64)):
        x = lib.tensor(values, dtype=kind, device="cpu")
        optimizer = lib.optim.Adam(layer.parameters(), lr=0.02)
        for _ in range(20):
            optimizer.zero_grad()
            ((layer(x)[0] - 0.3) ** 2).mean().backward()
            optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        agree(mine, other, 1e-9)


def test_dropout_falls_between_layers_in_training_only() -> None:
    wf.manual_seed(0)
    layer = wf.nn.GRU(3, 8, num_layers=2, dropout=0.5, device="cpu")
    x = wf.ones(4, 2, 3, device="cpu")
    assert (layer(x)[0] != layer(x)[0]).any()
    layer.eval()
    assert (layer(x)[0] == layer(x)[0]).all()
    assert repr(layer) == repr(torch.nn.GRU(3, 8, num_layers=2, dropout=0.5))


def test_weights_start_within_their_bound() -> None:
    for parameter in wf.nn.LSTM(5, 16, device="cpu").parameters():
        values = parameter.detach().numpy()
        assert abs(values).max() <= 0.25
        assert values.std() == pytest.approx(0.25 / 3**0.5, rel=0.3)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: wf.nn.LSTM(4, 3, proj_size=2), UnsupportedError, "LSTM: proj_size is 2, expected 0"),
        (lambda: wf.nn.LSTM(4, 0), ArgumentError, "LSTM: hidden_size is 0, expected at least 1"),
        (lambda: wf.nn.GRU(4, 3, dropout=1.5), ArgumentError, "GRU: dropout is 1.5"),
        (lambda: wf.nn.RNN(4, 3, nonlinearity="elu"), ArgumentError, "RNN: nonlinearity is 'elu'"),
        (lambda: wf.nn.RNN(4, 3)(wf.zeros(5, 2, 3)), ShapeError, r"input's shape is \(5, 2, 3\), expected \(L, N, 4\)"),
        (lambda: wf.nn.LSTM(4, 3)(wf.zeros(5, 2, 4), wf.zeros(1, 2, 3)), ArgumentTypeError, "hx is Tensor, expected a pair"),
        (lambda: wf.nn.GRU(4, 3)(wf.zeros(5, 2, 4), wf.zeros(2, 2, 3)), ShapeError, r"hx's shape is \(2, 2, 3\), expected \(1, 2, 3\)"),
        (lambda: wf.nn.GRU(4, 3)(torch.nn.utils.rnn.pack_sequence([torch.zeros(2, 4)])), UnsupportedError, "a PackedSequence"),
        (lambda: wf.nn.LSTMCell(4, 3)(wf.zeros(2, 4), wf.zeros(2, 3)), ArgumentTypeError, "hx is 1 tensors, expected 2"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
