"""Jitted functions with values above the device's binding limit: run operation by operation, and the same as eager."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices, errors
from weft.compiler import cond, load_plan, scan, while_loop
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.adapters import Adapter
from weft.tensors.splitting.interpreter import Splitting

F = wf.nn.functional
BINDING = "max-storage-buffer-binding-size"
LIMIT = 1 << 16
LINE = re.compile(
    r"runs operation by operation on .*, without a plan: .* takes [\d,]+ bytes, above the largest binding"
)


@pytest.fixture(params=["cpu", pytest.param("webgpu", marks=pytest.mark.webgpu)])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a device with bindings of 64 KiB at most."""
    device: Any
    if request.param == "cpu":
        device = devices.open("cpu")
        profile = dataclasses.replace(device.profile, limits={**device.profile.limits, BINDING: LIMIT})
        monkeypatch.setattr(device, "profile", profile)
        monkeypatch.setattr(device, "largest_binding", LIMIT)
        yield "cpu"
        device.synchronize()
        return
    adapter = find(ADAPTER)
    limits = tuple(sorted((dict(adapter.info.limits) | {BINDING: LIMIT}).items()))
    info = dataclasses.replace(adapter.info, name="webgpu:7", limits=limits)
    device = WebGpuDevice(Adapter(info, adapter.handle))
    monkeypatch.setitem(devices._devices, "webgpu:7", device)
    yield "webgpu:7"
    device.synchronize()
    device.dispose()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The log lines so far that say that a function has no plan."""
    caplog.set_level(logging.INFO, "weft.compiler")

    def found() -> list[str]:
        return [record.getMessage() for record in caplog.records if LINE.search(record.getMessage())]

    return found


def array(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


def indices(count: int, *shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(3).integers(0, count, shape)


def _slice_written(x: wf.Tensor) -> wf.Tensor:
    made = x * 2
    made[3:5] = made[4:6] + 1
    return made


def _gradient(x: wf.Tensor, w: wf.Tensor) -> Any:
    return wf.func.grad(lambda y: (y.T @ x).softmax(-1).square().sum())(w)


CHAINS: dict[str, tuple[Callable[..., Any], tuple[numpy.ndarray, ...]]] = {
    "pointwise": (lambda x: ((x * 2 + 1).relu(), x > 0), (array(300, 201),)),
    "line": (lambda x: x.exp() + x.sin(), (array(50_000),)),
    "matmul": (lambda x, w: (x @ w).tanh(), (array(700, 40), array(40, 30, seed=1))),
    "embedding": (lambda i, w: F.embedding(i, w) * 2, (indices(3000, 5, 40), array(3000, 16))),
    "softmax": (lambda x: x.softmax(-1).log(), (array(300, 200),)),
    "sums": (lambda x: (x.sum(0), x.sum(1), x.mean(), x.amax(1)), (array(300, 200),)),
    "transpose": (lambda x: x.T.contiguous(), (array(210, 190),)),
    "views": (lambda x: x[7:11].sum(0), (array(300, 200),)),
    "written": (_slice_written, (array(300, 200),)),
    "gradient": (_gradient, (array(40, 700), array(40, 300, seed=1))),
    "layer_norm": (lambda x, w: F.layer_norm(x, (200,), w, w), (array(300, 200), array(200, seed=1))),
    "cat": (lambda x, y: wf.cat([x, y], 1), (array(90, 100), array(90, 150, seed=1))),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_the_same_as_eager(small: str, name: str, lines: Callable[[], list[str]]) -> None:
    call, arrays = CHAINS[name]
    jitted = wf.jit(call)
    given = [wf.tensor(array, device=small) for array in arrays]
    expected = call(*given)
    for _ in range(2):
        results = jitted(*given)
        for actual, wanted in zip(_tuple(results), _tuple(expected), strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6)
    assert jitted.compilations == 1
    assert len(lines()) == 1


def _tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def test_against_numpy(small: str) -> None:
    a, w = array(700, 40), array(40, 30, seed=1)
    x, y = wf.tensor(a, device=small), wf.tensor(w, device=small)
    numpy.testing.assert_allclose(
        wf.jit(lambda x, y: (x @ y).relu().sum(0))(x, y).numpy(),
        numpy.maximum(a @ w, 0).sum(0),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_the_log_names_the_value_its_bytes_and_the_limit(small: str, lines: Callable[[], list[str]]) -> None:
    def double(x: wf.Tensor) -> wf.Tensor:
        return x * 2

    wf.jit(double)(wf.ones(300, 201, device=small))
    assert lines() == [
        f"double: runs operation by operation on {small}, without a plan: the tensor input 0, float32 x 60,300, takes "
        f"241,200 bytes, above the largest binding of 65,536 bytes"
    ]


def test_below_the_limit_there_is_a_plan(small: str, lines: Callable[[], list[str]]) -> None:
    plan = wf.jit(lambda x: (x * 2).sum()).plan(wf.ones(LIMIT // 4, device=small))
    assert plan.report().dispatches >= 1
    fused = wf.jit(lambda x, y: (x[:, None] * y).sum(1)).plan(
        wf.ones(300, device=small), wf.ones(300, device=small)
    )
    assert fused.report().dispatches == 1, "the large product is not bound"
    assert lines() == []


def trained(where: str, kind: str, jitted: bool) -> list[numpy.ndarray]:
    table = wf.nn.Parameter(wf.tensor(array(3000, 16), device=where))
    weight = wf.nn.Parameter(wf.tensor(array(16, 8, seed=1), device=where))
    optimizer = getattr(wf.optim, kind)([table, weight], lr=0.05)
    index = wf.tensor(indices(3000, 5, 40), device=where)

    def step(index: wf.Tensor) -> wf.Tensor:
        optimizer.zero_grad()
        loss = (F.dropout(F.embedding(index, table), 0.3) @ weight).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = wf.jit(step) if jitted else step
    wf.manual_seed(4)
    losses = [run(index).numpy() for _ in range(3)]
    return [*losses, table.detach().numpy(), weight.detach().numpy(), wf.rand(3, device=where).numpy()]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_training_steps_carry_their_state_on(small: str, kind: str, lines: Callable[[], list[str]]) -> None:
    """Gradients inside, a large parameter with the optimizer's state, and random counters."""
    expected = trained(small, kind, False)
    assert lines() == []
    for actual, wanted in zip(trained(small, kind, True), expected, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    assert len(lines()) == 1


def test_compiled_with_gradients_outside(small: str, lines: Callable[[], list[str]]) -> None:
    a, w = array(700, 40), array(40, 30, seed=1)
    found = []
    for call in (lambda x, y: (x @ y).relu(), wf.compile(lambda x, y: (x @ y).relu())):
        x, y = (wf.tensor(value, device=small, requires_grad=True) for value in (a, w))
        for _ in range(2):
            (call(x, y) * 0.5).sum().backward()
        found.append([x.grad.numpy(), y.grad.numpy()])
    for actual, wanted in zip(*found, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    assert any("the gradients of" in line for line in lines())


def test_captures_donation_and_states(small: str) -> None:
    total = wf.tensor(array(300, 200, seed=2), device=small)
    before = total.numpy().copy()

    def accumulate(x: wf.Tensor) -> wf.Tensor:
        wf.capture("doubled", x * 2)
        total.add_(x)
        return total * 1

    a = array(300, 200)
    x = wf.tensor(a, device=small)
    result, captures = wf.jit(accumulate).with_captures(x)
    numpy.testing.assert_allclose(captures["doubled"].numpy(), a * 2, rtol=1e-6)
    numpy.testing.assert_allclose(result.numpy(), before + a, rtol=1e-6)
    numpy.testing.assert_allclose(total.numpy(), before + a, rtol=1e-6)
    result.zero_()
    numpy.testing.assert_allclose(total.numpy(), before + a, rtol=1e-6)

    given = wf.tensor(a, device=small)
    donated = wf.jit(lambda x: x + 1, donate=["x"])(given)
    numpy.testing.assert_allclose(donated.numpy(), a + 1, rtol=1e-6)
    with pytest.raises(errors.DisposedError):
        given.numpy()


def test_results_have_memory_of_their_own(small: str) -> None:
    a = array(300, 200)
    x = wf.tensor(a, device=small)
    same, twice, again, part = wf.jit(lambda x: (x, (y := x * 2), y, y[3]))(x)
    for value in (same, twice, part):
        value.zero_()
    numpy.testing.assert_array_equal(x.numpy(), a)
    numpy.testing.assert_array_equal(again.numpy(), a * 2)


def test_autocast_acts_once(small: str) -> None:
    x, w = wf.tensor(array(700, 40), device=small), wf.tensor(array(40, 30, seed=1), device=small)
    with wf.autocast(small.partition(":")[0], dtype=wf.float16):
        expected, found = (x @ w).sum(), wf.jit(lambda x, w: (x @ w).sum())(x, w)
    assert found.dtype == expected.dtype
    numpy.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-3, atol=1e-2)


def test_control_flow(small: str) -> None:
    a = array(20_000)
    x, xs = wf.tensor(a, device=small), wf.tensor(array(3, 20_000, seed=1), device=small)
    yes = wf.tensor(True, device=small)
    calls: dict[str, tuple[Callable[..., Any], numpy.ndarray]] = {
        "scan": (lambda x, xs, yes: scan(lambda c, e: (c + e, c), x, xs)[0], a + xs.numpy().sum(0)),
        "cond": (lambda x, xs, yes: cond(yes, lambda x: x * 2, lambda x: x - 1, (x,)), a * 2),
        "while_loop": (
            lambda x, xs, yes: while_loop(
                lambda n, v: n < 3, lambda n, v: (n + 1, v * 2), (wf.tensor(0, device=small), x)
            )[1],
            a * 8,
        ),
    }
    for name, (call, expected) in calls.items():
        jitted = wf.jit(call)
        for _ in range(3):  # a loop is planned the second time
            numpy.testing.assert_allclose(
                jitted(x, xs, yes).numpy(), expected, rtol=1e-5, atol=1e-5, err_msg=name
            )


def test_an_op_that_cannot_be_split_names_the_limit(small: str) -> None:
    total = wf.zeros(3, device=small)

    def run(x: wf.Tensor) -> wf.Tensor:
        total.add_(1)
        return x.cumsum(0)

    with pytest.raises(
        errors.UnsupportedError, match=r"cumsum: a tensor float32\[50000\] takes 200,000 .*at most 65,536"
    ):
        wf.jit(run)(wf.tensor(array(50_000), device=small))
    numpy.testing.assert_array_equal(total.numpy(), numpy.zeros(3))


def test_plans_are_saved_and_loaded_but_have_no_report(
    small: str, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    weight, x = wf.tensor(array(300, 200), device=small), wf.tensor(array(300, 200, seed=1), device=small)
    plan = wf.jit(lambda x: weight.add_(x) * 2).plan(x)
    expected = (weight + x).numpy() * 2
    plan.save(tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan", device=small)
    for value in (loaded, plan):
        numpy.testing.assert_allclose(value(x).numpy(), expected, rtol=1e-6)
        with pytest.raises(errors.UnsupportedError, match=r"expected a plan: .* takes 240,000 bytes"):
            value.report()
    assert len(lines()) == 2


def test_results_in_donated_memory_of_a_large_storage_are_split(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is small, but lies in a storage above the limit: calls on it bind a window."""
    values = array(50_000)
    step = wf.jit(lambda x: x * 2, donate=("x",))
    wf.tensor(values[:100], device=small) + 1  # the call on small storages is prepared
    result = step(wf.tensor(values, device=small)[:100])
    split: list[str] = []
    process = Splitting.process
    monkeypatch.setattr(
        Splitting, "process", lambda self, op, *rest: (split.append(op.name), process(self, op, *rest))[1]
    )
    numpy.testing.assert_array_equal((result + 1).numpy(), values[:100] * 2 + 1)
    assert split == ["add"]
