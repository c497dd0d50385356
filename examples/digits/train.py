"""A small convolutional network learns to read digits: data, training, evaluation and checkpoint in one file.

    python -m examples.digits                     # on the default device
    python -m examples.digits --device webgpu --epochs 5
    python -m examples.digits --eager             # operation by operation, without wf.jit

It trains with a progress bar, evaluates after each epoch, saves a checkpoint that a new model loads, and draws the
learning curves and a page of test digits. Its test accuracy is at least 0.98. Apart from the first import and
``wf.jit`` the code could be PyTorch's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import weft as wf
from examples.digits import pictures
from weft import nn, optim
from weft.utils.data import DataLoader, TensorDataset


@dataclass
class History:
    """A number for each epoch: the mean training loss, and the loss and accuracy on the test digits."""

    train_loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


def load_data(device: str | None) -> tuple[TensorDataset, TensorDataset]:
    """Return the 1,797 digits as images [N, 1, 8, 8] in 0..1 and labels [N]: a fifth for tests.

    The split does not depend on ``--seed``, so that the accuracies of runs can be compared.
    """
    digits = load_digits()
    images, labels = digits.images[:, None].astype(np.float32) / 16, digits.target
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = (
        TensorDataset(wf.tensor(images[part], device=device), wf.tensor(labels[part], device=device))
        for part in np.split(order, [len(order) * 4 // 5])
    )
    return train, test


def make_model() -> nn.Sequential:
    """Return two convolutions, each with max pooling that halves the picture, and a linear layer: 6,090 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),  # 16 × 8 × 8
        nn.ReLU(),
        nn.MaxPool2d(2),  # 16 × 4 × 4
        nn.Conv2d(16, 32, kernel_size=3, padding=1),  # 32 × 4 × 4
        nn.ReLU(),
        nn.MaxPool2d(2),  # 32 × 2 × 2
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 2 * 2, 10),
    )


Step = Callable[[wf.Tensor, wf.Tensor], wf.Tensor]


def make_step(model: nn.Module, optimizer: optim.Optimizer, criterion: nn.Module, eager: bool) -> Step:
    """Return the training step, from a batch to its loss, compiled for each batch shape unless ``eager``."""

    def step(images: wf.Tensor, labels: wf.Tensor) -> wf.Tensor:
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        detached: wf.Tensor = loss.detach()
        return detached

    return step if eager else wf.jit(step)


def train_epoch(model: nn.Module, batches: DataLoader, step: Step) -> float:
    """Train for one pass over the training digits; return the mean loss."""
    model.train()
    return wf.stack([step(images, labels) for images, labels in batches]).mean().item()


@wf.no_grad()
def evaluate(model: nn.Module, data: TensorDataset, criterion: nn.Module) -> tuple[float, float]:
    """Return the loss and the accuracy."""
    model.eval()
    images, labels = data.tensors
    logits = model(images)
    right = logits.argmax(dim=1) == labels
    return criterion(logits, labels).item(), right.float().mean().item()


def train(
    model: nn.Module, train_data: TensorDataset, test_data: TensorDataset, epochs: int, eager: bool = False
) -> History:
    """Train with Adam, with a learning rate that falls linearly to zero; evaluate after each epoch."""
    batches = DataLoader(train_data, batch_size=64, shuffle=True)
    optimizer = optim.Adam(model.parameters())
    criterion = nn.CrossEntropyLoss()
    step = make_step(model, optimizer, criterion, eager)
    history = History()
    with tqdm(range(epochs), desc="training", unit="epoch", disable=None) as bar:
        for epoch in bar:
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - epoch / epochs)
            history.train_loss.append(train_epoch(model, batches, step))
            loss, accuracy = evaluate(model, test_data, criterion)
            history.test_loss.append(loss)
            history.accuracy.append(accuracy)
            bar.set_postfix(loss=f"{history.train_loss[-1]:.4f}", test_accuracy=f"{accuracy:.4f}")
    return history


@wf.no_grad()
def reload_checkpoint(model: nn.Module, path: Path, images: wf.Tensor) -> None:
    """Save the model, load it into a new one, and check that both give the same outputs to the last bit."""
    wf.save(model.state_dict(), path)
    fresh = make_model().to(images.device)
    fresh.load_state_dict(wf.load(path, images.device))
    fresh.eval()
    if not np.array_equal(fresh(images).numpy(), model(images).numpy()):
        raise RuntimeError(f"the model loaded from {path} gives other outputs than the one that was saved")


def main() -> None:
    """Train, check the checkpoint, draw the pictures; the last line printed is the accuracy on the test digits."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.digits", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--device", help="cpu, webgpu or webgpu:software (default: a GPU if there is one, else cpu)"
    )
    parser.add_argument("--epochs", type=int, help="passes over the digits (default 20, short 4)")
    parser.add_argument("--short", action="store_true", help="a run of seconds, which learns less")
    parser.add_argument("--eager", action="store_true", help="run operation by operation, without wf.jit")
    parser.add_argument("--seed", type=int, default=1, help="of the weights, the batches and dropout")
    parser.add_argument(
        "--output", type=Path, default=Path("build/digits"), help="folder of checkpoint and pictures"
    )
    arguments = parser.parse_args()
    epochs = arguments.epochs if arguments.epochs is not None else 4 if arguments.short else 20

    wf.manual_seed(arguments.seed)
    train_data, test_data = load_data(arguments.device)
    images, labels = test_data.tensors
    model = make_model().to(images.device)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{len(train_data)} digits to learn from, {len(test_data)} to test; {count:,} parameters on {images.device}"
    )

    started = time.perf_counter()
    history = train(model, train_data, test_data, epochs, arguments.eager)
    print(f"trained in {time.perf_counter() - started:.1f} s")

    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "model.safetensors"
    reload_checkpoint(model, checkpoint, images)
    print(f"checkpoint: {checkpoint} (a fresh model that loads it gives the same outputs)")

    with wf.no_grad():
        predictions = model(images).argmax(dim=1)
    curves = pictures.draw_curves(history, arguments.output / "curves.png")
    page = pictures.draw_digits(
        images.numpy(), labels.numpy(), predictions.numpy(), arguments.output / "digits.png"
    )
    print(f"pictures: {curves}, {page}")
    print(f"test accuracy: {history.accuracy[-1]:.4f}")
