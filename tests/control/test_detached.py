"""Gradients stop in bodies where values are detached, as in a loop of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from tests.control.test_effects import LENGTH, MODES, looped, tensors
from weft.compiler import scan

DETACHING: dict[str, Callable[..., Any]] = {
    "element": lambda c, x, w: ((c * x.detach() + w).sin(), c),
    "carry": lambda c, x, w: ((c.detach() * x).sin() + c * w, c),
    "around": lambda c, x, w: ((c * w.detach() + x * w).sin(), c),
    "result": lambda c, x, w: ((c * x + w).sin(), (c * x).detach()),
    "middle": lambda c, x, w: ((y := (c * x).sin()) * y.detach() + w, y),
    "leaf": lambda c, x, w: (c * _slope(c) + x * w, c),
    "no_grad": lambda c, x, w: (c * _quietly(c) + x * w, c),
    "view": lambda c, x, w: (c * x.detach()[1] + w, c[:2]),
}


def _slope(c: Any) -> Any:
    """A gradient taken within the body, which itself has no history."""
    own = c.detach().requires_grad_()
    (found,) = wf.autograd.grad((own.sin() * own).sum(), [own])
    return found


def _quietly(c: Any) -> Any:
    with wf.no_grad():
        return (c * 2).tanh()


@pytest.mark.parametrize("mode", ["traced", "planned"])
@pytest.mark.parametrize("name", DETACHING)
def test_gradients_stop_where_values_are_detached(device, name: str, mode: str) -> None:
    """As in a loop of Python, in both orders."""

    def run(loop: Any, *given: Any) -> list[Any]:
        init, x, w = (value.detach().requires_grad_() for value in given)
        last, ys = loop(lambda c, x: DETACHING[name](c, x, w), init, x)
        total = (last * last).sum() + (ys * ys).sum()
        firsts = wf.autograd.grad(total, [init, x, w], create_graph=True, allow_unused=True)
        squares = sum((first * first).sum() for first in firsts if first is not None)
        seconds = wf.autograd.grad(squares, [init, x, w], allow_unused=True)
        found = [
            z * 0 if result is None else result
            for made in (firsts, seconds)
            for z, result in zip(given, made, strict=True)
        ]
        return [value.detach() for value in (last, ys, *found)]

    given = tensors(device, (3,), (LENGTH, 3), (3,))
    bound = 1e-10 if device.supports(wf.float64) else 2e-4
    found = MODES[mode](lambda *given: run(scan, *given), given)
    for at, (result, other) in enumerate(zip(found, run(looped, *given), strict=True)):
        scale = max(float(numpy.abs(other.numpy()).max()), 1)
        numpy.testing.assert_allclose(
            result.numpy(), other.numpy(), rtol=bound, atol=bound * scale, err_msg=f"result {at}"
        )
