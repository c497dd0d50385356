"""``backward`` and ``autograd.grad``: what they give, what they keep, what they refuse, and what they free."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.autograd import enable_grad, grad, no_grad, set_grad_enabled
from weft.errors import GradError, ShapeError


def leaf(values: Any, device: Any) -> Any:
    return wf.tensor(values, dtype=wf.float32, device=device.name, requires_grad=True)


def test_gradients_accumulate(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    assert x.grad is first  # added in place, as PyTorch does
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert first.tolist() == [5.0, 7.0]


def test_a_second_backward_needs_retain_graph(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(GradError, match=r"mul: going backward.*second time.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_grad_of_several_outputs_and_inputs(device: Any) -> None:
    x, y, unused = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device), leaf([1.0], device)
    outputs = [(x * y).sum(), x.sum()]
    by_x, by_y = grad(outputs, [x, y], retain_graph=True)
    assert by_x is not None
    assert by_x.tolist() == [4.0, 5.0]
    assert by_y is not None
    assert by_y.tolist() == [1.0, 2.0]
    with pytest.raises(GradError, match=r"inputs\[1\].*allow_unused=True"):
        grad(outputs, [x, unused], retain_graph=True)
    assert grad(outputs, [x, unused], retain_graph=True, allow_unused=True)[1] is None
    (zeros,) = grad(outputs, [unused], retain_graph=True, materialize_grads=True)
    assert zeros is not None
    assert zeros.tolist() == [0.0]
    assert x.grad is None


def test_grad_with_respect_to_intermediate_results(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * x
    z = (y * 3).sum()
    by_y, by_x = grad(z, [y, x])
    assert by_y is not None
    assert by_x is not None
    assert (by_y.tolist(), by_x.tolist()) == ([3.0, 3.0], [6.0, 12.0])


def test_backward_to_chosen_inputs_only(device: Any) -> None:
    x, y = leaf([1.0], device), leaf([2.0], device)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [2.0]
    assert y.grad is None


def test_gradients_of_gradients(device: Any) -> None:
    x = leaf([1.0, 2.0, -1.5], device)
    (first,) = grad((x * x * x).sum(), x, create_graph=True)
    assert first is not None
    (second,) = grad(first.sum(), x, create_graph=True)
    assert second is not None
    (third,) = grad(second.sum(), x)
    assert third is not None
    np.testing.assert_allclose(first.detach().numpy(), [3, 12, 6.75])
    np.testing.assert_allclose(second.detach().numpy(), [6, 12, -9])
    np.testing.assert_allclose(third.numpy(), [6, 6, 6])


def test_create_graph_through_backward(device: Any) -> None:
    x = leaf([2.0], device)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (again,) = grad(x.grad.sum(), x)
    assert again is not None
    assert again.tolist() == [12.0]


def test_non_scalar_outputs_need_a_gradient(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    with pytest.raises(GradError, match=r"of shape \(2,\), expected a scalar"):
        y.backward()
    with pytest.raises(ShapeError, match=r"gradient's shape is \(3,\).*\(2,\)"):
        y.backward(wf.ones(3, device=device.name))
    y.backward(wf.tensor([1.0, 10.0], device=device.name))
    assert x.grad.tolist() == [2.0, 20.0]
    with pytest.raises(GradError, match=r"does not require grad.*requires_grad=True"):
        wf.ones(1, device=device.name).backward()


def test_leaf_gradients_share_no_memory(device: Any) -> None:
    x, y = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    (x + y).sum().backward()
    x.grad.mul_(10)
    assert y.grad.tolist() == [1.0, 1.0]
    seed = wf.ones(2, device=device.name)
    z = leaf([1.0, 2.0], device)
    (z + 0.0).backward(seed)
    z.grad.mul_(5)
    assert seed.tolist() == [1.0, 1.0]
    assert z.grad.is_contiguous()


def test_retain_grad_and_detach(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 3
    y.retain_grad()
    stopped = y.detach()
    assert not stopped.requires_grad
    (y * y + stopped).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]
    assert x.grad.tolist() == [18.0, 36.0]
    stopped.add_(1)  # the same memory
    assert y.tolist() == [4.0, 7.0]
    with pytest.raises(GradError, match="retain_grad"):
        stopped.retain_grad()


def test_retain_grad_follows_a_write(device: Any) -> None:
    results = []
    for x in (leaf([1.0, 2.0], device), torch.tensor([1.0, 2.0], requires_grad=True)):
        y = x * 2
        y.retain_grad()
        y.mul_(3)
        y[0].add_(1)
        (y * y).sum().backward()
        results.append((y.grad.tolist(), x.grad.tolist()))
    assert results[0] == results[1]


def test_seeds_take_the_type_of_their_output(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    (x * 2).backward(wf.tensor([1, 2], device=device.name))
    assert x.grad.dtype is wf.float32
    assert x.grad.tolist() == [2.0, 4.0]
    with pytest.raises(wf.errors.ArgumentTypeError, match="gradient is float, expected a Tensor"):
        (x * 2).backward([1.0])


def test_leaves_and_histories() -> None:
    x = wf.ones(2, device="cpu", requires_grad=True)
    y = x * 2
    assert (x.is_leaf, y.is_leaf, x.grad_fn, y.requires_grad) == (True, False, None, True)
    assert y.grad_fn.name == "mul"
    with pytest.raises(GradError, match=r"leaf; use detach\(\)"):
        y.requires_grad_(False)
    with pytest.raises(wf.errors.DTypeError, match="int64, expected a floating point type"):
        wf.arange(3, device="cpu").requires_grad_()
    assert not (x > 0).requires_grad
    assert not x.argmax().requires_grad


def test_modes_nest_and_restore() -> None:
    x = wf.ones(2, device="cpu", requires_grad=True)
    with no_grad():
        assert not (x * 2).requires_grad
        with enable_grad():
            assert (x * 2).requires_grad
        assert not wf.is_grad_enabled()
        with set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not wf.is_grad_enabled()
    assert wf.is_grad_enabled()
    set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert wf.is_grad_enabled()


def test_modes_decorate() -> None:
    x = wf.ones(2, device="cpu", requires_grad=True)

    @no_grad()
    def called() -> bool:
        return bool((x * 2).requires_grad)

    @no_grad
    def bare(depth: int) -> bool:
        return bare(depth - 1) if depth else bool((x * 2).requires_grad)

    @enable_grad()
    def recorded() -> bool:
        return bool((x * 2).requires_grad)

    @set_grad_enabled(False)
    def off() -> bool:
        return bool((x * 2).requires_grad)

    assert wf.is_grad_enabled()  # decorating changes nothing
    assert not off()
    assert not off()
    assert wf.is_grad_enabled()
    assert not called()
    assert not bare(3)
    assert wf.is_grad_enabled()
    with no_grad():
        assert recorded()


def test_modes_belong_to_a_thread() -> None:
    seen: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(wf.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not wf.is_grad_enabled()
    assert seen == [True]


def test_threads_go_backward_at_once(device: Any) -> None:
    weights = [leaf(np.full((8, 8), 0.1 * (i + 1)), device) for i in range(4)]
    problems: list[BaseException] = []

    def work(weight: Any) -> None:
        try:
            for _ in range(5):
                (weight @ weight).sum().backward()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(weight,)) for weight in weights]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    for i, weight in enumerate(weights):
        np.testing.assert_allclose(weight.grad.numpy(), 5 * 16 * 0.1 * (i + 1), rtol=1e-5)


def test_saved_values_are_freed_by_backward(device: Any) -> None:
    gc.collect()
    x = leaf(np.ones((64, 64)), device)
    device.synchronize()
    before = device.memory_stats()
    y = x
    for _ in range(5):
        y = (y * y).tanh()
    loss = y.sum()
    del y
    during = device.memory_stats().storages
    assert during - before.storages == 6  # five results of tanh, which their gradients read, and the loss
    loss.backward()
    del loss
    gc.collect()
    device.synchronize()
    after = device.memory_stats()
    assert after.storages == before.storages + 1  # the gradient
    assert after.in_use == before.in_use + 64 * 64 * 4


def test_a_dropped_graph_is_freed_without_backward(device: Any) -> None:
    x = leaf(np.ones(8), device)
    before = device.memory_stats().storages
    y = (x * x).exp()
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None  # by reference counting alone: no cycles
    assert device.memory_stats().storages == before


def test_only_what_gradients_read_is_kept(device: Any) -> None:
    x, weight = wf.ones(16, 16, device=device.name), leaf(np.ones((16, 16)), device)
    before = device.memory_stats().storages
    scaled = weight * 2.0  # reads nothing
    product = x @ weight  # reads x alone
    del scaled
    assert device.memory_stats().storages == before + 1
    weight_data = weight.detach()
    weight_data.add_(1)  # so this is allowed
    product.sum().backward()
    assert weight.grad.tolist()[0][0] == 16.0


@pytest.mark.cpu
def test_a_deep_chain_does_not_overflow_the_stack() -> None:
    x = wf.ones(1, device="cpu", requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [1.0]
    (by_x,) = grad(y, x, retain_graph=True)
    assert by_x is not None
    assert by_x.tolist() == [1.0]
    del by_x
    gc.disable()
    try:
        del y  # freeing it must not recurse either
    finally:
        gc.enable()


def test_a_wide_graph_sums_all_paths(device: Any) -> None:
    x = leaf([0.5], device)
    theirs = torch.tensor([0.5], requires_grad=True)
    for start in (x, theirs):
        y = start * 1.5
        z = sum((y * float(i)).exp() * (y + i) for i in range(6)) + y
        z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)


def test_multiple_outputs_and_unused_ones(device: Any) -> None:
    x = leaf([[[[1.0, 2.0], [3.0, 4.0]]]], device)
    values, places = wf.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert not places.requires_grad
    assert places.tolist() == [[[[3]]]]
    values.sum().backward()
    assert x.grad.tolist() == [[[[0.0, 0.0], [0.0, 1.0]]]]


def test_copies_between_devices_pass_gradients_on(device: Any) -> None:
    x = leaf([1.0, 2.0], device)
    y = (x * 2).to("cpu") * wf.tensor([3.0, 5.0], device="cpu")
    y.sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == [6.0, 10.0]
