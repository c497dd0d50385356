"""Tensors larger than a binding, on a device with a small limit: windows, pieces, and unsupported operations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from tests.ops.test_failures import fail_everywhere
from weft import devices, errors
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.adapters import Adapter
from weft.tensors.dispatching import PreparedKernels
from weft.tensors.splitting.interpreter import PreparedSplit, Splitting

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


F = wf.nn.functional
WIDE, LONG = (300, 200), (50_000,)


def chosen(count: int, *shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(3).integers(0, count, shape)


CUT: dict[str, tuple[Callable[..., Any], tuple[numpy.ndarray, ...]]] = {
    "sum of columns": (lambda x: x.sum(0), (array(*WIDE),)), "sum of rows": (lambda x: x.sum(1, True), (array(*WIDE),)),
    "sum of all": (lambda x: x.sum(), (array(*WIDE),)), "sum of a line": (lambda x: x.sum(), (array(*LONG),)),
    "sum of a transpose": (lambda x: x.T.sum(0), (array(*WIDE),)), "mean": (lambda x: x.mean(), (array(*LONG),)),
    "mean of several": (lambda x: x.mean((0, 2)), (array(40, 5, 200),)), "amax": (lambda x: x.amax(0), (array(*WIDE),)),
    "amin of all": (lambda x: x.amin(), (array(*LONG),)), "any": (lambda x: (x > 4).any(), (array(*LONG),)),
    "all": (lambda x: (x > -9).all(0), (array(*WIDE),)), "prod": (lambda x: (x * 0.01 + 1).prod(), (array(*LONG),)),
    "argmax": (lambda x: x.argmax(), (array(*LONG),)), "argmin of columns": (lambda x: x.argmin(0), (array(*WIDE),)),
    "argmax of a matrix": (lambda x: x.argmax(), (array(*WIDE),)),
    "argmax of many alike": (lambda x: (x > 0).float().argmax(), (array(*LONG),)),
    "logsumexp": (lambda x: x.logsumexp(0), (array(*LONG),)), "var": (lambda x: x.var(), (array(*LONG),)),
    "var and mean": (lambda x: wf.var_mean(x, 0, keepdim=True), (array(9000, 3),)),
    "max with places": (lambda x: x.max(1), (array(*WIDE),)), "norm": (lambda x: x.norm(), (array(*LONG),)),
    "softmax": (lambda x: wf.softmax(x, -1), (array(*WIDE),)), "log_softmax": (lambda x: wf.log_softmax(x, 0), (array(200, 300),)),
    "layer_norm": (lambda x, w: F.layer_norm(x, (200,), w, w), (array(*WIDE), array(200))),
    "batch_norm": (lambda x, w: F.group_norm(x, 2, w, w), (array(50, 8, 60), array(8))),
    "cumsum": (lambda x: x.cumsum(1), (array(*WIDE),)), "sort": (lambda x: x.sort(1), (array(400, 50),)),
    "flip": (lambda x: x.flip(1), (array(*WIDE),)),
    "gather": (lambda x, i: x.gather(1, i), (array(*WIDE), chosen(200, 300, 90))),
    "gather along rows": (lambda x, i: x.gather(0, i), (array(100, 8), chosen(100, 5000, 8))),
    "index_select": (lambda x, i: x.index_select(0, i), (array(100, 40), chosen(100, 900))),
    "columns": (lambda x, i: x.T[i], (array(300, 200), chosen(200, 50))),
    "scatter_add": (lambda x, i, s: x.scatter_add(0, i, s), (array(*WIDE), chosen(300, 90, 200), array(90, 200))),
    "cat": (lambda x, y: wf.cat([x, y], 1), (array(90, 100), array(90, 150))),
    "long products": (lambda x, y: x @ y, (array(8, 9000), array(9000, 5))),
    "convolution": (lambda x, w: F.conv2d(x, w, padding=1), (array(60, 3, 16, 16), array(4, 3, 3, 3))),
    "max_pool": (lambda x: F.max_pool2d(x, 2), (array(60, 3, 16, 16),)),
    "arange": (lambda x: wf.arange(3, 90_003, 3, device=str(x.device)), (array(1),)),
    "dropout nothing": (lambda x: F.dropout(x, 1e-9), (array(*LONG),)),
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_cut_into_pieces(small: str, name: str) -> None:
    """The results and gradients are those of the cpu, which computes on the whole tensors."""
    call, arrays = CUT[name]
    found = []
    for where in ("cpu", small):
        given = [wf.tensor(array, device=where) for array in arrays]
        for tensor in given:
            if tensor.is_floating_point():
                tensor.requires_grad_()
        result = call(*given)
        results = list(result) if isinstance(result, tuple) else [result]
        values = [value.detach().numpy() for value in results]
        if name in DIFFERENTIABLE:
            (results[0] * 0.5).backward(wf.ones(*results[0].shape, device=where))
            values += [value.grad.numpy() for value in given if value.grad is not None]
        found.append(values)
    for expected, got in zip(*found, strict=True):
        numpy.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


DIFFERENTIABLE = ("sum of columns", "mean", "softmax", "log_softmax", "cat", "long products", "convolution", "max_pool",
                  "cumsum", "gather", "layer_norm")  # fmt: skip


def test_the_parts_of_a_reduction_depend_on_sizes_alone(small: str) -> None:
    x = wf.tensor(array(*LONG), device=small)
    assert len({x.sum().item() for _ in range(3)} | {x.clone().sum().item()}) == 1


@pytest.mark.parametrize("draw", ["rand", "randn", "randint"])
def test_random_numbers_are_those_of_the_whole(small: str, draw: str) -> None:
    call = {"rand": wf.rand, "randn": wf.randn, "randint": lambda *s, **o: wf.randint(1000, s, **o)}[draw]
    for shape in ((50_000,), (1, 200, 300), (3, 40_000)):
        wf.manual_seed(5)
        expected = [call(*shape, device="cpu").numpy(), call(4, device="cpu").numpy()]
        wf.manual_seed(5)
        got = [call(*shape, device=small).numpy(), call(4, device=small).numpy()]
        for values, reference in zip(got, expected, strict=True):
            numpy.testing.assert_allclose(values, reference, rtol=1e-5, atol=1e-5)


def test_dropout_drops_what_it_drops_on_the_whole(small: str) -> None:
    a = array(50_000)
    wf.manual_seed(2)
    expected = F.dropout(wf.tensor(a, device="cpu"), 0.4).numpy()
    wf.manual_seed(2)
    numpy.testing.assert_allclose(F.dropout(wf.tensor(a, device=small), 0.4).numpy(), expected, rtol=1e-6)


def stepped(kind: str, where: str) -> tuple[Any, list[wf.Tensor]]:
    shapes = [(30, 20), (50_000,), (7,), (200, 150)]
    parameters = [wf.nn.Parameter(wf.tensor(array(*s, seed=at), device=where)) for at, s in enumerate(shapes)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(wf.optim, kind)(parameters, lr=0.1, **options)
    for at, parameter in enumerate(parameters):
        parameter.grad = wf.tensor(array(*parameter.shape, seed=at + 9), device=where)
    return optimizer, parameters


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Lion"])
def test_optimizers_in_pieces(small: str, kind: str) -> None:
    found = []
    for where in ("cpu", small):
        optimizer, parameters = stepped(kind, where)
        for _ in range(3):
            optimizer.step()
        total = wf.nn.utils.clip_grad_norm_(parameters, 1.0)
        found.append(
            [
                total.numpy(),
                *(parameter.detach().numpy() for parameter in parameters),
                parameters[1].grad.numpy(),
            ]
        )
    for expected, got in zip(*found, strict=True):
        numpy.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_writes_in_pieces_happen_all_or_none(small: str) -> None:
    device = devices.open(small)
    optimizer, parameters = stepped("Adam", small)
    x = wf.tensor(array(50_000), device=small)
    calls: dict[str, tuple[Callable[[], Any], list[wf.Tensor]]] = {
        "mul_": (lambda: x.mul_(2), [x]), "add_ of a view": (lambda: x[1:].add_(x[:-1]), [x]),
        "copy_": (lambda: x.copy_(x.square()), [x]),
        "step": (optimizer.step, [*parameters, *(s for p in parameters for s in optimizer.state[p].values())]),
    }  # fmt: skip
    for name, (call, written) in calls.items():
        state = {str(at): tensor for at, tensor in enumerate(written)}
        device.synchronize()
        try:
            fail_everywhere(device, name, state, call)
        finally:
            device.before_call = None


@pytest.mark.webgpu
def test_a_tensor_of_160_mib() -> None:
    """The tensor exceeds the limit of a software driver, 128 MiB; devices with larger bindings do not split it."""
    rows, columns = 2560, 1 << 14
    wf.manual_seed(1)
    x = wf.randn(rows, columns, device=ADAPTER)
    assert x.numel() * 4 == 160 << 20
    wf.manual_seed(1)
    same = wf.randn(rows, columns, device="cpu")
    numpy.testing.assert_allclose(x[-3:].numpy(), same[-3:].numpy(), rtol=1e-5, atol=1e-5)
    a = x.numpy()
    numpy.testing.assert_array_equal((x + 1)[rows // 2].numpy(), a[rows // 2] + 1)
    numpy.testing.assert_allclose(x.sum().item(), a.sum(dtype="float64"), rtol=1e-3, atol=5)
    numpy.testing.assert_allclose(x.sum(1).numpy(), a.sum(1), rtol=1e-3, atol=1e-2)
    y = wf.randn(columns, 2, device=ADAPTER)
    numpy.testing.assert_allclose((x @ y).numpy(), a @ y.numpy(), rtol=1e-3, atol=1e-2)
    parameter = wf.nn.Parameter(x)
    parameter.grad = x.detach().clone()
    wf.optim.SGD([parameter], lr=0.5).step()
    numpy.testing.assert_allclose(parameter[-1].detach().numpy(), a[-1] / 2, rtol=1e-6)
    wf.optim.Adam([parameter], lr=0.5).step()
    numpy.testing.assert_allclose(
        parameter[-1].detach().numpy(), a[-1] / 2 - 0.5 * numpy.sign(a[-1]), rtol=1e-3, atol=1e-3
    )


def test_an_op_that_cannot_be_split_raises_and_changes_nothing(small: str) -> None:
    a = array(50_000)
    x = wf.tensor(a, device=small)
    with pytest.raises(
        errors.UnsupportedError,
        match=r"^cumsum: a tensor float32\[50000\] takes 200,000 bytes, expected at most 65,536, the largest binding of "
        r"webgpu:7; .*split the tensor, or use the cpu device",
    ):
        x.cumsum(0)
    numpy.testing.assert_array_equal(x.numpy(), a)


def entering(monkeypatch: pytest.MonkeyPatch, kind: type, method: str) -> list[Any]:
    """The calls of a method from now on, by their first argument."""
    calls: list[Any] = []
    original = getattr(kind, method)
    monkeypatch.setattr(
        kind, method, lambda self, first, *rest: (calls.append(first), original(self, first, *rest))[1]
    )
    return calls


def calls_on_small_tensors(where: str) -> None:
    a, b = wf.tensor(array(8, 8), device=where), wf.tensor(array(8, 8, seed=1), device=where)
    for _ in range(2):
        a + b, a * 2.5, a @ b, a.sum(0), a[2:] - b[:6], a.add_(b), F.linear(a, b), wf.zeros(4, device=where)


def test_only_calls_on_large_tensors_enter_the_splitting_interpreter(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = wf.tensor(array(50_000), device=small)
    split = entering(monkeypatch, PreparedSplit, "carry_out")
    calls_on_small_tensors(small)
    assert devices.open(small).direct and split == []
    numpy.testing.assert_array_equal((large + 1).numpy(), array(50_000) + 1)
    assert len(split) > 1


def test_small_calls_take_one_step_beside_a_large_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On ``cpu``, where calls are single functions: with a binding limit, a large tensor changes no other call."""
    monkeypatch.setattr(devices.open("cpu"), "largest_binding", LIMIT)
    large = wf.tensor(array(50_000), device="cpu")
    split = entering(monkeypatch, Splitting, "process")
    numpy.testing.assert_array_equal((large + 1).numpy(), array(50_000) + 1)
    assert {op.name for op in split} == {"add"}
    split.clear()
    calls_on_small_tensors("cpu")
    steps = entering(monkeypatch, PreparedKernels, "carry_out")
    calls_on_small_tensors("cpu")
    assert steps == [] and split == []


def test_memory_of_pieces_is_freed(small: str) -> None:
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
