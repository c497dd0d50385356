"""Optimizers: trajectories, state and groups against PyTorch's, one kernel a step, and steps that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, UnsupportedError

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True}),
    ("SGD", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.99)}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.0), "eps": 1e-2}),
    ("Adam", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "maximize": True}),
]
SHAPES = [(3, 4), (4,), (), (2, 3, 1, 2), (0, 2)]


def pair(
    device: str = "cpu", double: bool = True, shapes: Any = SHAPES
) -> tuple[list[wf.nn.Parameter], list[Any]]:
    """The same random parameters in both libraries."""
    random = numpy.random.default_rng(0)
    values = [random.standard_normal(shape) for shape in shapes]
    kind, other = (wf.float64, torch.float64) if double else (wf.float32, torch.float32)
    ours = [wf.nn.Parameter(wf.tensor(value, dtype=kind, device=device)) for value in values]
    theirs = [torch.nn.Parameter(torch.tensor(value, dtype=other)) for value in values]
    return ours, theirs


def loss_of(parameters: list[Any]) -> Any:
    """Something whose gradient changes with every parameter from step to step."""
    total: Any = 0
    for index, parameter in enumerate(parameters):
        total = total + ((parameter - 0.3 * index) * parameter * (parameter.tanh() + index)).sum()
    return total


def train(
    optimizer: Any, parameters: list[Any], steps: int, loss: Callable[[list[Any]], Any] = loss_of
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(parameters).backward()
        optimizer.step()


def same(ours: list[Any], theirs: list[Any], tolerance: float) -> None:
    for own, other in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(
            own.detach().numpy(), other.detach().numpy(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_twenty_steps_follow_pytorch(name: str, options: dict[str, Any], device: Device) -> None:
    double = device.name == "cpu"
    ours, theirs = pair(device.name, double)
    train(getattr(wf.optim, name)(ours, **options), ours, 20)
    train(getattr(torch.optim, name)(theirs, **options), theirs, 20)
    same(ours, theirs, 1e-9 if double else 1e-3)


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
    kernels = len(wf.tensors.EAGER._prepared)
    rate = optimizer.param_groups[0].rate(device.name)
    for step in range(4):
        optimizer.param_groups[0]["lr"] *= 0.5
        other.param_groups[0]["lr"] *= 0.5
        train(optimizer, ours, 1)
        train(other, theirs, 1)
        assert optimizer.param_groups[0]["lr"] == other.param_groups[0]["lr"]
        assert rate.item() == pytest.approx(0.1 * 0.5 ** (step + 1))
    train(other, theirs, 0)
    assert len(wf.tensors.EAGER._prepared) <= kernels + 1  # the fill that writes the rate
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


@pytest.mark.parametrize(("name", "options"), [o for o in OPTIONS if "maximize" not in o[1]])
def test_state_goes_both_ways(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair()
    optimizer, other = getattr(wf.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    train(other, theirs, 3)
    for own, value in zip(ours, theirs, strict=True):
        own.data.copy_(wf.tensor(value.detach().numpy(), dtype=wf.float64, device="cpu"))
    optimizer.load_state_dict(other.state_dict())
    train(optimizer, ours, 3)
    train(other, theirs, 3)
    same(ours, theirs, 1e-9)

    packed = optimizer.state_dict()
    theirs_packed = other.state_dict()
    assert packed["param_groups"][0]["params"] == theirs_packed["param_groups"][0]["params"]
    assert set(packed["param_groups"][0]) <= set(theirs_packed["param_groups"][0])
    assert set(packed["state"]) == {
        k for k, entry in theirs_packed["state"].items() if entry
    } or not options.get("momentum")
    packed["state"] = {
        number: {key: torch.tensor(value.numpy()) for key, value in entry.items()}
        for number, entry in packed["state"].items()
    }
    third = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in ours]
    again = getattr(torch.optim, name)(third, **options)
    again.load_state_dict(packed)
    train(again, third, 3)
    train(optimizer, ours, 3)
    same(ours, third, 1e-9)


def test_a_resumed_run_is_the_uninterrupted_one(device: Device) -> None:
    """With parameters that have taken different numbers of steps, before any step, and after some."""
    for before in (0, 3):
        ours, _ = pair(device.name, double=False)
        optimizer = wf.optim.SGD(ours, lr=0.05, momentum=0.9, dampening=0.5)
        train(optimizer, ours[:1], 1 if before else 0)
        train(optimizer, ours, before)
        again, _ = pair(device.name, double=False)
        for new, old in zip(again, ours, strict=True):
            new.data.copy_(old.detach())
        resumed = wf.optim.SGD(again, lr=1.0, momentum=0.1)
        resumed.load_state_dict(optimizer.state_dict())
        assert resumed.param_groups[0]["lr"] == 0.05
        train(optimizer, ours, 3)
        train(resumed, again, 3)
        for new, old in zip(again, ours, strict=True):
            numpy.testing.assert_array_equal(new.detach().numpy(), old.detach().numpy())


def test_a_state_dict_that_does_not_fit_changes_nothing() -> None:
    ours, _ = pair()
    optimizer = wf.optim.Adam(ours, lr=0.5)
    train(optimizer, ours, 2)
    before = optimizer.state_dict()
    values = [before["state"][0][key].numpy().copy() for key in ("step", "exp_avg", "exp_avg_sq")]

    def wrong(change: Callable[[dict[str, Any]], Any], message: str) -> None:
        state = optimizer.state_dict()
        state["state"] = {number: dict(entry) for number, entry in state["state"].items()}
        change(state)
        with pytest.raises(ArgumentError, match=message):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()["state"][0]
        for key, value in zip(("step", "exp_avg", "exp_avg_sq"), values, strict=True):
            numpy.testing.assert_array_equal(after[key].numpy(), value)
        assert optimizer.param_groups[0]["lr"] == 0.5

    wrong(lambda s: s.pop("state"), r"state_dict is \['param_groups'\], expected a dict with 'state'")
    wrong(
        lambda s: s["param_groups"].append(s["param_groups"][0]), "of 2 parameter groups, expected 1 groups"
    )
    wrong(lambda s: s["param_groups"][0].update(params=[0]), "group 0 is of 1 parameters, expected 5")
    wrong(lambda s: s["param_groups"][0].update(lr=-1.0), "lr is -1.0, expected at least 0")
    wrong(
        lambda s: s["state"][3].update(exp_avg=wf.zeros(2)),
        r"exp_avg's shape is \(2,\), expected \(2, 3, 1, 2\)",
    )
    wrong(lambda s: s["state"][3].update(max_exp_avg_sq=wf.zeros(2)), r"names is \['max_exp_avg_sq'\]")


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
        (lambda p: wf.optim.SGD([p], lr="fast"), ArgumentTypeError, "SGD: lr is 'fast', expected a number"),
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
        (lambda p: wf.optim.Adam([p], amsgrad=True), UnsupportedError, "amsgrad is True, expected False"),
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
    ours, theirs = pair("webgpu:software", double=False)
    view = ours[0].detach()[1:]
    optimizer = wf.optim.Adam(ours)
    kept = [t for parameter in ours for t in optimizer.state[parameter].values()]
    assert len({id(tensor._data.storage.buffer) for tensor in (*ours, *kept)}) == 1
    same(ours, theirs, 0)
    assert view._data.storage is ours[0]._data.storage
    numpy.testing.assert_array_equal(view.numpy(), theirs[0].detach().numpy()[1:])


@pytest.mark.webgpu
def test_more_gradients_than_bindings_are_still_one_kernel() -> None:
    """Forty gradients lie in forty buffers; the software driver binds 32."""
    device = wf.devices.open("webgpu:software")
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
    layer.to("webgpu:software")
    layer(wf.ones(1, 2, device="webgpu:software")).sum().backward()
    with pytest.raises(
        DeviceError,
        match=r"a parameter is on webgpu:software, expected on cpu, as its state; move the module",
    ):
        optimizer.step()
