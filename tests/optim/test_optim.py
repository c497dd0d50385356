"""Optimizers: trajectories and groups against PyTorch's, one kernel a step, and steps that fail."""

from __future__ import annotations

import gc
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.conftest import ADAPTER
from tests.optim.training import OPTIONS, ROUNDED, loss_of, pair, same, train
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, UnsupportedError


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_twenty_steps_follow_pytorch(name: str, options: dict[str, Any], device: Device) -> None:
    double = device.name == "cpu"
    ours, theirs = pair(device.name, double)
    train(getattr(wf.optim, name)(ours, **options), ours, 20)
    train(getattr(torch.optim, name)(theirs, **options), theirs, 20)
    exact = 1e-6 if name in ROUNDED else 1e-9
    same(ours, theirs, exact if double else 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_narrow_types_are_computed_wide(dtype: str, device: Device) -> None:
    ours = wf.nn.Parameter(wf.tensor([1.0, -2.0], dtype=getattr(wf, dtype), device=device.name))
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=getattr(torch, dtype)))
    for parameter, lib in ((ours, wf), (theirs, torch)):
        optimizer = lib.optim.Adam([parameter], lr=0.25)
        for _ in range(3):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()
    expected = theirs.detach().float().numpy()
    numpy.testing.assert_allclose(
        ours.detach().float().numpy(), expected, rtol=2e-2 if dtype == "bfloat16" else 3e-3
    )


def test_groups_have_options_of_their_own() -> None:
    ours, theirs = pair()
    made = []
    for lib, (a, b, *rest) in ((wf, ours), (torch, theirs)):
        optimizer = lib.optim.SGD(
            [{"params": [a], "lr": 0.1}, {"params": b, "momentum": 0.0}], lr=0.01, momentum=0.9
        )
        optimizer.add_param_group({"params": rest, "lr": 0.02, "nesterov": True})
        made.append((optimizer, [a, b, *rest]))
    for optimizer, parameters in made:
        train(optimizer, parameters, 5)
    same(ours, theirs, 1e-9)
    assert [group["lr"] for group in made[0][0].param_groups] == [0.1, 0.01, 0.02]


@pytest.mark.parametrize(
    ("name", "options"),
    [("Adam", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}), ("SGD", {"lr": 0.1})],
)
def test_parameters_without_a_gradient_are_skipped_and_keep_their_count(
    name: str, options: dict[str, Any]
) -> None:
    ours, theirs = pair()
    for lib, parameters in ((wf, ours), (torch, theirs)):
        optimizer = getattr(lib.optim, name)(parameters, **options)
        for step in range(6):
            optimizer.zero_grad()
            loss_of([p for index, p in enumerate(parameters) if (step + index) % 3]).backward()
            optimizer.step()
    same(ours, theirs, 1e-9)


def test_a_learning_rate_reads_as_a_float_and_compiles_nothing_new(device: Device) -> None:
    ours, theirs = pair(device.name, double=False)
    optimizer, other = wf.optim.Adam(ours, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    train(optimizer, ours, 2)
    kernels = len(wf.tensors.EAGER.prepared)
    rate = optimizer.param_groups[0].rate(device.name)
    for step in range(4):
        optimizer.param_groups[0]["lr"] *= 0.5
        other.param_groups[0]["lr"] *= 0.5
        train(optimizer, ours, 1)
        train(other, theirs, 1)
        assert optimizer.param_groups[0]["lr"] == other.param_groups[0]["lr"]
        assert rate.item() == pytest.approx(0.1 * 0.5 ** (step + 1))
    train(other, theirs, 0)
    assert len(wf.tensors.EAGER.prepared) <= kernels + 1  # the fill that writes the rate
    with pytest.raises(ArgumentError, match="lr is -1, expected at least 0"):
        optimizer.param_groups[0]["lr"] = -1
    optimizer.param_groups[0].update(lr=0.25, eps=1e-6)
    assert rate.item() == 0.25


def test_a_closure_computes_the_gradients() -> None:
    ours, theirs = pair()
    results = []
    for lib, parameters in ((wf, ours), (torch, theirs)):
        optimizer = lib.optim.SGD(parameters, lr=0.1)

        def closure(optimizer: Any = optimizer, parameters: Any = parameters) -> Any:
            optimizer.zero_grad()
            loss = loss_of(parameters)
            loss.backward()
            return loss

        results.append([optimizer.step(closure).item() for _ in range(3)])
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_zero_grad() -> None:
    ours, _ = pair()
    optimizer = wf.optim.SGD(ours, lr=0.1)
    loss_of(ours).backward()
    optimizer.zero_grad(set_to_none=False)
    assert ours[0].grad.abs().sum().item() == 0
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in ours)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda p: wf.optim.SGD([]), ArgumentError, "SGD: params is an empty list, expected at least one"),
        (lambda p: wf.optim.Adam([{"params": []}]), ArgumentError, "Adam: params is an empty list"),
        (
            lambda p: wf.optim.SGD(p),
            ArgumentTypeError,
            r"params is a Parameter, expected an iterable .* pass \[tensor\]",
        ),
        (lambda p: wf.optim.SGD([p, p]), ArgumentError, r"params\[1\] is a parameter that was given before"),
        (lambda p: wf.optim.SGD([{"params": p}, {"params": [p]}]), ArgumentError, "given before"),
        (
            lambda p: wf.optim.SGD([p * 2]),
            ArgumentError,
            r"params\[0\] is a computed tensor \(2,\), expected a leaf",
        ),
        (lambda p: wf.optim.SGD([3]), ArgumentTypeError, r"params\[0\] is a int, expected a tensor"),
        (
            lambda p: wf.optim.SGD([wf.tensor([1])]),
            ArgumentError,
            "dtype is int64, expected a floating point type",
        ),
        (
            lambda p: wf.optim.SGD([{"params": {p}}]),
            ArgumentTypeError,
            "params is a set, expected an ordered collection",
        ),
        (
            lambda p: wf.optim.SGD([{"params": p, "rate": 1}]),
            ArgumentError,
            r"options is \['rate'\], expected of \[",
        ),
        (lambda p: wf.optim.SGD([p], lr=-0.1), ArgumentError, "SGD: lr is -0.1, expected at least 0"),
        (lambda p: wf.optim.SGD([p], lr=float("nan")), ArgumentError, "SGD: lr is nan, expected at least 0"),
        (
            lambda p: wf.optim.SGD([p], lr="fast"),
            ArgumentTypeError,
            "SGD: lr is 'fast', expected a Tensor or a number",
        ),
        (lambda p: wf.optim.SGD([p], momentum=-1), ArgumentError, "momentum is -1, expected at least 0"),
        (lambda p: wf.optim.SGD([p], nesterov=True), ArgumentError, "nesterov is True with momentum 0"),
        (
            lambda p: wf.optim.Adam([p], betas=(0.9, 1.0)),
            ArgumentError,
            r"betas\[1\] is 1.0, expected in \[0, 1\)",
        ),
        (
            lambda p: wf.optim.AdamW([p], eps=-1e-8),
            ArgumentError,
            "AdamW: eps is -1e-08, expected at least 0",
        ),
        (
            lambda p: wf.optim.RMSprop([p], alpha=-1),
            ArgumentError,
            "RMSprop: alpha is -1, expected at least 0",
        ),
        (
            lambda p: wf.optim.Lion([p], betas=(0.9, 1)),
            ArgumentError,
            r"Lion: betas\[1\] is 1, expected in \[0, 1\)",
        ),
        (
            lambda p: wf.optim.Adam([p], differentiable=True),
            UnsupportedError,
            "differentiable is True, expected False",
        ),
    ],
)
def test_mistakes_are_named(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make(wf.nn.Parameter(wf.ones(2, device="cpu")))


def test_named_parameters_and_print() -> None:
    net = wf.nn.Sequential(wf.nn.Linear(2, 1, device="cpu"))
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 1))
    ours, other = (
        wf.optim.SGD(net.named_parameters(), lr=0.5),
        torch.optim.SGD(theirs.named_parameters(), lr=0.5),
    )
    assert ours.state_dict()["param_groups"][0]["param_names"] == ["0.weight", "0.bias"]
    assert repr(ours) == repr(other)


def test_a_step_is_one_dispatch_and_the_counter(device: Device) -> None:
    ours, _ = pair(device.name, double=False)
    for make, dispatches in ((lambda: wf.optim.Adam(ours), 2), (lambda: wf.optim.SGD(ours, momentum=0.9), 1)):
        optimizer = make()
        train(optimizer, ours, 2)
        before = device.memory_stats().dispatches
        optimizer.step()
        assert device.memory_stats().dispatches - before == dispatches


@pytest.mark.webgpu
def test_parameters_and_state_share_a_buffer_with_values_and_identity_kept() -> None:
    ours, theirs = pair(ADAPTER, double=False)
    view = ours[0].detach()[1:]
    optimizer = wf.optim.Adam(ours)
    kept = [t for parameter in ours for t in optimizer.state[parameter].values()]
    assert len({id(tensor._data.storage.buffer) for tensor in (*ours, *kept)}) == 1
    same(ours, theirs, 0)
    assert view._data.storage is ours[0]._data.storage
    numpy.testing.assert_array_equal(view.numpy(), theirs[0].detach().numpy()[1:])


@pytest.mark.webgpu
def test_more_gradients_than_bindings_are_still_one_kernel() -> None:
    """Forty gradients lie in forty buffers; the software driver binds 32, so there they share one."""
    device = wf.devices.open(ADAPTER)
    ours, theirs = pair(device.name, False, [(3,)] * 40)
    optimizer, other = wf.optim.Adam(ours), torch.optim.Adam(theirs)
    train(optimizer, ours, 2)
    train(other, theirs, 3)
    optimizer.zero_grad()
    loss_of(ours).backward()
    gradients = [parameter.grad for parameter in ours]
    before = device.memory_stats().dispatches
    optimizer.step()
    assert device.memory_stats().dispatches - before == 2
    assert all(parameter.grad is gradient for parameter, gradient in zip(ours, gradients, strict=True))
    same(ours, theirs, 1e-4)


@pytest.mark.parametrize(
    ("name", "options"), [("Adam", {}), ("SGD", {"momentum": 0.9, "dampening": 0.1}), ("SGD", {})]
)
def test_a_step_that_fails_changes_nothing(name: str, options: dict[str, Any], device: Device) -> None:
    """Every device call of the step fails once; then the step is taken, as if nothing had happened."""
    ours, theirs = pair(device.name, double=False)
    optimizer, other = getattr(wf.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    train(optimizer, ours, 1)
    train(other, theirs, 2)
    optimizer.zero_grad()
    loss_of(ours).backward()
    tensors = [*ours, *(t for parameter in ours for t in optimizer.state[parameter].values())]
    tensors += [cohort.step for cohort in optimizer.param_groups[0].cohorts]
    before = [tensor.detach().numpy().copy() for tensor in tensors]
    gc.collect()  # of earlier tests, which would else be counted here
    in_use = device.memory_stats().in_use
    for position in range(20):
        calls = 0

        def fail(call: str, position: int = position) -> None:
            nonlocal calls
            calls += 1
            if calls == position + 1:
                raise DeviceError(f"{call} failed")

        device.before_call = fail
        try:
            optimizer.step()
            break
        except DeviceError:
            pass
        finally:
            device.before_call = None
        for tensor, value in zip(tensors, before, strict=True):
            numpy.testing.assert_array_equal(tensor.detach().numpy(), value)
        assert device.memory_stats().in_use == in_use
    assert position >= (2 if name == "Adam" else 1)
    same(ours, theirs, 1e-4)


def test_momentum_needs_state_from_the_start() -> None:
    parameter = wf.nn.Parameter(wf.ones(2, device="cpu"))
    optimizer = wf.optim.SGD([parameter], lr=1.0)
    optimizer.param_groups[0]["momentum"] = 0.9
    parameter.grad = wf.ones(2, device="cpu")
    with pytest.raises(
        ArgumentError, match=r"SGD.step: momentum is 0.9, expected 0, as when the optimizer was built"
    ):
        optimizer.step()
    assert parameter.tolist() == [1, 1]
    optimizer = wf.optim.SGD([parameter], lr=1.0, momentum=0.9)
    optimizer.param_groups[0]["momentum"] = 0.0
    optimizer.step()
    assert parameter.tolist() == [0, 0]


@pytest.mark.webgpu
def test_a_module_moved_after_the_optimizer_was_built_is_named() -> None:
    layer = wf.nn.Linear(2, 1, device="cpu")
    optimizer = wf.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer.to(ADAPTER)
    layer(wf.ones(1, 2, device=ADAPTER)).sum().backward()
    with pytest.raises(
        DeviceError,
        match=rf"a parameter is on {ADAPTER}, expected on cpu, as its state; move the module",
    ):
        optimizer.step()
