"""A policy learns to balance a pole on a cart (the task of Barto, Sutton and Anderson, 1983).

    python -m examples.cartpole

The simulation is part of this file; it is made of weft's operations and runs for many carts at once. One compiled step
simulates all episodes by ``scan``, a loop inside the compiled program, and then updates the policy along the gradient
of the expected return (REINFORCE, Williams 1992). With random pushes the pole falls after some 20 moves; with the
trained policy it stays up for more than 195 of 200, the mean over 256 carts.
"""

from __future__ import annotations

import math

from matplotlib.figure import Figure

import weft as wf
from examples.common import Options, draw_curve, fit, options, plain
from weft import nn, optim
from weft.compiler import scan

CARTS, MOVES = 64, 200
GRAVITY, CART, POLE, HALF_LENGTH = 9.8, 1.0, 0.1, 0.5  # m/s², kg, kg, m
FORCE, INTERVAL = 10.0, 0.02  # N, s
TRACK, LEAN = 2.4, 12 * math.pi / 180  # where an episode ends: m, rad


def simulate(state: wf.Tensor, right: wf.Tensor) -> wf.Tensor:
    """Return the states [N, 4] (position, velocity, angle, angular velocity) an interval after a push right or left.

    The equations of motion are those of the article's appendix, without friction, integrated by Euler's method.
    """
    _, speed, angle, turning = state.unbind(1)
    push = wf.where(right, FORCE, -FORCE)
    mass = CART + POLE
    sine, cosine = angle.sin(), angle.cos()
    pull = (push + POLE * HALF_LENGTH * turning.square() * sine) / mass
    tipping = (GRAVITY * sine - cosine * pull) / (HALF_LENGTH * (4 / 3 - POLE * cosine.square() / mass))
    pulling = pull - POLE * HALF_LENGTH * tipping * cosine / mass
    rates = wf.stack([speed, pulling, turning, tipping], dim=1)
    return state + INTERVAL * rates


def play(policy: nn.Module, carts: int) -> tuple[wf.Tensor, wf.Tensor, wf.Tensor]:
    """Return states [T, N, 4], whether each push was to the right, and which poles were up before it [T, N]."""
    start = 0.1 * wf.rand(carts, 4) - 0.05
    chance = wf.rand(MOVES, carts)

    def move(carry: tuple[wf.Tensor, wf.Tensor], chance: wf.Tensor) -> tuple[object, object]:
        state, up = carry
        right = chance < policy(state)[:, 0].sigmoid()
        moved = simulate(state, right)
        inside = (moved[:, 0].abs() < TRACK) & (moved[:, 2].abs() < LEAN)
        moved = wf.where(up.unsqueeze(1), moved, state)  # a fallen pole keeps its state
        return (moved, up & inside), (state, right, up)

    with wf.no_grad():
        _, (states, right, up) = scan(move, (start, start[:, 0] < 1), chance)
    return states, right, up


def loss_of(policy: nn.Module, states: wf.Tensor, right: wf.Tensor, up: wf.Tensor) -> wf.Tensor:
    """Return a loss whose gradient is that of the negative expected return: log-probability times advantage of pushes.

    The advantage is the number of moves that the pole stays up from then on, minus its mean over all carts.
    """
    alive = up.float()
    to_come = alive.flip(0).cumsum(0).flip(0)
    count = alive.sum(1, keepdim=True).clamp(min=1)
    mean = (to_come * alive).sum(1, keepdim=True) / count
    advantage = (to_come - mean) * alive
    advantage = advantage / (advantage.square().sum() / alive.sum() + 1).sqrt()
    logits = policy(states.flatten(0, 1))[:, 0].reshape(MOVES, CARTS)
    cost = nn.functional.binary_cross_entropy_with_logits(logits, right.float(), reduction="none")
    return (cost * advantage).sum() / alive.sum()


def draw(lengths: list[float], angles: wf.Tensor, up: wf.Tensor, options: Options) -> None:
    """Draw how long the poles stayed up during the training, and the angles of some poles after it."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    curve, poles = figure.subplots(1, 2)
    draw_curve(curve, lengths, "moves that the pole stays up", ylim=(0, MOVES + 5))
    for angle, still in zip(angles.T.numpy(), up.T.numpy(), strict=True):
        poles.plot(angle[still] * 180 / math.pi, linewidth=0.8)
    poles.set(title="angles of sixteen poles, trained", xlabel="move", ylabel="degrees", ylim=(-12, 12))
    plain(poles)
    options.save(figure, "poles.png")


def main() -> None:
    """Train, play, draw, and print how long the poles stay up as the last line."""
    chosen = options("cartpole", __doc__, steps=200, short=60)
    policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.Adam(policy.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)

    @chosen.compiled
    def step() -> wf.Tensor:
        states, right, up = play(policy, CARTS)
        loss = loss_of(policy, states, right, up)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return up.float().sum(0).mean()

    lengths = fit(step, chosen.steps, "moves")
    states, _, up = chosen.compiled(lambda: play(policy, 256))()
    draw(lengths, states[:, :16, 2], up[:, :16], chosen)
    print(f"moves that the pole stays up: {up.float().sum(0).mean().item():.1f} of {MOVES}")


if __name__ == "__main__":
    main()
