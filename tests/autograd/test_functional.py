"""``autograd.functional`` gives what PyTorch's gives: values, structures, zeros, and what can be differentiated again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.devices.base import Device
from weft.errors import ArgumentTypeError, GradError, ShapeError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 3)).astype(np.float32), RNG.standard_normal(3).astype(np.float32)

MAPS: dict[str, Callable[..., Any]] = {
    "one to one": lambda x: x.exp() * x.sum(),
    "one to two": lambda x: ((x * x).sum(1), x.tanh()),
    "a number": lambda x: (x.sin() * x).sum(),
    "does not depend": lambda x: (x * 0 + 1).detach() + 0 * x.sum(),
}
PAIRS: dict[str, Callable[..., Any]] = {
    "two to one": lambda x, y: x @ y,
    "two to two": lambda x, y: (x * y, (y * y).sum()),
    "one is unused": lambda x, y: x * 2,
}
NUMBERS: dict[str, Callable[..., Any]] = {
    "one": lambda x: (x**3).sum() + x.prod(),
    "two": lambda x, y: ((x @ y) ** 2).sum() + y.exp().sum(),
    "second is unused": lambda x, y: (x**2).sum(),
}


def plain(value: Any) -> Any:
    """The values as arrays, in the same structure."""
    return tuple(map(plain, value)) if isinstance(value, tuple) else value.detach().cpu().numpy()


def agree(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, tuple) == isinstance(theirs, tuple)
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for value, expected in zip(ours, theirs, strict=True):
            agree(value, expected)
    else:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def both(
    name: str, func: Callable[..., Any], arrays: tuple[np.ndarray, ...], vector: Any, where: Any
) -> None:
    results = []
    for library, device in ((wf, where), (torch, "cpu")):
        inputs = tuple(library.tensor(array, device=device) for array in arrays)
        given = [inputs if len(inputs) > 1 else inputs[0]]
        if vector is not None:
            made = tuple(library.tensor(part, device=device) for part in vector)
            given.append(made if len(made) > 1 else made[0])
        results.append(plain(getattr(library.autograd.functional, name)(func, *given)))
    agree(*results)


def arrays_of(func: Callable[..., Any]) -> tuple[np.ndarray, ...]:
    return (X, Y)[: func.__code__.co_argcount]


def like(shapes: Any) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize("case", [*MAPS, *PAIRS])
def test_jacobians(case: str, device: Device) -> None:
    func = {**MAPS, **PAIRS}[case]
    arrays = arrays_of(func)
    outputs = func(*map(torch.tensor, arrays))
    shapes = [tuple(output.shape) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    both("jacobian", func, arrays, None, device.name)
    both("vjp", func, arrays, like(shapes), device.name)
    both("jvp", func, arrays, like(array.shape for array in arrays), device.name)


@pytest.mark.parametrize("case", NUMBERS)
def test_hessians(case: str, device: Device) -> None:
    func = NUMBERS[case]
    arrays = arrays_of(func)
    both("hessian", func, arrays, None, device.name)
    for name in ("hvp", "vhp"):
        both(name, func, arrays, like(array.shape for array in arrays), device.name)


@pytest.mark.cpu
def test_results_can_be_differentiated_again() -> None:
    found = []
    for library in (wf, torch):
        x = library.tensor(Y, requires_grad=True)
        product = library.autograd.functional.vjp(lambda x: x**3, x, library.ones(3), create_graph=True)[1]
        jacobian = library.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
        product_forward = library.autograd.functional.jvp(
            lambda x: x**3, x, library.ones(3), create_graph=True
        )[1]
        (product.sum() + (jacobian**2).sum() + product_forward.exp().sum()).backward()
        assert not library.autograd.functional.jacobian(lambda x: x**3, x).requires_grad
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.cpu
def test_mistakes() -> None:
    module, x = wf.autograd.functional, wf.ones(3)
    with pytest.raises(GradError, match="vjp: v is None"):
        module.vjp(lambda x: x * 2, x)
    with pytest.raises(ShapeError, match="jvp: the shapes of v"):
        module.jvp(lambda x: x * 2, x, wf.ones(2))
    with pytest.raises(ArgumentTypeError, match="inputs"):
        module.jacobian(lambda x: x * 2, 3.0)
    with pytest.raises(GradError, match="one number"):
        module.hessian(lambda x: x * 2, x)
    with pytest.raises(GradError, match="strict"):
        module.jacobian(lambda x, y: x * 2, (x, x), strict=True)
