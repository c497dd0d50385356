"""A small network learns the sine: the shortest example of a compiled training step.

    python -m examples.sine

Its mean squared error over three periods falls below 0.00005 (the mean square of the sine is 0.5). The picture shows
the sine, the network's approximation, and the loss.
"""

from __future__ import annotations

import math

from matplotlib.figure import Figure

import weft as wf
from examples.common import Options, draw_curve, fit, options, plain
from weft import nn, optim

REACH = 3 * math.pi


def draw(x: wf.Tensor, y: wf.Tensor, learned: wf.Tensor, losses: list[float], options: Options) -> None:
    """Draw the sine and the network on the left, the loss on the right."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    curve, loss = figure.subplots(1, 2)
    curve.plot(x.numpy(), y.numpy(), color="#bbbbbb", linewidth=5, label="sine")
    curve.plot(x.numpy(), learned.numpy(), label="network")
    curve.legend(frameon=False, loc="upper right")
    plain(curve)
    draw_curve(loss, losses, "mean squared error", yscale="log")
    options.save(figure, "sine.png")


def main() -> None:
    """Train, draw, and print the error as the last line."""
    chosen = options("sine", __doc__, steps=3000, short=1000)
    model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        x = (2 * wf.rand(256, 1) - 1) * REACH
        loss = nn.functional.mse_loss(model(x), x.sin())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    losses = fit(step, chosen.steps)
    x = wf.linspace(-REACH, REACH, 400).unsqueeze(1)
    with wf.no_grad():
        learned = model(x)
    draw(x, x.sin(), learned, losses, chosen)
    print(f"mean squared error: {nn.functional.mse_loss(learned, x.sin()).item():.6f}")


if __name__ == "__main__":
    main()
