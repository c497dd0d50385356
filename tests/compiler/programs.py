"""Small models with their training steps, in two equal copies: for the eager run and for the jitted run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

import weft as wf
from weft import nn

F = nn.functional


@dataclass
class Training:
    model: nn.Module
    optimizer: wf.optim.Optimizer
    step: Callable[..., Any]
    batches: list[tuple[Any, ...]]
    schedule: Any


class Net(nn.Module):
    """Convolutions with batch norm, pooling and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 4, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        return self.head(F.dropout(x.flatten(1), 0.2, self.training))


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 6))
        self.decoder = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 12))

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        noise = wf.randn(mean.shape, device=str(x.device), dtype=x.dtype)
        z = mean + noise * (0.5 * log_variance).exp()
        divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(1).mean()
        return self.decoder(z), divergence


class Gpt(nn.Module):
    def __init__(self, words: int = 11, width: int = 8, length: int = 6) -> None:
        super().__init__()
        self.words, self.length = words, length
        self.token, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, words)

    def forward(self, tokens):
        places = wf.arange(self.length, device=str(tokens.device))
        x = self.token(tokens) + self.position(places)
        mask = nn.Transformer.generate_square_subsequent_mask(
            self.length, device=str(tokens.device), dtype=x.dtype
        )
        return self.head(self.blocks(x, mask=mask, is_causal=True))


class Nerf(nn.Module):
    """An MLP on positions encoded by sines and cosines of growing frequency (Mildenhall et al. 2020)."""

    def __init__(self, frequencies: int = 4) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.layers = nn.Sequential(
            nn.Linear(2 * 2 * frequencies, 16), nn.ReLU(), nn.Linear(16, 3), nn.Sigmoid()
        )

    def forward(self, x):
        scaled = [x * (2.0**k * math.pi) for k in range(self.frequencies)]
        return self.layers(
            wf.cat([value.sin() for value in scaled] + [value.cos() for value in scaled], dim=1)
        )


class Recurrent(nn.Module):
    """A recurrent net that reads a sequence and names its class by the last output of each direction."""

    def __init__(self, kind: str, layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__()
        self.layers = getattr(nn, kind)(
            3, 6, layers, batch_first=True, dropout=0.1 * (layers > 1), bidirectional=bidirectional
        )
        self.head = nn.Linear(6 * (2 if bidirectional else 1), 5)

    def forward(self, x):
        outputs, _ = self.layers(x)
        return self.head(outputs[:, -1])


def _images(draw, count, dtype, name):
    for _ in range(count):
        yield (
            wf.tensor(draw.random((8, 1, 8, 8)), dtype=dtype, device=name),
            wf.tensor(draw.integers(0, 5, 8), device=name),
        )


def _rows(draw, count, dtype, name):
    for _ in range(count):
        yield (
            wf.tensor(draw.random((8, 12)), dtype=dtype, device=name),
            wf.tensor(draw.integers(0, 5, 8), device=name),
        )


def _sequences(length):
    def data(draw, count, dtype, name):
        for _ in range(count):
            y = draw.integers(0, 5, 8)
            x = draw.random((8, length, 3)) + numpy.sin(y)[:, None, None]
            yield wf.tensor(x, dtype=dtype, device=name), wf.tensor(y, device=name)

    return data


def _tokens(draw, count, dtype, name):
    for _ in range(count):
        made = draw.integers(0, 11, (4, 7))
        yield wf.tensor(made[:, :-1].copy(), device=name), wf.tensor(made[:, 1:].copy(), device=name)


def _points(draw, count, dtype, name):
    for _ in range(count):
        points = draw.random((16, 2))
        colors = numpy.stack([points[:, 0], points[:, 1], points.prod(1)], 1)
        yield wf.tensor(points, dtype=dtype, device=name), wf.tensor(colors, dtype=dtype, device=name)


def _classify(model, x, y):
    return F.cross_entropy(model(x), y)


def _reconstruct(model, x, y):
    found, divergence = model(x)
    return F.mse_loss(found, x) + 0.01 * divergence


def _predict(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def _regress(model, x, y):
    return F.mse_loss(model(x), y)


def _mlp():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 5))


MODELS: dict[str, tuple[Any, Any, Any]] = {
    "mlp": (_mlp, _rows, _classify),
    "cnn": (Net, _images, _classify),
    "vae": (Vae, _rows, _reconstruct),
    "gpt": (Gpt, _tokens, _predict),
    "nerf": (Nerf, _points, _regress),
    "lstm": (lambda: Recurrent("LSTM", layers=2), _sequences(12), _classify),
    "gru": (lambda: Recurrent("GRU"), _sequences(5), _classify),
    "bidirectional": (lambda: Recurrent("LSTM", bidirectional=True), _sequences(4), _classify),
}
OPTIMIZERS: dict[str, Callable[[Any], wf.optim.Optimizer]] = {
    # with a larger eps than usual, gradients that are rounding alone take no full steps
    "Adam": lambda p: wf.optim.Adam(p, lr=0.01, eps=1e-4),
    "AdamW": lambda p: wf.optim.AdamW(p, lr=0.01, eps=1e-4, weight_decay=0.1),
    "SGD": lambda p: wf.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
}


def training(
    model: str,
    optimizer: str,
    name: str,
    dtype: str = "float32",
    batches: int = 10,
    wrap: Any = lambda net: net,
) -> Training:
    """The same model, optimizer state, batches and random state at each call; ``wrap`` is done to the model."""
    make, data, loss_of = MODELS[model]
    wf.manual_seed(0)
    kind = getattr(wf, dtype)
    net = wrap(make().to(name, kind).train())
    made = OPTIMIZERS[optimizer](net.parameters())

    def step(x, y):
        loss = loss_of(net, x, y)
        made.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        made.step()
        return loss

    drawn = list(data(numpy.random.default_rng(0), batches, kind, name))
    return Training(net, made, step, drawn, wf.optim.lr_scheduler.StepLR(made, 20, 0.5))
