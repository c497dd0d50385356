"""A Kolmogorov-Arnold network finds the formula exp(sin(πx) + y²) (Liu et al., 2024).

    python -m examples.kan

Such a network learns functions of one variable on its edges; its nodes only add. Two edges into a node and one edge out
of it suffice for this formula, and the picture shows the three learned functions: a sine, a square and an exponential.
The root of the mean squared error falls below 0.006; the standard deviation of the formula is 1.4.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import weft as wf
from examples.common import Options, draw_curve, fit, options, plain
from weft import nn, optim

BATCH = 256


class Edges(nn.Module):
    """Functions of one variable from each of ``sources`` to each of ``targets``, summed at the targets.

    A function is a weighted SiLU and a cubic spline over ``pieces`` equal pieces of ``-reach`` to ``reach``.
    """

    def __init__(self, sources: int, targets: int, pieces: int, reach: float) -> None:
        super().__init__()
        self.width = 2 * reach / pieces
        self.register_buffer("centers", wf.linspace(-reach - self.width, reach + self.width, pieces + 3))
        self.base = nn.Parameter(wf.randn(sources, targets) / sources)
        self.spline = nn.Parameter(0.1 * wf.randn(sources, pieces + 3, targets))

    def functions(self, x: wf.Tensor) -> wf.Tensor:
        """Return the function of each edge [N, sources, targets] at the sources' values [N, sources]."""
        distance = ((x.unsqueeze(2) - self.centers) / self.width).abs()
        bumps = (
            (2 - distance).relu() ** 3 - 4 * (1 - distance).relu() ** 3
        ) / 6  # cubic B-splines, equal knots
        smooth = nn.functional.silu(x).unsqueeze(2) * self.base
        return smooth + wf.einsum("nsp,spt->nst", bumps, self.spline)

    def forward(self, x: wf.Tensor) -> wf.Tensor:
        """Return the sums at the targets [N, targets]."""
        return self.functions(x).sum(1)


def formula(points: wf.Tensor) -> wf.Tensor:
    """Return the target function at points [N, 2]."""
    return ((points[:, :1] * np.pi).sin() + points[:, 1:].square()).exp()


def draw(model: nn.Sequential, losses: list[float], options: Options) -> None:
    """Draw the three functions, scaled to the symbols that they represent, and the loss."""
    first, second = model
    x = wf.linspace(-1, 1, 200).unsqueeze(1)
    with wf.no_grad():
        inner = first.functions(wf.cat([x, x], dim=1))[:, :, 0].numpy().T
        low, high = inner.min(1).sum(), inner.max(1).sum()
        sums = wf.linspace(float(low), float(high), 200).unsqueeze(1)
        outer = second(sums)[:, 0].numpy()
    across, total = x[:, 0].numpy(), sums[:, 0].numpy()
    scale, shift = np.polyfit(np.sin(np.pi * across), inner[0], 1)
    other_scale, other_shift = np.polyfit(across**2, inner[1], 1)
    symbols = {
        "sin(πx)": (across, inner[0], scale * np.sin(np.pi * across) + shift),
        "y²": (across, inner[1], other_scale * across**2 + other_shift),
        "exp": (total, outer, np.exp((total - shift - other_shift) / scale)),
    }
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    *pictures, loss = figure.subplots(1, 4)
    for axes, (symbol, (inputs, learned, meant)) in zip(pictures, symbols.items(), strict=True):
        axes.plot(inputs, meant, color="#bbbbbb", linewidth=5, label="formula")
        axes.plot(inputs, learned, label="network")
        axes.set_title(symbol)
        axes.legend(frameon=False)
        plain(axes)
    draw_curve(loss, losses, "mean squared error", yscale="log")
    options.save(figure, "functions.png")


def main() -> None:
    """Train, draw, and print the error on new points as the last line."""
    chosen = options("kan", __doc__, steps=5000, short=800)
    model = nn.Sequential(Edges(2, 1, pieces=10, reach=1), Edges(1, 1, pieces=10, reach=4))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        points = 2 * wf.rand(BATCH, 2) - 1
        loss = nn.functional.mse_loss(model(points), formula(points))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    losses = fit(step, chosen.steps)
    draw(model, losses, chosen)
    points = 2 * wf.rand(10_000, 2) - 1
    with wf.no_grad():
        error = nn.functional.mse_loss(model(points), formula(points)).sqrt().item()
    print(f"root mean squared error: {error:.5f}")


if __name__ == "__main__":
    main()
