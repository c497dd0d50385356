"""A tiny neural radiance field learns a scene of spheres from pictures of it (Mildenhall et al., 2020).

    python -m examples.nerf

A few lines of geometry render the scene: coloured spheres, lit by one lamp, seen by cameras at twelve positions on a
ring. A network learns the density and colour of each point in space, so that light integrated along the rays gives
these pictures. From a position between the cameras, its picture has a peak signal-to-noise ratio of more than 28 dB.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

import weft as wf
from examples.common import Options, draw_curve, fit, options
from weft import nn, optim

SIDE, VIEWS, DISTANCE = 48, 12, 4.0
NEAR, FAR, SAMPLES, RAYS = 2.4, 5.6, 40, 512
SPHERES = np.array([  # centre, radius, colour
    [0.0, 0.0, 0.0, 0.6, 0.9, 0.25, 0.2],
    [0.9, 0.5, 0.1, 0.35, 0.2, 0.45, 0.9],
    [-0.6, 0.7, -0.2, 0.4, 0.95, 0.75, 0.2],
    [-0.3, -0.9, 0.3, 0.35, 0.25, 0.75, 0.35],
])  # fmt: skip
LAMP = np.array([0.4, 0.3, 0.87])


def camera(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rays of a picture taken from the ring: origins and unit directions [SIDE², 3]."""
    place = DISTANCE * np.array([0.9 * math.cos(angle), 0.9 * math.sin(angle), 0.43])
    forward = -place / np.linalg.norm(place)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    across = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    u, v = (0.4 * grid.reshape(-1, 1) for grid in np.meshgrid(across, across))
    directions = forward + u * right + v * down
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.broadcast_to(place, directions.shape), directions


def photograph(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the colours [N, 3] of rays: that of the nearest sphere, shaded by its angle to the lamp, or white."""
    colors, nearest = np.ones_like(directions), np.full(len(directions), np.inf)
    for sphere in SPHERES:
        center, radius, color = sphere[:3], sphere[3], sphere[4:]
        offset = origins - center
        half = (offset * directions).sum(1)
        inside = half**2 - (offset**2).sum(1) + radius**2  # the radicand of the quadratic formula
        distance = -half - np.sqrt(np.maximum(inside, 0))
        seen = (inside > 0) & (distance < nearest)
        normals = (offset + distance[:, None] * directions) / radius
        light = 0.35 + 0.65 * np.maximum(normals @ LAMP, 0)
        colors[seen] = (light[:, None] * color)[seen]
        nearest[seen] = distance[seen]
    return colors


class Field(nn.Module):
    """Density and colour of points, from the sines and cosines of their coordinates at growing frequencies."""

    def __init__(self, width: int = 96, frequencies: int = 5) -> None:
        super().__init__()
        self.register_buffer("scales", 2.0 ** wf.arange(frequencies) * (math.pi / 4))
        inputs = 3 + 6 * frequencies
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4),
        )  # fmt: skip

    def forward(self, points: wf.Tensor) -> tuple[wf.Tensor, wf.Tensor]:
        """Return densities [N] and colours [N, 3] at points [N, 3]."""
        waves = (points.unsqueeze(2) * self.scales).flatten(1)
        outputs = self.layers(wf.cat([points, waves.sin(), waves.cos()], dim=1))
        return nn.functional.softplus(outputs[:, 0] - 1), outputs[:, 1:].sigmoid()

    def gather(self, origins: wf.Tensor, directions: wf.Tensor, offsets: wf.Tensor) -> wf.Tensor:
        """Return the colours [N, 3] of rays by volume rendering: emission times transmittance of samples, over white.

        ``offsets`` [N, 1] in 0..1 shift the samples, so that training covers all points of a ray.
        """
        thick = (FAR - NEAR) / SAMPLES
        along = NEAR + thick * (wf.arange(SAMPLES) + offsets)  # N, SAMPLES
        points = origins.unsqueeze(1) + along.unsqueeze(2) * directions.unsqueeze(1)
        density, colors = self(points.flatten(0, 1))
        depth = thick * density.reshape(-1, SAMPLES)
        reaches = (depth - depth.cumsum(1)).exp()  # transmittance of the samples in front
        weights = reaches * (1 - (-depth).exp())
        shine = (weights.unsqueeze(2) * colors.reshape(-1, SAMPLES, 3)).sum(1)
        seen: wf.Tensor = shine + (1 - weights.sum(1, keepdim=True))
        return seen


def draw(
    rendered: np.ndarray, true: np.ndarray, decibels: float, losses: list[float], options: Options
) -> None:
    """Draw the unseen view: true, rendered by the network, and their difference; and the loss."""
    figure = Figure(figsize=(12, 3), layout="constrained")
    *pictures, loss = figure.subplots(1, 4)
    views = {
        "true": true,
        f"network: {decibels:.1f} dB": rendered,
        "four times the difference": 4 * np.abs(rendered - true),
    }
    for axes, (title, view) in zip(pictures, views.items(), strict=True):
        axes.imshow(view.reshape(SIDE, SIDE, 3).clip(0, 1))
        axes.set(title=title, xticks=[], yticks=[])
    draw_curve(loss, losses, "mean squared error", yscale="log")
    options.save(figure, "views.png")


def main() -> None:
    """Train, render a new view, draw, and print its quality as the last line."""
    chosen = options("nerf", __doc__, steps=1000, short=150)
    rays = [camera(2 * math.pi * view / VIEWS) for view in range(VIEWS)]
    origins, directions = (
        wf.tensor(np.concatenate(part), dtype=wf.float32) for part in zip(*rays, strict=True)
    )
    colors = wf.tensor(np.concatenate([photograph(*ray) for ray in rays]), dtype=wf.float32)
    model = Field()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        chosen_rays = wf.randint(0, len(colors), (RAYS,))
        seen = model.gather(origins[chosen_rays], directions[chosen_rays], wf.rand(RAYS, 1))
        loss = nn.functional.mse_loss(seen, colors[chosen_rays])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    @chosen.compiled
    def look(origins: wf.Tensor, directions: wf.Tensor) -> wf.Tensor:
        with wf.no_grad():
            return model.gather(origins, directions, wf.full((len(origins), 1), 0.5))

    losses = fit(step, chosen.steps)
    unseen = camera(2 * math.pi * 0.5 / VIEWS)
    rendered = look(*(wf.tensor(part, dtype=wf.float32) for part in unseen)).numpy()
    true = photograph(*unseen)
    decibels = -10 * math.log10(((rendered - true) ** 2).mean())
    draw(rendered, true, decibels, losses, chosen)
    print(f"peak signal to noise of an unseen view: {decibels:.2f} dB")


if __name__ == "__main__":
    main()
