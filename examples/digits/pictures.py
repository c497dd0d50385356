"""The two pictures of the digits example, drawn with matplotlib into files; no screen is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from examples.digits.train import History

mpl.use("Agg")

RIGHT, WRONG = "#2f6f4f", "#c0392b"


def draw_curves(history: History, path: Path) -> Path:
    """Draw losses on the left and test accuracy on the right, over the epochs."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    epochs = np.arange(1, len(history.accuracy) + 1)
    losses.plot(epochs, history.train_loss, label="training (with dropout)")
    losses.plot(epochs, history.test_loss, label="test")
    losses.set(title="loss", xlabel="epoch", yscale="log")
    losses.legend(frameon=False)
    accuracy.plot(epochs, history.accuracy, color=RIGHT)
    accuracy.set(title=f"test accuracy: {history.accuracy[-1]:.4f}", xlabel="epoch")
    for axes in (losses, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    return path


def draw_digits(
    images: NDArray[np.float32], labels: NDArray[np.int64], predictions: NDArray[np.int64], path: Path
) -> Path:
    """Draw sixty test digits [N, 1, 8, 8] with the model's predictions above; wrong predictions come first, in red."""
    wrong_first = np.argsort(predictions == labels, kind="stable")[:60]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for axes, index in zip(figure.subplots(5, 12).flat, wrong_first, strict=True):
        label, prediction = labels[index], predictions[index]
        right = label == prediction
        axes.imshow(images[index, 0], cmap="gray_r")
        title = str(prediction) if right else f"{prediction}, is {label}"
        axes.set_title(
            title, color=RIGHT if right else WRONG, fontsize=10, weight="normal" if right else "bold"
        )
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color="#cccccc" if right else WRONG, linewidth=0.8 if right else 2)
    figure.savefig(path, dpi=110)
    return path
