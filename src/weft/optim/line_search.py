"""A line search for the strong Wolfe conditions, by cubic interpolation (Nocedal and Wright 2006, algorithms 3.5, 3.6).

The constants and the order of evaluations are PyTorch's, so that both take the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from weft.tensors.tensor import Tensor

DECREASE, CURVATURE, MOST = 1e-4, 0.9, 25
"""The constants of the two conditions, and the most evaluations."""
Evaluate = Callable[[float], tuple[float, Tensor]]


@dataclass(frozen=True)
class _Point:
    """A step size with the loss, the gradient and the slope along the direction there."""

    size: float
    loss: float
    gradient: Tensor
    slope: float


def _cubic_minimum(a: _Point, b: _Point, low: float | None = None, high: float | None = None) -> float:
    """Return the minimum, within bounds, of the cubic through two points with their slopes."""
    if low is None or high is None:
        low, high = min(a.size, b.size), max(a.size, b.size)
    if a.size > b.size:
        a, b = b, a
    width = b.size - a.size
    first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.size - b.size) if width else math.nan
    square = first * first - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    below = b.slope - a.slope + 2 * root
    place = b.size - width * ((b.slope + root - first) / below) if below else math.nan
    return min(max(place, low), high)


def strong_wolfe(
    evaluate: Evaluate,
    size: float,
    direction: Tensor,
    loss: float,
    gradient: Tensor,
    slope: float,
    tolerance: float,
) -> tuple[float, Tensor, float, int]:
    """Search for a step that meets both conditions.

    Returns:
        The loss, the gradient and the size of the step, and the number of calls of ``evaluate``.
    """
    scale = direction.abs().max().item()
    start = _Point(0.0, loss, gradient.clone(), slope)

    def point(size: float) -> _Point:
        value, point_gradient = evaluate(size)
        return _Point(size, value, point_gradient.clone(), point_gradient.dot(direction).item())

    def is_low(at: _Point) -> bool:
        return at.loss <= start.loss + DECREASE * at.size * start.slope

    def is_flat(at: _Point) -> bool:
        return abs(at.slope) <= -CURVATURE * start.slope

    previous, current, calls, rounds = start, point(size), 1, 0
    bracket: list[_Point] | None = None
    while rounds < MOST:
        if not is_low(current) or (rounds > 1 and current.loss >= previous.loss):
            bracket = [previous, current]
            break
        if is_flat(current):
            return current.loss, current.gradient, current.size, calls
        if current.slope >= 0:
            bracket = [previous, current]
            break
        least = current.size + 0.01 * (current.size - previous.size)
        size = _cubic_minimum(previous, current, least, current.size * 10)
        previous, current = current, point(size)
        calls, rounds = calls + 1, rounds + 1
    bracket = [start, current] if bracket is None else bracket
    best, more = _zoom(point, is_low, is_flat, bracket, rounds, scale, tolerance)
    return best.loss, best.gradient, best.size, calls + more


def _zoom(
    point: Callable[[float], _Point],
    is_low: Callable[[_Point], bool],
    is_flat: Callable[[_Point], bool],
    bracket: list[_Point],
    rounds: int,
    scale: float,
    tolerance: float,
) -> tuple[_Point, int]:
    """Return the best point within a bracket, and the number of points evaluated."""
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    calls, slow = 0, False
    while rounds < MOST:
        sizes = [at.size for at in bracket]
        width = max(sizes) - min(sizes)
        if width * scale < tolerance:
            break
        size = _cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * width
        if min(max(sizes) - size, size - min(sizes)) < margin:
            if slow or size >= max(sizes) or size <= min(sizes):
                nearer = abs(size - max(sizes)) < abs(size - min(sizes))
                size, slow = (max(sizes) - margin if nearer else min(sizes) + margin), False
            else:
                slow = True
        else:
            slow = False
        current = point(size)
        calls, rounds = calls + 1, rounds + 1
        if not is_low(current) or current.loss >= bracket[low].loss:
            bracket[high] = current
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if is_flat(current):
            bracket[low] = current
            break
        if current.slope * (bracket[high].size - bracket[low].size) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = current
    return bracket[low], calls
