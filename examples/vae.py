"""A variational autoencoder maps handwritten digits to a plane (Kingma and Welling, 2014).

    python -m examples.vae

An encoder gives each digit a mean and a standard deviation on a plane; a decoder draws a digit from a point of the
plane. Both minimise the negative evidence lower bound, which falls below 25 nats per test digit of 64 pixels. The
picture shows the digits that the decoder draws over the plane, and the positions of the test digits.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import weft as wf
from examples.common import Options, draw_curve, fit, options
from weft import nn, optim

PIXELS, HIDDEN, PLANE, BATCH = 64, 128, 2, 128
F = nn.functional


class Autoencoder(nn.Module):
    """Encodes digits [N, 64] in 0..1 to points of a plane, and decodes points to the logits of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, 2 * PLANE),
        )
        self.decoder = nn.Sequential(
            nn.Linear(PLANE, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, PIXELS),
        )

    def bound(self, images: wf.Tensor) -> wf.Tensor:
        """Return the negative evidence lower bound in nats per digit: reconstruction error plus KL divergence."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        points = mean + wf.randn_like(mean) * (0.5 * log_variance).exp()
        drawing = F.binary_cross_entropy_with_logits(self.decoder(points), images, reduction="sum")
        placing = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        cost: wf.Tensor = (drawing + placing) / len(images)
        return cost


def load_data() -> tuple[wf.Tensor, wf.Tensor, np.ndarray]:
    """Return the training digits and the test digits [N, 64], and the labels of the test digits."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    train, test = np.split(order, [len(order) * 4 // 5])
    images = digits.data.astype(np.float32) / 16
    return wf.tensor(images[train]), wf.tensor(images[test]), digits.target[test]


@wf.no_grad()
def draw(
    model: Autoencoder, test: wf.Tensor, labels: np.ndarray, losses: list[float], options: Options
) -> None:
    """Draw the decoder's digits over the plane, the encoder's positions of the test digits, and the loss."""
    side = np.linspace(-2.2, 2.2, 16, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, PLANE)
    drawn = model.decoder(wf.tensor(grid)).sigmoid().numpy()
    page = drawn.reshape(16, 16, 8, 8).transpose(0, 2, 1, 3).reshape(128, 128)
    means = model.encoder(test)[:, :PLANE].numpy()

    figure = Figure(figsize=(12, 4), layout="constrained")
    plane, places, loss = figure.subplots(1, 3)
    plane.imshow(page, cmap="gray_r", extent=(-2.2, 2.2, -2.2, 2.2))
    plane.set(title="the plane, drawn")
    dots = places.scatter(*means.T, c=labels, cmap="tab10", s=8)
    places.set(title="test digits on it", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
    figure.colorbar(dots, ax=places, ticks=range(10))
    draw_curve(loss, losses, "nats a digit")
    options.save(figure, "plane.png")


def main() -> None:
    """Train, draw, and print the bound on the test digits as the last line."""
    chosen = options("vae", __doc__, steps=2500, short=300)
    train, test, labels = load_data()
    model = Autoencoder()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        images = train[wf.randint(0, len(train), (BATCH,))]
        loss = model.bound(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    losses = fit(step, chosen.steps)
    draw(model, test, labels, losses, chosen)
    with wf.no_grad():
        cost = wf.stack([model.bound(test) for _ in range(20)]).mean().item()
    print(f"nats a test digit: {cost:.2f}")


if __name__ == "__main__":
    main()
