"""Gradients of tensors that are taken apart: values against PyTorch, and work that grows with the slices' size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.devices import base

torch = pytest.importorskip("torch")

SHAPE = (12, 7, 5)

TAKEN: dict[str, Callable[[Any], list[Any]]] = {
    "unbind": lambda x: list(x.unbind(0)),
    "unbind of an inner dimension": lambda x: list(x.unbind(1)),
    "unbind, some used": lambda x: list(x.unbind(0))[2:9:3],
    "split": lambda x: list(x.split(5, 0)),
    "split by sizes": lambda x: list(x.split([3, 0, 4], 1)),
    "chunk": lambda x: list(x.chunk(4, -1)),
    "ints": lambda x: [x[3], x[3], x[-1], x[0]],
    "ints of two dimensions": lambda x: [x[i, j] for i in (0, 4, 11) for j in (6, 2)],
    "ints of different dimensions": lambda x: [x[3], x[:, 3], x[..., 2]],
    "slices that overlap": lambda x: [x[start : start + 4] for start in range(9)],
    "a slice within a slice": lambda x: [x[1:9], x[2:4], x[3:5], x[10:]],
    "every other": lambda x: [x[::2], x[1::2]],
    "every third, some": lambda x: [x[1::3], x[2:9:3], x[2:9:3]],
    "steps beyond the end": lambda x: [x[:, 1::5], x[:, 3::5], x[:, ::4]],
    "empty": lambda x: [x[3:3], x[:, 2:2], x[1:2]],
    "the whole beside a slice": lambda x: [x, x[2:5], x * 2],
    "views of views": lambda x: [x.transpose(0, 1)[2], x.reshape(84, 5)[7:20], x[4][1:3]],
    "narrow and select": lambda x: [x.narrow(0, 2, 5), x.select(2, 1), x.narrow(0, 6, 3)],
}


def weighted(m: Any, parts: list[Any]) -> Any:
    """A sum that gives each part, and each of its elements, a gradient of its own."""
    total = 0.0
    for at, part in enumerate(parts):
        total = total + ((part * part).cos() * (at + 1)).sum()
    return total


@pytest.mark.parametrize("name", TAKEN)
def test_gradients_are_pytorchs(name: str, device: Any) -> None:
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    x = wf.tensor(values, device=device.name, requires_grad=True)
    weighted(wf, TAKEN[name](x)).backward()
    expected = torch.tensor(values, requires_grad=True)
    weighted(torch, TAKEN[name](expected)).backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected.grad.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", TAKEN)
def test_gradients_of_gradients_are_pytorchs(name: str, device: Any) -> None:
    values = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)

    def second(m: Any, x: Any) -> Any:
        (first,) = m.autograd.grad(weighted(m, TAKEN[name](x)), x, create_graph=True)
        return m.autograd.grad((first * first).sum(), x)[0]

    made = second(wf, wf.tensor(values, device=device.name, requires_grad=True))
    expected = second(torch, torch.tensor(values, requires_grad=True))
    np.testing.assert_allclose(made.cpu().numpy(), expected.numpy(), rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("name", ["unbind", "slices that overlap", "every third, some"])
def test_transforms_and_jit_give_the_same(name: str, device: Any) -> None:
    values = wf.tensor(np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32), device=device.name)

    def loss(x: Any) -> Any:
        return weighted(wf, TAKEN[name](x))

    eager = wf.func.grad(loss)(values).numpy()
    np.testing.assert_allclose(wf.jit(wf.func.grad(loss))(values).numpy(), eager, rtol=1e-5, atol=1e-5)
    several = wf.func.vmap(wf.func.grad(loss))(wf.stack([values, values * 2]))
    np.testing.assert_allclose(several[0].numpy(), eager, rtol=1e-5, atol=1e-5)


def test_a_hook_and_grad_see_the_whole_gradient(device: Any) -> None:
    x = wf.ones(4, 3, device=device.name, requires_grad=True)
    y = x * 2
    seen: list[Any] = []
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.retain_grad()
    (y[1] * 3 + y[1:3].sum(0)).sum().backward()
    expected = [[0.0] * 3, [4.0] * 3, [1.0] * 3, [0.0] * 3]
    assert seen == [expected]
    assert y.grad is not None and y.grad.tolist() == expected


WAYS: dict[str, Callable[[Any, int], list[Any]]] = {
    "unbind": lambda x, count: list(x.unbind(0)),
    "split": lambda x, count: list(x.split(1, 0)),
    "chunk": lambda x, count: list(x.chunk(count, 0)),
    "ints": lambda x, count: [x[at] for at in range(count)],
    "slices": lambda x, count: [x[at : at + 1] for at in range(count)],
    "strided": lambda x, count: [x[at :: count // 2] for at in range(count // 2)],
    "windows": lambda x, count: [x[at : at + 3] for at in range(count - 2)],
}


@pytest.mark.parametrize("way", WAYS)
def test_memory_grows_with_the_size_and_not_its_square(
    way: str, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(count: int) -> int:
        x = wf.ones(count, 64, device=device.name, requires_grad=True)
        parts = [part * 2 for part in WAYS[way](x, count)]
        seeds = [wf.ones_like(part) for part in parts]
        sizes: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(base, "allocation_hook", lambda storage: sizes.append(storage.size))
            wf.autograd.backward(parts, seeds)
        assert x.grad is not None
        return sum(sizes)

    assert made(32) > 0
    assert made(128) < 6 * made(32)
