"""Tensors larger than a binding, on a device whose limit is made small: windows, pieces, and what is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices, errors
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.adapters import Adapter

pytestmark = pytest.mark.webgpu

LIMIT = 1 << 16
NAME = "webgpu:7"


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    """The adapter under test with bindings of 64 KiB at most, as a device of its own."""
    adapter = find(ADAPTER)
    limits = dict(adapter.info.limits) | {"max-storage-buffer-binding-size": LIMIT}
    info = dataclasses.replace(adapter.info, name=NAME, limits=tuple(sorted(limits.items())))
    device = devices._devices[NAME] = WebGpuDevice(Adapter(info, adapter.handle))
    yield NAME
    device.synchronize()
    del devices._devices[NAME]
    device.dispose()


def array(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(50_000,), (300, 201), (1, 3, 17_001), (40_000, 1)])
def test_pointwise_in_pieces(small: str, shape: tuple[int, ...]) -> None:
    a, b = array(*shape), array(*shape, seed=1)
    x, y = wf.tensor(a, device=small), wf.tensor(b, device=small)
    numpy.testing.assert_allclose((x * 2 + y).numpy(), a * 2 + b, rtol=1e-6, atol=1e-6)
    numpy.testing.assert_array_equal((x > y).numpy(), a > b)
    numpy.testing.assert_array_equal(
        wf.full(shape, 3.5, device=small).numpy(), numpy.full(shape, 3.5, "float32")
    )
    x.mul_(y)
    numpy.testing.assert_allclose(x.numpy(), a * b, rtol=1e-6)
    x[..., :5] = 1
    numpy.testing.assert_array_equal(x[..., :5].numpy(), numpy.ones_like(a[..., :5]))
    numpy.testing.assert_array_equal(x.half().numpy(), x.numpy().astype("float16"))


def test_broadcast_and_transposed(small: str) -> None:
    a, row, column = array(210, 190), array(190, seed=1), array(210, 1, seed=2)
    x = wf.tensor(a, device=small)
    r, c = wf.tensor(row, device=small), wf.tensor(column, device=small)
    numpy.testing.assert_allclose((x * r + c).numpy(), a * row + column, rtol=1e-6, atol=1e-6)
    before = devices.open(small).memory_stats().dispatches
    numpy.testing.assert_array_equal(x.T.contiguous().numpy(), a.T)
    assert devices.open(small).memory_stats().dispatches - before < 40
    numpy.testing.assert_allclose((c + r).numpy(), column + row, rtol=1e-6)


def test_small_views_of_a_large_storage_are_bound_by_windows(small: str) -> None:
    a = array(500, 400)
    x = wf.tensor(a, device=small)
    numpy.testing.assert_allclose(x[321].sum().item(), a[321].sum(), rtol=1e-4)
    numpy.testing.assert_allclose(wf.softmax(x[7:11], -1).sum(-1).numpy(), numpy.ones(4), rtol=1e-5)
    x[100].copy_(x[101])
    a[100] = a[101]
    x[3:5] += x[4:6]
    a[3:5] = a[3:5] + a[4:6]
    numpy.testing.assert_allclose(x.numpy(), a, rtol=1e-6)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((400, 60), (60, 70)),
        ((30, 100), (100, 900)),
        ((5, 80, 70), (5, 70, 90)),
        ((9, 64, 64), (64, 32)),
        ((500, 7), (7, 400)),
    ],
)
def test_matrix_products_in_pieces(small: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = array(*left), array(*right, seed=1)
    x, y = wf.tensor(a, device=small), wf.tensor(b, device=small)
    if b.nbytes > LIMIT and b.ndim == 2:
        y = wf.tensor(numpy.ascontiguousarray(b.T), device=small).T  # as a linear layer holds its weight
    numpy.testing.assert_allclose((x @ y).numpy(), a @ b, rtol=1e-4, atol=1e-4)


def test_embedding_in_pieces(small: str) -> None:
    table = array(3000, 16)
    index = numpy.random.default_rng(1).integers(0, 3000, (5, 40))
    weight, chosen = wf.tensor(table, device=small), wf.tensor(index, device=small)
    numpy.testing.assert_array_equal(wf.nn.functional.embedding(chosen, weight).numpy(), table[index])
    chosen[2, 3] = 3000
    with pytest.raises(IndexError, match="embedding: input 3000 is out of range"):
        wf.nn.functional.embedding(chosen, weight).numpy()


def test_the_gradient_flows_through_pieces(small: str) -> None:
    a, w = array(700, 40), array(40, 30, seed=1)
    x, y = wf.tensor(a, device=small, requires_grad=True), wf.tensor(w, device=small)
    ((x @ y).relu() * 0.5).backward(wf.ones(700, 30, device=small))
    numpy.testing.assert_allclose(x.grad.numpy(), ((a @ w > 0) * 0.5) @ w.T, rtol=1e-4, atol=1e-5)


def test_what_is_not_done_in_pieces_says_so_and_changes_nothing(small: str) -> None:
    a = array(50_000)
    x = wf.tensor(a, device=small)
    with pytest.raises(
        errors.UnsupportedError,
        match=r"^cumsum: a tensor float32\[50000\] takes 200,000 bytes, expected at most 65,536, the largest binding of "
        r"webgpu:7; .*split the tensor, or use the cpu device",
    ):
        x.cumsum(0)
    numpy.testing.assert_array_equal(x.numpy(), a)


def test_memory_is_given_back(small: str) -> None:
    device = devices.open(small)
    x = wf.tensor(array(100_000), device=small)
    (x + 1).numpy()
    before = device.memory_stats()
    for _ in range(5):
        (x * x + 1).numpy()
    after = device.memory_stats()
    assert (after.in_use, after.storages) == (before.in_use, before.storages)
    del x
    assert device.memory_stats().storages == before.storages - 1
