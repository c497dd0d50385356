"""Steps over many parameters: kernels of bounded length, whose text does not grow with the number of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from weft.devices.base import Device
from weft.kernels import PARTS

SHAPES = [(3,), (2, 3), (1,), (), (5, 1, 2), (17,), (0,), (4, 4)]
"""Shapes that parameters take in turn."""


def values(count: int) -> list[numpy.ndarray[Any, Any]]:
    rng = numpy.random.default_rng(0)
    return [rng.uniform(-1, 1, SHAPES[at % len(SHAPES)]).astype("float32") for at in range(count)]


def gradients(count: int) -> list[numpy.ndarray[Any, Any]]:
    rng = numpy.random.default_rng(1)
    return [rng.uniform(-1, 1, SHAPES[at % len(SHAPES)]).astype("float32") for at in range(count)]


def adamw(start: numpy.ndarray[Any, Any], gradient: numpy.ndarray[Any, Any], steps: int) -> Any:
    """Loshchilov and Hutter 2019 in float64, with a constant gradient."""
    p, m, v = start.astype("float64"), 0.0, 0.0
    for step in range(1, steps + 1):
        p = p - 0.1 * 0.01 * p
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype("float64") ** 2
        p = p - 0.1 * (m / (1 - 0.9**step)) / (numpy.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return p


def momentum(start: numpy.ndarray[Any, Any], gradient: numpy.ndarray[Any, Any], steps: int) -> Any:
    p, m = start.astype("float64"), 0.0
    for _ in range(steps):
        m = 0.9 * m + gradient
        p = p - 0.1 * m
    return p


OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], Callable[..., Any]]] = {
    "AdamW": (lambda parameters: wf.optim.AdamW(parameters, lr=0.1), adamw),
    "SGD": (lambda parameters: wf.optim.SGD(parameters, lr=0.1, momentum=0.9), momentum),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("count", [1, 100, 1000, 5000])
def test_a_step_over_many_parameters_is_right(device: Device, count: int, compiled: bool, name: str) -> None:
    make, reference = OPTIMIZERS[name]
    if count == 5000 and (compiled or name == "SGD"):
        pytest.skip("the eager step of one optimizer is enough at this size")
    start, wanted = values(count), gradients(count)
    parameters = [wf.nn.Parameter(wf.tensor(value, device=device.name)) for value in start]
    for parameter, gradient in zip(parameters, wanted, strict=True):
        parameter.grad = wf.tensor(gradient, device=device.name)
    optimizer = make(parameters)
    step = wf.jit(optimizer.step) if compiled else optimizer.step
    for _ in range(2):
        step()
    for parameter, first, gradient in zip(parameters, start, wanted, strict=True):
        found = parameter.detach().numpy()
        numpy.testing.assert_allclose(found, reference(first, gradient, 2), rtol=2e-5, atol=2e-6)


def test_equal_pieces_of_a_step_are_one_kernel(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many parameters need no kernel more."""
    import weft.tensors.prepare as preparing

    made: dict[str, int] = {}
    generate = preparing.generate

    def counted(kernel: Any, profile: Any) -> Any:
        spec = generate(kernel, profile)
        if spec.name == "adam_step":
            made[spec.source] = len(spec.source)
        return spec

    monkeypatch.setattr(preparing, "generate", counted)
    sizes = {}
    for pieces in (2, 20):
        made.clear()
        given = [numpy.ones((3 + at % 5,), "float32") for at in range(pieces * PARTS)]
        parameters = [wf.nn.Parameter(wf.tensor(value, device=device.name)) for value in given]
        for parameter in parameters:
            parameter.grad = wf.ones_like(parameter)
        wf.optim.Adam(parameters).step()
        sizes[pieces] = sum(made.values())
    assert sizes[2] > 0
    assert sizes[20] <= sizes[2]
