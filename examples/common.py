"""Shared code of the examples: command line options, the training loop with a progress bar, axes of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

import weft as wf

mpl.use("Agg")  # pictures go to files; no screen is needed

WINDOW = 10
"""Steps between two reads of the loss, because a read waits for the device."""


@dataclass(frozen=True)
class Options:
    """The options of a run: the number of training steps, whether to compile, and the folder of the pictures."""

    steps: int
    short: bool
    eager: bool
    output: Path

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function compiled by ``wf.jit``, or unchanged with ``--eager``; used as a decorator."""
        return function if self.eager else wf.jit(function)

    def save(self, figure: Figure, name: str) -> None:
        """Write a picture into the folder, and print its path."""
        self.output.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.output / name, dpi=110)
        print(f"picture: {self.output / name}")


def options(name: str, document: str | None, steps: int, short: int) -> Options:
    """Parse the command line, choose the device, and seed the random numbers.

    ``steps`` is the number of training steps, ``short`` that with ``--short``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{name}", description=(document or "").split("\n")[0]
    )
    parser.add_argument(
        "--device", help="cpu, webgpu or webgpu:software (default: a GPU if there is one, else cpu)"
    )
    parser.add_argument("--steps", type=int, help=f"steps to train (default {steps}, short {short})")
    parser.add_argument("--short", action="store_true", help="a run of seconds, which learns less")
    parser.add_argument("--eager", action="store_true", help="run operation by operation, without wf.jit")
    parser.add_argument("--seed", type=int, default=1, help="seed of the weights and of all random numbers")
    parser.add_argument("--output", type=Path, default=Path("build") / name, help="folder of the pictures")
    given = parser.parse_args()
    if given.device is not None:
        wf.set_default_device(given.device)
    wf.manual_seed(given.seed)
    taken = given.steps if given.steps is not None else short if given.short else steps
    if taken < 1:
        parser.error(f"--steps is {taken}, expected at least 1")
    return Options(taken, given.short, given.eager, given.output)


def fit(step: Callable[[], wf.Tensor], steps: int, label: str = "loss") -> list[float]:
    """Take the steps under a progress bar; return the mean of their results for each ``WINDOW`` steps."""
    means: list[float] = []
    window: list[wf.Tensor] = []
    with tqdm(range(steps), desc="training", unit="step", disable=None) as bar:
        for at in bar:
            window.append(step())
            if len(window) == WINDOW or at + 1 == steps:
                means.append(wf.stack(window).mean().item())
                window.clear()
                bar.set_postfix({label: f"{means[-1]:.4g}"})
    return means


def draw_curve(axes: Axes, values: Sequence[float], title: str, **settings: Any) -> None:
    """Draw a learning curve over the steps."""
    axes.plot([WINDOW * (at + 1) for at in range(len(values))], values)
    axes.set(title=title, xlabel="step", **settings)
    plain(axes)


def plain(axes: Axes) -> None:
    """Draw a grid, and no frame above and on the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
