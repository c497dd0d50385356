"""Eager training steps of small models, and single calls, against PyTorch's: the cost of Python around small kernels.

``python -m benchmarks.eager_models [--only MLP,LSTM] [--turns 15] [--threads 2]``. Every row runs the same source with
both libraries on ``cpu``, in turns within one process. Start it with ``GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=PASSIVE``, so
that PyTorch's threads do not spin on the processors during the next turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import weft as wf
from benchmarks.harness import Row, measure, report

Run = Callable[[], Any]
Maker = Callable[[Any], Run]


def trained(library: Any, model: Any, inputs: Any, target: Any) -> Run:
    """Return a training step: forward, cross entropy, backward, SGD."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_of = library.nn.functional.cross_entropy

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(inputs), target).backward()
        optimizer.step()

    return step


def mlp(library: Any) -> Run:
    """Return an MLP, 784 → 128 → 64 → 10, with a batch of 32."""
    nn = library.nn
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    return trained(library, model, library.randn(32, 784), library.arange(32) % 10)


def cnn(library: Any) -> Run:
    """Return two convolutions with pooling and a linear layer, digits of 28 by 28, with a batch of 16."""
    nn = library.nn
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10),
    )  # fmt: skip
    return trained(library, model, library.randn(16, 1, 28, 28), library.arange(16) % 10)


def recurrent(name: str) -> Maker:
    """Return a recurrent layer of 64 over 32 steps of 32 numbers with a linear layer on the last, a batch of 16."""

    def make(library: Any) -> Run:
        layer, head = getattr(library.nn, name)(32, 64), library.nn.Linear(64, 10)

        class Model(library.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.layer, self.head = layer, head

            def forward(self, x: Any) -> Any:
                return self.head(self.layer(x)[0][-1])

        return trained(library, Model(), library.randn(32, 16, 32), library.arange(16) % 10)

    return make


def cells(name: str) -> Maker:
    """Return a cell of 64 in a Python loop over 16 steps of 32 numbers, with a batch of 16."""

    def make(library: Any) -> Run:
        cell, head = getattr(library.nn, name)(32, 64), library.nn.Linear(64, 10)

        class Model(library.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.cell, self.head = cell, head

            def forward(self, x: Any) -> Any:
                state = None
                for step in x.unbind(0):
                    state = self.cell(step, state)
                return self.head(state[0] if isinstance(state, tuple) else state)

        return trained(library, Model(), library.randn(16, 16, 32), library.arange(16) % 10)

    return make


def transformer(library: Any) -> Run:
    """Return two encoder layers of width 64 with 4 heads over 16 tokens, with a batch of 8."""
    nn = library.nn
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.encoder, self.head = (
                nn.Embedding(50, 64),
                nn.TransformerEncoder(layer, 2),
                nn.Linear(64, 10),
            )

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(self.embedding(x)).mean(1))

    return trained(library, Model(), library.arange(128).reshape(8, 16) % 50, library.arange(8) % 10)


def loader(library: Any) -> Run:
    """Return an epoch of 256 NumPy pictures of 3 by 32 by 32 with labels, in batches of 32."""
    pictures = np.random.default_rng(0).standard_normal((256, 3, 32, 32)).astype(np.float32)
    samples = [(picture, at % 10) for at, picture in enumerate(pictures)]
    batches = library.utils.data.DataLoader(samples, batch_size=32)
    return lambda: [None for _ in batches]


def apart(way: Callable[[Any], Any]) -> Maker:
    """Return ``unbind`` of a tensor of 512 by 64, with its gradient."""

    def make(library: Any) -> Run:
        x = library.ones(512, 64, requires_grad=True)

        def run() -> None:
            x.grad = None
            library.stack([part * 2 for part in way(x)]).sum().backward()

        return run

    return make


MODELS: dict[str, Maker] = {
    "MLP step": mlp, "CNN step": cnn, "LSTM step": recurrent("LSTM"), "GRU step": recurrent("GRU"),
    "RNN step": recurrent("RNN"), "LSTMCell loop step": cells("LSTMCell"), "GRUCell loop step": cells("GRUCell"),
    "transformer step": transformer, "loader over pictures": loader,
    "unbind of 512, backward": apart(lambda x: x.unbind(0)), "split in 512, backward": apart(lambda x: x.split(1)),
}  # fmt: skip


def calls(library: Any) -> dict[str, Run]:
    """Return single calls on few elements, by name."""
    f, a, b = library.nn.functional, library.ones(16), library.ones(16)
    leaf, matrix, square = library.ones(16, requires_grad=True), library.ones(4, 8), library.ones(4, 4)
    weight, bias = library.ones(8, 8), library.ones(8)
    weight_leaf, bias_leaf = library.ones(8, 8, requires_grad=True), library.ones(8, requires_grad=True)
    logits, classes = library.ones(16, 10, requires_grad=True), library.arange(16) % 10
    parts, array = [library.ones(8) for _ in range(64)], np.ones((4, 4), np.float32)

    def chain() -> None:
        leaf.grad = None
        (leaf * b).sum().backward()

    return {
        "add": lambda: a + b, "a * 2": lambda: a * 2.0, "add, recorded": lambda: leaf + b, "add_": lambda: a.add_(b),
        "relu": lambda: f.relu(a), "sum": lambda: a.sum(), "reshape": lambda: a.reshape(4, 4), "T": lambda: square.T,
        "x[1]": lambda: square[1], "x[0, 0].item()": lambda: square[0, 0].item(), "matmul": lambda: square @ square,
        "linear": lambda: f.linear(matrix, weight, bias),
        "linear, recorded": lambda: f.linear(matrix, weight_leaf, bias_leaf),
        "cross_entropy": lambda: f.cross_entropy(logits, classes), "stack of 64": lambda: library.stack(parts),
        "from_numpy": lambda: library.from_numpy(array), "zeros": lambda: library.zeros(16),
        "multiply, sum, backward": chain,
    }  # fmt: skip


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="words of the rows to run, separated by commas")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wf.set_default_device("cpu")
    wanted = [word for word in options.only.split(",") if word]

    def asked(name: str) -> bool:
        return not wanted or any(word in name for word in wanted)

    rows: list[Row] = []
    for name, make in MODELS.items():
        if asked(name):
            ours, theirs = make(wf), make(torch)
            for _ in range(3):
                ours(), theirs()
            rows.append(measure(name, ours, {"torch": theirs}, options.turns))
    ours, theirs = calls(wf), calls(torch)
    rows += [
        measure(name, ours[name], {"torch": theirs[name]}, options.turns) for name in ours if asked(name)
    ]
    report("eager_models", rows)


if __name__ == "__main__":
    main()
