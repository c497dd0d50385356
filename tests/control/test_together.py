"""Control flow with the rest: compiled modules, types only, half precision, the profiler, threads, donated memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy
import pytest

import weft as wf
from tests.control.test_cond import draw
from weft.compiler import cond, eval_shape, scan, while_loop
from weft.profiler import profile


def doubled_until(limit: float, x: Any) -> Any:
    """A branch in a loop of unknown length."""
    return while_loop(
        lambda y: y.sum() < limit,
        lambda y: (cond(y[0] > 3, lambda y: y * 2, lambda y: y + 1, (y,)),),
        (x,),
    )[0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_compiled_functions_take_part_in_eager_gradients(device, sign: float) -> None:
    """The backward graph's branch and loop read saved or recomputed tensors."""
    weight = wf.tensor(draw(3, 3), dtype=wf.float32, device=device.name).requires_grad_()

    def run(x: Any) -> Any:
        y = cond(x.sum() > 0, lambda x: (x @ weight).tanh(), lambda x: x * weight[0], (x,))
        return scan(lambda c, _: ((c * weight[1]).sin(), c), y, None, 3)[1]

    results = []
    for function in (run, wf.compile(run)):
        weight.grad = None
        x = (wf.tensor(draw(3, seed=1) + 1, dtype=wf.float32, device=device.name) * sign).requires_grad_()
        y = function(x)
        (y * y).sum().backward()
        results.append([y.detach().numpy(), weight.grad.numpy(), x.grad.numpy()])
    for actual, wanted in zip(*results, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def test_types_alone() -> None:
    x = wf.ones(3, device="cpu")
    assert (
        repr(eval_shape(lambda x: cond(x.sum() > 0, lambda x: x > 2, lambda x: x < 1, (x,)), x)) == "bool[3]"
    )
    assert repr(eval_shape(lambda x: doubled_until(9, x), x)) == "float32[3]"
    found = eval_shape(lambda x: scan(lambda c, _: (c + wf.rand(3, device="cpu"), c[:2]), x, None, 4), x)
    assert repr(found) == "(float32[3], float32[4, 2])"


def test_half_precision_within_bodies(device) -> None:
    """Autocast around a body applies in the body, in eager and compiled mode."""
    weight = wf.tensor(draw(3, 3), dtype=wf.float32, device=device.name)

    def run(x: Any) -> Any:
        last, _ = scan(lambda c, _: ((c @ weight).float(), ()), x, None, 3)
        return last, cond(x.sum() > 0, lambda: x @ weight, lambda: (x @ weight) * 2)

    x = wf.ones(1, 3, device=device.name)
    with wf.autocast(device.name.partition(":")[0], dtype=wf.bfloat16):
        expected, found = run(x), wf.jit(run)(x)
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype is wanted.dtype
        numpy.testing.assert_allclose(actual.float().numpy(), wanted.float().numpy(), rtol=1e-2, atol=1e-2)
    assert found[1].dtype is wf.bfloat16


def test_every_dispatch_is_seen_by_the_profiler(device) -> None:
    """The profiler sees each dispatch that runs."""
    function = wf.jit(lambda x: doubled_until(50, x))
    x = wf.ones(3, device=device.name)
    function(x)
    with profile() as seen:
        assert function(x).tolist() == [32.0, 32.0, 32.0]
    assert "mul" in str(seen.table()) or "cast" in str(seen.table())


def test_threads(device) -> None:
    """Each call runs whole, however many threads call."""
    function = wf.jit(lambda x: doubled_until(50, x))
    x = wf.ones(3, device=device.name)
    function(x)
    found: list[list[float]] = []

    def work(start: int) -> None:
        found.extend(function(x * start).tolist() for _ in range(10))

    threads = [threading.Thread(target=work, args=(start,)) for start in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20 and {tuple(value) for value in found} == {(32.0,) * 3}


def test_donated_memory(device) -> None:
    function = wf.jit(lambda x, y: doubled_until(50, x) + y, donate="x")
    y = wf.ones(3, device=device.name)
    for _ in range(3):
        assert function(wf.ones(3, device=device.name), y).tolist() == [33.0] * 3


def test_a_conditional_step_of_an_optimizer(device) -> None:
    """A step is skipped where a gradient is not finite; the parameters and the state stay, bit for bit."""
    wf.manual_seed(0)
    layer = wf.nn.Linear(3, 1).to(device.name)
    optimizer = wf.optim.Adam(layer.parameters(), lr=0.1)

    @wf.jit
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        finite = wf.stack([parameter.grad.isfinite().all() for parameter in layer.parameters()]).all()

        def taken() -> Any:
            optimizer.step()
            return wf.ones((), device=device.name)

        return loss, cond(finite, taken, lambda: wf.zeros((), device=device.name))

    x = wf.tensor(draw(4, 3), dtype=wf.float32, device=device.name)
    assert step(x)[1].item() == 1
    before = [parameter.detach().numpy() for parameter in layer.parameters()]
    assert step(x * float("inf"))[1].item() == 0
    for actual, wanted in zip(layer.parameters(), before, strict=True):
        numpy.testing.assert_array_equal(actual.detach().numpy(), wanted)
    losses = [step(x)[0].item() for _ in range(5)]
    assert losses[-1] < losses[0]
