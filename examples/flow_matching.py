"""Flow matching turns noise into a chequered board (Lipman et al., 2023).

    python -m examples.flow_matching

A network learns the velocity that moves points of a normal distribution, along straight lines, to points of the board's
dark squares. Of new points that it moves, more than 85 of 100 end on a dark square (by chance 50). The picture shows
the points at five times.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

import weft as wf
from examples.common import Options, draw_curve, fit, options
from weft import nn, optim

BATCH, POINTS, MOVES = 512, 8000, 100
SHOWN = (0, 25, 50, 75, 100)


class Velocity(nn.Module):
    """The velocity [N, 2] at points [N, 2] and times [N, 1]; inputs are the points with their sines and cosines."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(11, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, points: wf.Tensor, times: wf.Tensor) -> wf.Tensor:
        """Return the velocity."""
        angles = wf.cat([points, 2 * points], dim=1) * (math.pi / 2)
        velocity: wf.Tensor = self.layers(wf.cat([points, times, angles.sin(), angles.cos()], dim=1))
        return velocity


def board(count: int) -> wf.Tensor:
    """Sample points [N, 2] on the dark squares of a board of four by four unit squares around 0."""
    column, row = wf.randint(0, 4, (count,)), wf.randint(0, 2, (count,))
    corner = wf.stack([column, 2 * row + column % 2], dim=1)
    return corner + wf.rand(count, 2) - 2


def on_dark(points: np.ndarray) -> np.ndarray:
    """Return which points are on a dark square."""
    squares = np.floor(points).astype(int)
    dark: np.ndarray = (squares.sum(1) % 2 == 0) & (np.abs(points) < 2).all(1)
    return dark


def draw(stages: list[np.ndarray], share: float, losses: list[float], options: Options) -> None:
    """Draw the points at five times, and the loss."""
    figure = Figure(figsize=(15, 2.8), layout="constrained")
    *pictures, loss = figure.subplots(1, len(SHOWN) + 1)
    for axes, move, points in zip(pictures, SHOWN, stages, strict=True):
        axes.scatter(*points.T, s=0.6, linewidths=0)
        axes.set(title=f"t = {move / MOVES:.2f}", aspect="equal", xticks=[], yticks=[])
        axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
    pictures[-1].set_title(f"t = 1, {share:.1%} on dark")
    draw_curve(loss, losses, "loss")
    options.save(figure, "board.png")


def main() -> None:
    """Train, move points, draw, and print the share on dark squares as the last line."""
    chosen = options("flow_matching", __doc__, steps=6000, short=600)
    model = Velocity()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        start, end, times = wf.randn(BATCH, 2), board(BATCH), wf.rand(BATCH, 1)
        velocity = model(start + times * (end - start), times)
        loss = nn.functional.mse_loss(velocity, end - start)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    @chosen.compiled
    def move(points: wf.Tensor, time: float, duration: float) -> wf.Tensor:
        """Integrate one step by the midpoint rule; the time is a number that is passed at each call."""
        with wf.no_grad():
            times = wf.zeros(len(points), 1) + time
            half_way = points + duration / 2 * model(points, times)
            moved: wf.Tensor = points + duration * model(half_way, times + duration / 2)
            return moved

    losses = fit(step, chosen.steps)
    points = wf.randn(POINTS, 2)
    stages = []
    for at in range(MOVES + 1):
        if at in SHOWN:
            stages.append(points.numpy())
        points = move(points, at / MOVES, 1 / MOVES)
    share = float(on_dark(stages[-1]).mean())
    draw(stages, share, losses, chosen)
    print(f"share on dark squares: {share:.4f}")


if __name__ == "__main__":
    main()
